"""The LR range test beside full trainings: do its bounds hold the best rate, and how near are its suggestions?

`make bench-range-test` reads the sweeps and trainings that benchmarks/truth keeps; some minutes on one core.

1. On the tasks on which no constant was chosen: how often [low, high] of range tests with 3 seeds holds the best rate,
   how wide it is, and how often a test is refused though there is a best rate.
2. The distance of every rule from the best rate, in decades, beside Lightning's rule on the same sweeps.
3. Jobs that search between the bounds of range tests at all their batch sizes, beside jobs that search the default
   space: the mean cost of fresh seeds at the rates they recommend.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, median

import numpy as np

from benchmarks.honesty.figures import group, mean, measure
from benchmarks.honesty.jobs import Kept, play_job
from benchmarks.honesty.scores import score
from benchmarks.orchestration import print_table
from benchmarks.truth.sweeps import LONGEST, N_SWEEPS, SWEEP, CellSweeps, read_sweeps
from benchmarks.truth.tasks import TASKS, Role, TruthTask
from benchmarks.truth.valleys import Landscape, Valley, read_landscapes
from stepsize.domain.estimate import Estimate
from stepsize.domain.range_test import RangeTestFindings, RangeTestResult
from stepsize.domain.seeds import derive_seed
from stepsize.domain.soft_bounds import Edge
from stepsize.domain.trial import Report, Trial, TrialState
from stepsize.spec.range_test import RangeTestRule, RangeTestSpec
from stepsize_workers.range_tests import bounds_from, conclude_range_test
from stepsize_workers.trainers.base import TRAINING_UPDATES, UNTRAINED_LOSS
from stepsize_workers.training.range_test import Array
from tests.builders import bare_trial

N_SEEDS = 3
N_TESTS = N_SWEEPS // N_SEEDS
CHOSEN_ON = ("digits-plain-sgd", "digits-plain-sgd-long")
"""Beside the tasks of `Role.CHOOSES`, the range test's constants were chosen on these."""
N_JOBS = 6
RULES: tuple[RangeTestRule | None, ...] = (None, *RangeTestRule)


@dataclass(frozen=True)
class Tested:
    """One range test of one cell, in one metric."""

    valley: Valley
    results: dict[RangeTestRule | None, RangeTestResult]
    lightning: dict[str, float]
    """log10 of what Lightning's rules suggest."""

    @property
    def task(self) -> str:
        return self.valley.task.name

    @property
    def bounds(self) -> tuple[float, float] | None:
        """log10 of the bounds; None: the test was refused."""
        result = self.results[None]
        if result.inconclusive is not None:
            return None
        low, high = _value(result.low), _value(result.high)
        assert low is not None, "a conclusive test has a lowest rate"
        return math.log10(low), math.log10(SWEEP.high if high is None else high)


def is_reported(task: TruthTask) -> bool:
    """Tell whether no constant of the range test was chosen on a task."""
    return task.role is Role.REPORTED and task.name not in CHOSEN_ON


def test_cells(tasks: Sequence[TruthTask]) -> list[Tested]:
    """Return every range test beside the truth it should hold."""
    tested = []
    for task in tasks:
        sweeps = read_sweeps(task)
        valleys = [valley for landscape in read_landscapes(task) for valley in landscape.valleys.values()]
        for size, swept in sweeps.items():
            for index in range(N_TESTS):
                part = slice(index * N_SEEDS, (index + 1) * N_SEEDS)
                results = {rule: conclude({size: swept}, part, rule).results[0] for rule in RULES}
                own = [losses[-SWEEP.steps :] for losses in swept.losses[part]]
                theirs = {name: _mean_log([lightning(one, per_point=p) for one in own]) for name, p in _LIGHTNING}
                tested += [
                    Tested(valley, results, theirs)
                    for valley in valleys
                    if valley.batch_size == size and valley.is_inside
                ]
        say(task.name)
    return tested


def conclude(sweeps: dict[int, CellSweeps], part: slice, rule: RangeTestRule | None = None) -> RangeTestFindings:
    """Return what the service would find in these sweeps of several batch sizes."""
    spec = RangeTestSpec.model_validate({"trainer": {"name": "synthetic"}, "seed": 0, "rule": rule})
    trials: list[Trial] = []
    reports: list[Report] = []
    for size, swept in sweeps.items():
        for losses, untrained in zip(swept.losses[part], swept.untrained[part], strict=True):
            number = len(trials)
            trials.append(bare_trial(number, params={"batch_size": size}, state=TrialState.COMPLETED))
            beside = {TRAINING_UPDATES: float(swept.training_updates)}
            reports += _reports(number, losses, untrained, beside)
    return conclude_range_test(spec, trials, reports)


