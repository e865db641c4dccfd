"""What a job with a Gaussian-process sampler costs its neighbours: the sampler in the worker's process, or in its own.

A thread stands for the worker's loop serving another job: every millisecond it does a little work, as a report does,
and notes how late it was. Meanwhile a search with 300 trials of history asks. `make bench-isolation` prints the
lateness on both sides of one run; about a minute.
"""

import argparse
import json
import math
import threading
import time
from collections.abc import Callable

import numpy as np

from benchmarks.orchestration import print_table
from benchmarks.samplers import SPACE, loss_of
from stepsize.domain.trial import TrialState
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize_workers.search import Search

N_HISTORY = 300
N_ASKS = 5
_PERIOD_S = 0.001


class Neighbour:
    """Another job's reports: one a millisecond."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Neighbour":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._over.is_set():
            due = time.perf_counter() + _PERIOD_S
            time.sleep(_PERIOD_S)
            json.loads(json.dumps({"loss": [0.1] * 50}))
            self.late_s.append(time.perf_counter() - due)


def make_search(*, asks_here: bool, on_ready: Callable[[], None]) -> Search:
    """Return a search with N_HISTORY random trials behind it."""
    spec = ResolvedJobSpec.model_validate(
        {
            "trainer": {"name": "synthetic", "version": "1"},
            "search_space": SPACE,
            "objectives": [{"metric": "loss", "direction": "minimize"}],
            "sampler": {"name": "gp", "seed": 0, "n_startup_trials": N_HISTORY},
            "confirm": False,
            "budget": {"max_trials": 2 * N_HISTORY},
        }
    )
    search = Search("bench", spec, on_ready, asks_here=asks_here)
    draw = np.random.default_rng(0)
    for number in range(N_HISTORY):
        params: dict[str, Scalar] = {
            "learning_rate": float(10 ** draw.uniform(-6, 1)),
            "batch_size": 1 << int(draw.integers(4, 9)),
            "dropout": float(draw.uniform(0, 0.5)),
        }
        search.open(number, search.complete(number, params))
        search.close(number, TrialState.COMPLETED, [loss_of(params) + 0.02 * float(draw.normal())])
    return search


def ask(search: Search, ready: threading.Event, number: int) -> float:
    """Ask once, run the trial, and return the seconds until the answer."""
    started = time.perf_counter()
    while (proposal := search.propose(number)) is None:
        assert search.is_thinking, "a continuous space has no end"
        ready.wait()
        ready.clear()
    asked_s = time.perf_counter() - started
    search.open(number, proposal)
    search.close(number, TrialState.COMPLETED, [loss_of(proposal.params)])
    return asked_s


def measure(*, asks_here: bool) -> dict[str, float]:
    """Return the asks' seconds and how late the neighbour was, in milliseconds."""
    ready = threading.Event()
    search = make_search(asks_here=asks_here, on_ready=ready.set)
    ask(search, ready, N_HISTORY)  # imports torch, starts the process: once a job
    with Neighbour() as neighbour:
        asks = [ask(search, ready, N_HISTORY + 1 + index) for index in range(N_ASKS)]
    search.shut()
    late_ms = 1000 * np.array(neighbour.late_s)
    return {
        "ask_s": float(np.median(asks)),
        "p50_ms": float(np.quantile(late_ms, 0.5)),
        "p99_ms": float(np.quantile(late_ms, 0.99)),
        "worst_ms": float(late_ms.max()),
        "served_per_s": len(late_ms) / math.fsum(asks),
    }


def main() -> None:
    """Measure both sides and print a table and one JSON line."""
    argparse.ArgumentParser(prog="python -m benchmarks.sampler_isolation", description=__doc__).parse_args()
    sides = {"the worker's": measure(asks_here=True), "its own": measure(asks_here=False)}
    header = ("process of gp", "ask, s", "late p50, ms", "late p99, ms", "late at worst, ms", "reports/s")
    print_table(header, [[side, *(f"{value:.2f}" for value in found.values())] for side, found in sides.items()])
    print(json.dumps(sides))  # noqa: T201


if __name__ == "__main__":
    main()
