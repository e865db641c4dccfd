"""The terminator: ends a search once a further trial is expected to gain less than the noise of the objective hides.

The thinking is done in a process of its own (see `expected_gain`), which takes about a second; the search goes on
meanwhile.
"""

import json
import os
import subprocess
import threading
from collections.abc import Callable

import structlog

from stepsize.spec.objective import Direction
from stepsize.spec.space import CategoricalParameter, Params, SearchSpace
from stepsize_workers.lifelines import tied_command

log = structlog.get_logger()

_MIN_TRIALS = 20
"""Completed trials below which noise can't be told from a rugged objective."""
_MIN_FURTHER = 5
_FURTHER_FRAC = 0.1
"""The question is put again after so many further trials, or this share of those so far."""
_GAIN_PER_NOISE = 0.3
"""At 1 the best trial still lay up to two standard deviations of the noise above the optimum of a noisy valley when the
search ended; at 0.3 at most one, over six seeds each at noise 0.02 and 0.1."""
_LEAST_NOISE_FRAC = 0.01
"""Of what the best trial is better than the median: a gain below that is none even where nothing is random."""
_PATIENCE_S = 120.0


class Terminator:
    """Watches the completed trials of a job with one objective."""

    def __init__(self, space: SearchSpace, direction: Direction, on_ready: Callable[[], None]) -> None:
        """Begin with no trial.

        Args:
            on_ready: called, in a thread of its own, when an answer has come.
        """
        self._space = space
        self._sign = 1.0 if direction is Direction.MINIMIZE else -1.0
        self._on_ready = on_ready
        self._points: list[list[float]] = []
        self._values: list[float] = []
        self._n_when_asked = 0
        self._n_answers = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_asking = False
        self._is_shut = False
        self._is_met = False

    @property
    def is_met(self) -> bool:
        """Whether the search is over; once so, for good."""
        return self._is_met

    @property
    def is_undecided(self) -> bool:
        """Whether the first answer is under way: a search that was over before its worker was lost must not go on."""
        with self._lock:
            return self._is_asking and not self._n_answers

    def take_in(self, params: Params, value: float) -> None:
        """Take in a completed trial."""
        self._points.append(self._point(params))
        self._values.append(self._sign * value)

    def consider(self) -> None:
        """Put the question, if enough trials have completed since it was last put."""
        n = len(self._values)
        due = max(_MIN_TRIALS, self._n_when_asked + max(_MIN_FURTHER, int(_FURTHER_FRAC * self._n_when_asked)))
        with self._lock:
            if n < due or self._is_asking or self._is_met or self._is_shut:
                return
            self._is_asking = True
        self._n_when_asked = n
        question = json.dumps({"points": self._points, "values": self._values})
        least_noise = _LEAST_NOISE_FRAC * (sorted(self._values)[n // 2] - min(self._values))
        threading.Thread(target=self._ask, args=(question, least_noise), name="terminator", daemon=True).start()

    def shut(self) -> None:
        """End the process, in the middle of a thought if need be."""
        with self._lock:
            self._is_shut = True
            if self._process is not None:
                self._process.kill()

    def _ask(self, question: str, least_noise: float) -> None:
        answer = self._think(question)
        with self._lock:
            self._is_asking = False
            self._n_answers += 1
            self._process = None
            if answer is not None:
                prospect = json.loads(answer)
                self._is_met = prospect["gain"] < _GAIN_PER_NOISE * max(prospect["noise"], least_noise)
            if self._is_shut:
                return
        self._on_ready()

    def _think(self, question: str) -> str | None:
        """Return what the process answered; None: it was ended, or could not say."""
        with self._lock:
            if self._is_shut:
                return None
            self._process = process = _spawn()
        try:
            answer, _ = process.communicate(question, timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if process.returncode != 0:
            if not self._is_shut:
                log.warning("the terminator could not say", exit_status=process.returncode)
            return None
        return answer

    def _point(self, params: Params) -> list[float]:
        """Return where a configuration lies in a unit cube: a number an edge, a choice an edge each."""
        point: list[float] = []
        for name, parameter in self._space.items():
            if isinstance(parameter, CategoricalParameter):
                index = parameter.index_of(params[name]) if name in params else None
                point += [float(index == other) for other in range(parameter.n_values)]
            else:
                point.append(parameter.position_of(params[name]) if name in params else 0.5)
        return point


def _spawn() -> "subprocess.Popen[str]":
    # One CPU thread, no GPU: trials run.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return subprocess.Popen(
        tied_command("stepsize_workers.expected_gain"),
        env={**os.environ, **threads, "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