def _reports(number: int, losses: Array, untrained: Array, beside: dict[str, float]) -> Iterator[Report]:
    for step, (loss, of_untrained) in enumerate(zip(losses, untrained, strict=True), start=1):
        if math.isfinite(loss):
            values = {"learning_rate": LONGEST.rate(step), "loss": float(loss), UNTRAINED_LOSS: float(of_untrained)}
            yield Report(number, step, values | beside, 0.0)


_LIGHTNING = (("Lightning's, against the rate itself", False), ("Lightning's, per point of the sweep", True))


def lightning(losses: Array, *, per_point: bool) -> float:
    """Return what PyTorch Lightning's finder suggests: the steepest point of a one-sided average of the loss.

    NaN where it suggests nothing, as its average had risen fourfold before there was a slope.

    Args:
        per_point: differentiate against the index of the point, as some of its versions do, not against lr.
    """
    rates = np.array([SWEEP.rate(step) for step in range(1, SWEEP.steps + 1)])
    decay, skip_first, skip_last, stop_at = 0.98, 10, 1, 4.0
    average, smoothed, lowest = 0.0, [], math.inf
    for step, loss in enumerate(losses[np.isfinite(losses)], start=1):
        average = decay * average + (1 - decay) * float(loss)
        smoothed.append(average / (1 - decay**step))
        if step > 1 and smoothed[-1] > stop_at * lowest:
            break
        lowest = min(lowest, smoothed[-1])
    kept = np.array(smoothed[skip_first:-skip_last])
    if len(kept) < 2:
        return math.nan
    slope = np.gradient(kept) if per_point else np.gradient(kept, rates[skip_first : skip_first + len(kept)])
    return float(rates[skip_first + int(np.argmin(slope))])


def _mean_log(rates: Sequence[float]) -> float:
    known = [math.log10(rate) for rate in rates if math.isfinite(rate)]
    return mean(known)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


# -- searches --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Searched:
    """Jobs of one landscape, in pairs: log of the cost at the rate recommended, with range test − without."""

    landscape: Landscape
    differences: list[float]

    @property
    def task(self) -> str:
        return self.landscape.task.name

    def lower_bound(self, n_landscapes: int) -> float:
        """Return the ratio's lower 95 % bound, simultaneous over all landscapes."""
        z = NormalDist().inv_cdf(1 - 0.05 / n_landscapes)
        error = float(np.std(self.differences, ddof=1)) / math.sqrt(len(self.differences))
        return math.exp(mean(self.differences) - z * error)


def search(landscape: Landscape, n_jobs: int) -> Searched:
    """Play jobs with the bounds of range tests at all batch sizes, and jobs in the task's own space."""
    sweeps = {size: swept for size, swept in read_sweeps(landscape.task).items() if size in landscape.valleys}
    differences = []
    for index in range(n_jobs):
        test = index % N_TESTS
        found = conclude(sweeps, slice(test * N_SEEDS, (test + 1) * N_SEEDS))
        bounds = bounds_from(found, default=None)
        tested = replace(landscape, task=replace(landscape.task, low=bounds.low, high=bounds.high))
        seed = derive_seed(0, landscape.name, index)
        costs = [_cost(tested, landscape, seed, soft=bounds.found), _cost(landscape, landscape, seed)]
        differences.append(math.log(costs[0] / costs[1]))
    say(landscape.name)
    return Searched(landscape, differences)


def _cost(searched: Landscape, truth: Landscape, seed: int, *, soft: Sequence[Edge] = ()) -> float:
    """Return the mean cost of fresh seeds at the recommended rate, or at the best trial's where nothing is said."""
    judged = score(play_job(searched, Kept(truth, np.random.default_rng(seed)), seed=seed, soft=soft))
    return judged.argmin_regret if judged.regret is None else judged.regret


# -- tables ----------------------------------------------------------------------------------------------------------


