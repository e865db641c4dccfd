"""How fast each sampler finds the bottom of the synthetic valley, learning rate × batch size, over seeds.

`make bench-samplers` prints, for each sampler, the median loss above the floor after 20, 40 and 80 trials, the median
number of trials to within 0.05 of the floor, and the CPU time a proposal took (wall time is the machine's, not the
sampler's). One core; a few minutes, most of it gp.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass

import numpy as np
import optuna

from benchmarks.orchestration import print_table
from stepsize.domain.trial import TrialState
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize_workers.search import Search
from stepsize_workers.trainers.synthetic import SyntheticParams, loss_at

SAMPLERS = ("tpe", "gp", "cmaes", "nsgaii", "qmc", "random", "grid")
BUDGETS = (20, 40, 80)
NEAR = 0.05
N_SEEDS = {"gp": 3}
N_SEEDS_DEFAULT = 20
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-6, "high": 10.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
}


@dataclass(frozen=True)
class Course:
    """One search: the loss above the floor of each trial, and the CPU seconds of each ask."""

    losses: tuple[float, ...]
    ask_s: tuple[float, ...]

    def best(self, n_trials: int) -> float:
        return min(self.losses[:n_trials])

    @property
    def n_to_near(self) -> float:
        """Trials to within NEAR of the floor; infinite: never."""
        return next((index + 1.0 for index, loss in enumerate(self.losses) if loss <= NEAR), math.inf)


def run(sampler: str, seed: int) -> Course:
    """Search once; heavy samplers ask in this process, which changes nothing but where."""
    knobs = {"points": 4} if sampler == "grid" else {}
    spec = ResolvedJobSpec.model_validate(
        {
            "trainer": {"name": "synthetic", "version": "1"},
            "search_space": SPACE,
            "objectives": [{"metric": "loss", "direction": "minimize"}],
            "sampler": {"name": sampler, "seed": seed} | knobs,
            "confirm": False,
            "budget": {"max_trials": max(BUDGETS)},
        }
    )
    search = Search("bench", spec, asks_here=True)
    losses, asks = [], []
    for number in range(max(BUDGETS)):
        started = time.process_time()
        proposal = search.propose(number)
        asks.append(time.process_time() - started)
        assert proposal is not None, "the space is larger than the budget"
        search.open(number, proposal)
        loss = loss_of(proposal.params)
        losses.append(loss)
        search.close(number, TrialState.COMPLETED, [loss])
    return Course(tuple(losses), tuple(asks))


def loss_of(params: dict[str, Scalar]) -> float:
    """Return the valley's loss above its floor; a third parameter, dropout, has a shallow bowl of its own."""
    model = SyntheticParams(
        learning_rate=float(params["learning_rate"]), batch_size=int(params["batch_size"]), floor=0.0, n_reports=1
    )
    return loss_at(model, step=1) + 4 * (float(params["dropout"]) - 0.2) ** 2


def main() -> None:
    """Run every sampler and print a table and one JSON line."""
    argparse.ArgumentParser(prog="python -m benchmarks.samplers", description=__doc__).parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows, document = [], {}
    for sampler in SAMPLERS:
        courses = [run(sampler, seed) for seed in range(N_SEEDS.get(sampler, N_SEEDS_DEFAULT))]
        best = [float(np.median([course.best(budget) for course in courses])) for budget in BUDGETS]
        near = float(np.median([course.n_to_near for course in courses]))
        ask_ms = 1000 * float(np.median([ask for course in courses for ask in course.ask_s[-20:]]))
        cells = [f"{value:.4f}" for value in best]
        rows.append([sampler, str(len(courses)), *cells, f"{near:g}", f"{ask_ms:.1f}"])
        document[sampler] = {
            "best": dict(zip(BUDGETS, best, strict=True)),
            "n_to_near": near if math.isfinite(near) else None,
            "ask_ms": ask_ms,
        }
    header = ("sampler", "seeds", *(f"after {budget}" for budget in BUDGETS), f"trials to {NEAR}", "ask at 80, CPU ms")
    print_table(header, rows)
    print(json.dumps(document))  # noqa: T201


if __name__ == "__main__":
    main()
