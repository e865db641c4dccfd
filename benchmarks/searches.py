"""Our default search beside Optuna's, over kept trainings: how many trials lie near the best, and how good that is.

`make bench-searches` searches with 50 trials on tasks on which no constant was chosen (benchmarks/truth), with draws of
its own each time, and judges a trial by the mean over seeds at its rate and batch size: not by the value it happened to
get. Optuna's are told of a trial that diverged the worst value so far.
"""

import argparse
import json
import math
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna

from benchmarks.honesty.figures import Measured, group, mean, measure
from benchmarks.honesty.jobs import Kept, spec_of
from benchmarks.orchestration import print_table
from benchmarks.playing import Played, play
from benchmarks.truth.tasks import TASKS, Role
from benchmarks.truth.valleys import Landscape, read_landscapes
from stepsize.domain.seeds import derive_seed

N_TRIALS = 50
_RANDOM = 10
"""Trials at the start that every search draws at random."""
_LATE = 20
_NEAR = 1.3
"""Times the best mean cost, up to which a trial lies near the best."""
_MOST = 10.0
"""Times the best mean cost, as which worse ones count: where every training diverges there is none."""


@dataclass(frozen=True)
class Course:
    """What one search tried."""

    task: str
    near: float
    """Share of the trials after the random ones that lie near the best."""
    late: float
    """log of the median mean cost of the last trials, beside the best there is."""
    found_20: float
    """log of the lowest mean cost tried within 20 trials, beside the best there is."""
    found_50: float
    diverged: float
    """Share of all trials."""


def ours(landscape: Landscape, seed: int) -> list[Played]:
    """Search as a worker does."""
    source = Kept(landscape, np.random.default_rng(seed))

    def train(number: int, params: Mapping[str, object]) -> float | None:
        cost = source.cost(number, params)  # type: ignore[arg-type]  # scalars, as all parameters are
        return None if cost is None else _value(landscape, cost)

    return play(spec_of(landscape, seed, []), train, N_TRIALS)


def optunas(landscape: Landscape, seed: int, *, multivariate: bool) -> list[Played]:
    """Search with stock Optuna, over the same space."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    source, task, sizes = Kept(landscape, np.random.default_rng(seed)), landscape.task, list(landscape.valleys)
    study = optuna.create_study(
        direction="minimize" if landscape.is_loss else "maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=multivariate),
    )
    worst, played = math.nan, []
    low, high = (round(math.log2(size)) for size in (min(sizes), max(sizes)))
    for number in range(N_TRIALS):
        trial = study.ask()
        params = {
            "learning_rate": trial.suggest_float("learning_rate", task.low, task.high, log=True),
            "batch_size": 1 << trial.suggest_int("log2_batch_size", low, high),
        }
        cost = source.cost(number, params)
        value = None if cost is None else _value(landscape, cost)
        played.append(Played(number, dict(params), value))
        if value is not None:
            worst = value if math.isnan(worst) else (max if landscape.is_loss else min)(worst, value)
        told = worst if value is None else value
        study.tell(trial, told if math.isfinite(told) else (10.0 if landscape.is_loss else 0.0))
    return played


SEARCHES: Mapping[str, Callable[[Landscape, int], list[Played]]] = {
    "ours": ours,
    "Optuna's TPE": partial(optunas, multivariate=False),
    "Optuna's TPE, multivariate": partial(optunas, multivariate=True),
}


def judge(landscape: Landscape, played: Sequence[Played]) -> Course:
    """Return what a search tried, by the truth."""
    valleys = [landscape.valleys[int(one.params["batch_size"])] for one in played]
    costs = np.array(
        [
            valley.cost(math.log10(float(one.params["learning_rate"])))
            for valley, one in zip(valleys, played, strict=True)
        ]
    )
    logs = np.minimum(np.log(costs / landscape.best.best_cost), math.log(_MOST))
    return Course(
        task=landscape.task.name,
        near=float((logs[_RANDOM:] < math.log(_NEAR)).mean()),
        late=float(np.median(logs[-_LATE:])),
        found_20=float(logs[:20].min()),
        found_50=float(logs.min()),
        diverged=float(np.mean([one.value is None for one in played])),
    )


def run(one: tuple[str, Landscape, int]) -> Course:
    """Search once."""
    name, landscape, index = one
    return judge(landscape, SEARCHES[name](landscape, derive_seed(0, landscape.name, "search", index) % 2**31))


def _value(landscape: Landscape, cost: float) -> float:
    return cost if landscape.is_loss else 1.0 - cost


def main() -> None:
    """Search, and print the table and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searches", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10, help="searches of each kind on a landscape")
    args = parser.parse_args()
    landscapes = [
        landscape
        for task in TASKS
        if task.role is Role.REPORTED
        for landscape in read_landscapes(task)
        if len(landscape.valleys) > 1 and landscape.is_inside
    ]
    plays = [(name, landscape, index) for name in SEARCHES for landscape in landscapes for index in range(args.jobs)]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        courses = list(processes.map(run, plays, chunksize=8))
    rows, document = [], {}
    for name in SEARCHES:
        mine = [course for (other, _, _), course in zip(plays, courses, strict=True) if other == name]
        figures = _figures(mine)
        rows.append(
            [name, *(figure.shown(scale, digits) for figure, (scale, digits) in zip(figures, _SHOWN, strict=True))]
        )
        document[name] = [figure.value for figure in figures]
    print_table(
        ("search", "near the best, %", "median cost, last 20", "best tried, 20", "best tried, 50", "diverged, %"), rows
    )
    n_tasks = len({landscape.task.name for landscape in landscapes})
    print(  # noqa: T201 - the product of this script
        json.dumps({"found": document, "landscapes": len(landscapes), "tasks": n_tasks, "load": os.getloadavg()})
    )


_SHOWN = ((100, 0), (1, 2), (1, 3), (1, 3), (100, 1))


def _figures(courses: Sequence[Course]) -> list[Measured]:
    by_task = group(courses, lambda one: one.task)

    def share(pick: str) -> Measured:
        return measure({task: [getattr(one, pick) for one in mine] for task, mine in by_task.items()}, mean)

    def ratio(pick: str) -> Measured:
        return measure({task: [getattr(one, pick) for one in mine] for task, mine in by_task.items()}, _geometric_mean)

    return [share("near"), ratio("late"), ratio("found_20"), ratio("found_50"), share("diverged")]


def _geometric_mean(logs: Sequence[float]) -> float:
    return math.exp(mean(logs))


if __name__ == "__main__":
    main()
