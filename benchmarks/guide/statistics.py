"""Means with intervals, paired differences, and what a scan over learning rates says."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from benchmarks.guide.results import Run
from stepsize.domain.student_t import t_quantile
from stepsize.spec.space import Scalar

GUESSING = math.log(10)
"""The loss of giving each of ten digits the same probability; a training that diverged or ended above it counts as
this: being confidently wrong is no more useless, and one such seed would drown the others."""
UNLEARNED = 0.2
"""A last accuracy below this is called guessing: chance is 0.1, and a rate that learns at all is far above."""
NEAR = 1.25
"""A loss of up to this times the lowest is called good, where the width of the good region is told."""

BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with Student's 95 % interval; without one if there is but one seed."""

    value: float
    half: float
    n: int

    @property
    def low(self) -> float:
        return self.value - self.half

    @property
    def high(self) -> float:
        return self.value + self.half

    @property
    def is_clear(self) -> bool:
        """Whether 0 is outside the interval."""
        return self.n > 1 and (self.low > 0 or self.high < 0)


def estimate(values: Iterable[float], *, n_comparisons: int = 1) -> Estimate:
    """Return the mean; its interval covers with 95 % for all of so many comparisons together (Bonferroni)."""
    found = list(values)
    if len(found) < 2:
        return Estimate(fmean(found), 0.0, len(found))
    quantile = t_quantile(1 - 0.025 / n_comparisons, df=len(found) - 1)
    return Estimate(fmean(found), quantile * stdev(found) / math.sqrt(len(found)), len(found))


def difference(one: BySeed, other: BySeed, *, n_comparisons: int = 1) -> Estimate:
    """Return the mean of `one - other` over the seeds they share."""
    return estimate((one[seed] - other[seed] for seed in one if seed in other), n_comparisons=n_comparisons)


def score(run: Run) -> float:
    """Return a run's last loss, to be minimised; at most that of guessing."""
    return GUESSING if run.loss is None else min(run.loss, GUESSING)


def group(runs: Iterable[Run], name: str) -> dict[Scalar, list[Run]]:
    """Return runs by the value of a parameter, in order of the values, names by the alphabet."""
    found: dict[Scalar, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.params[name]].append(run)
    if all(isinstance(value, int | float) for value in found):
        return dict(sorted(found.items(), key=lambda item: float(item[0])))
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def by_rate(runs: Iterable[Run]) -> dict[float, dict[int, Run]]:
    """Return the run of each seed at each rate, lowest rate first."""
    found: dict[float, dict[int, Run]] = defaultdict(dict)
    for run in runs:
        found[float(f"{run.rate:.6g}")][run.seed] = run
    return dict(sorted(found.items()))


def tuned_runs(runs: Iterable[Run]) -> dict[int, Run]:
    """Return for each seed its run at the rate that is best over all *other* seeds.

    So no seed has a say in the choice by which it is judged, and luck is not counted as skill.
    """
    scan = by_rate(runs)
    seeds = sorted({seed for found in scan.values() for seed in found})
    chosen: dict[int, Run] = {}
    for seed in seeds:
        others = [other for other in seeds if other != seed] or [seed]
        chosen[seed] = min(scan.values(), key=lambda found: fmean(score(found[other]) for other in others))[seed]
    return chosen


def tuned(runs: Iterable[Run], value: Callable[[Run], float] = score) -> dict[int, float]:
    """Return a value of each seed's run at the rate the other seeds like best."""
    return {seed: value(run) for seed, run in tuned_runs(runs).items()}


def best_log_rate(runs: Iterable[Run]) -> dict[int, float]:
    """Return log10 of each seed's best rate: the vertex of the parabola through the lowest loss and its neighbours."""
    scan = by_rate(runs)
    logs = [math.log10(rate) for rate in scan]
    seeds = sorted({seed for found in scan.values() for seed in found})
    return {seed: _vertex(logs, [math.log(max(score(found[seed]), 1e-9)) for found in scan.values()]) for seed in seeds}


def _vertex(x: Sequence[float], y: Sequence[float]) -> float:
    index = min(range(len(y)), key=y.__getitem__)
    if not 0 < index < len(y) - 1:
        return x[index]
    below, at, above = y[index - 1 : index + 2]
    curvature = below - 2 * at + above
    shift = (below - above) / (2 * curvature) if curvature > 0 else 0.0
    return x[index] + min(max(shift, -0.5), 0.5) * (x[index + 1] - x[index])


def good_decades(runs: Iterable[Run]) -> float:
    """Return how many decades around the best rate have a mean loss within `NEAR` of the lowest."""
    scan = by_rate(runs)
    logs = [math.log10(rate) for rate in scan]
    losses = [math.log(fmean(score(run) for run in found.values())) for found in scan.values()]
    best = min(range(len(losses)), key=losses.__getitem__)
    limit = losses[best] + math.log(NEAR)
    return _reach(logs, losses, best, limit, step=1) + _reach(logs, losses, best, limit, step=-1)


def _reach(x: Sequence[float], y: Sequence[float], start: int, limit: float, *, step: int) -> float:
    """Return the distance from x[start] to where y crosses the limit, or to the end."""
    index = start
    while 0 <= index + step < len(x):
        if y[index + step] > limit:
            share = (limit - y[index]) / (y[index + step] - y[index])
            return abs(x[index] + share * (x[index + step] - x[index]) - x[start])
        index += step
    return abs(x[index] - x[start])


def epochs_to(run: Run, accuracy: float) -> float:
    """Return the first epoch whose accuracy is at least this; infinite: none."""
    found = (epoch for epoch, value in enumerate(run.accuracies, start=1) if value >= accuracy)
    return float(next(found, math.inf))


def median_epochs_to(runs: Iterable[Run], accuracy: float) -> float:
    """Return the median over seeds; infinite if half of them never get there."""
    return median(epochs_to(run, accuracy) for run in runs)


def best_so_far(runs: Iterable[Run]) -> dict[int, list[float]]:
    """Return the lowest loss of each seed's search after 1, 2, … trials."""
    found: dict[int, list[float]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.number):
        previous = found[run.seed][-1] if found[run.seed] else math.inf
        found[run.seed].append(min(previous, score(run)))
    return dict(sorted(found.items()))


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of the least-squares line."""
    mean_x, mean_y = fmean(x), fmean(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)