def print_cells(tested: Sequence[Tested]) -> dict[str, object]:
    """Print the first two tables; return their summary."""
    by_task = group(tested, lambda one: one.task)

    def inside(one: Tested) -> bool:
        bounds = one.bounds
        return bounds is not None and bounds[0] <= one.valley.best <= bounds[1]

    rows = []
    for name, mine in by_task.items():
        known = [(one, one.bounds) for one in mine if one.bounds]
        below = sum(one.valley.best < bounds[0] for one, bounds in known)
        above = sum(one.valley.best > bounds[1] for one, bounds in known)
        width = median(bounds[1] - bounds[0] for _, bounds in known)
        refused = len(mine) - len(known)
        n_inside = sum(map(inside, mine))
        rows.append([name, f"{n_inside} of {len(mine)}", str(below), str(above), str(refused), f"{width:.2f}"])
    print_table(("task", "best rate inside", "below low", "above high", "refused", "width, decades"), rows)
    share = measure({name: [inside(one) for one in mine if one.bounds] for name, mine in by_task.items()}, mean)
    refusals = measure({name: [one.bounds is None for one in mine] for name, mine in by_task.items()}, mean)
    widths = {name: [one.bounds[1] - one.bounds[0] for one in mine if one.bounds] for name, mine in by_task.items()}
    middle = measure(widths, median)
    print_table(
        ("figure", "target", "measured"),
        [
            ["best rate inside, %", "≥ 95", share.shown(100, 1)],
            ["median width, decades", "≤ 2.4", middle.shown(1, 2)],
            ["refused wrongly, %", "≤ 2", refusals.shown(100, 1)],
        ],
    )
    distances: dict[str, list[float]] = {}
    for one in tested:
        if one.bounds is None:
            continue
        for rule, result in one.results.items():
            suggestion = _value(result.suggestion)
            assert suggestion is not None, "a conclusive test suggests a rate"
            name = "none given" if rule is None else rule.value
            distances.setdefault(name, []).append(math.log10(suggestion) - one.valley.best)
        for name, decades in one.lightning.items():
            if math.isfinite(decades):
                distances.setdefault(name, []).append(decades - one.valley.best)
    print_table(
        ("rule", "distance, median", "90 %", "offset, median"),
        [
            [
                name,
                f"{median(map(abs, found)):.2f}",
                f"{np.quantile(np.abs(found), 0.9):.2f}",
                f"{median(found):+.2f}",
            ]
            for name, found in distances.items()
        ],
    )
    return {"inside": share.value, "inside_low": share.low, "width": middle.value, "refused": refusals.value}


def print_searches(searched: Sequence[Searched]) -> dict[str, object]:
    """Print the third table; return its summary."""
    by_task = {name: [d for one in mine for d in one.differences] for name, mine in _by_task(searched).items()}
    ratio = measure(by_task, lambda values: math.exp(mean(values)))
    worst = max(searched, key=lambda one: one.lower_bound(len(searched)))
    bound = worst.lower_bound(len(searched))
    print_table(
        ("figure", "target", "measured"),
        [
            ["cost with range test ÷ in the default space, geometric mean", "≤ 1.05", ratio.shown(1, 3)],
            ["highest lower bound of a landscape", "≤ 1.25", f"{bound:.3f} ({worst.landscape.name})"],
        ],
    )
    return {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high, "worst_lower_bound": bound}


def _by_task(searched: Sequence[Searched]) -> dict[str, list[Searched]]:
    return group(searched, lambda one: one.task)


def say(progress: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(f"{progress}\n")


def main() -> None:
    """Measure everything and print the tables and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.range_test", description=__doc__)
    parser.add_argument("--part", choices=("cells", "searches"), help="only the first two tables, or only the third")
    parser.add_argument("--jobs", type=int, default=N_JOBS, help="pairs of jobs a landscape")
    args = parser.parse_args()
    tasks = [task for task in TASKS if is_reported(task)]
    summary: dict[str, object] = {}
    if args.part != "searches":
        summary |= print_cells(test_cells(tasks))
    if args.part != "cells":
        landscapes = [one for task in tasks for one in read_landscapes(task) if len(one.valleys) > 1]
        summary |= print_searches([search(landscape, args.jobs) for landscape in landscapes])
    print(json.dumps({**summary, "load": os.getloadavg()}))  # noqa: T201


if __name__ == "__main__":
    main()
