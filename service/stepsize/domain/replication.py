"""What replicates say: the mean of a configuration over fresh seeds, and which configurations can't be told apart.

The trial that was replicated is left out of its own mean: it was chosen for being the best, so it has had luck.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from stepsize.domain.estimate import Estimate
from stepsize.domain.student_t import t_quantile
from stepsize.domain.trial import Trial, TrialState
from stepsize.spec.objective import Direction

MIN_REPLICATES = 2
"""One says nothing about the spread."""
_UPPER = 0.975
"""Of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Replication:
    """The replicates of one trial that have completed."""

    values: tuple[float, ...]
    """Of the objective, by the replicates' numbers."""

    @property
    def mean(self) -> Estimate:
        """The mean, with Student's 95 % interval."""
        n, mean = len(self.values), fmean(self.values)
        if n < MIN_REPLICATES:
            return Estimate(value=mean, low=None, high=None, caveat="one replicate says nothing about the spread")
        half = t_quantile(_UPPER, df=n - 1) * math.sqrt(variance(self.values) / n)
        return Estimate(value=mean, low=mean - half, high=mean + half)


def group_replicates(trials: Iterable[Trial]) -> dict[int, Replication]:
    """Return the completed replicates of each replicated trial, by its number."""
    values: dict[int, list[float]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.replicate_of is not None and trial.state is TrialState.COMPLETED and trial.objective is not None:
            values.setdefault(trial.replicate_of, []).append(trial.objective)
    return {number: Replication(tuple(found)) for number, found in values.items()}


def rank(trials: Sequence[Trial], replications: Mapping[int, Replication], direction: Direction) -> list[Trial]:
    """Return trials best first: those with enough replicates by their means, then the others by their own values."""

    def place(trial: Trial) -> tuple[bool, float, int]:
        replication = replications.get(trial.number)
        if replication is not None and len(replication.values) >= MIN_REPLICATES:
            return False, direction.cost(fmean(replication.values)), trial.number
        return True, direction.cost(trial.objective or 0.0), trial.number

    return sorted(trials, key=place)


def tied_with(number: int, replications: Mapping[int, Replication]) -> list[int]:
    """Return the replicated trials that can't be told from this one: Welch's interval of the difference holds 0."""
    own = replications.get(number)
    if own is None:
        return []
    return [other for other, its in sorted(replications.items()) if other != number and _are_tied(own, its)]


def _are_tied(one: Replication, other: Replication) -> bool:
    if min(len(one.values), len(other.values)) < MIN_REPLICATES:
        return False
    parts = [variance(group.values) / len(group.values) for group in (one, other)]
    difference = fmean(one.values) - fmean(other.values)
    if sum(parts) == 0.0:
        return difference == 0.0
    groups = zip(parts, (one, other), strict=True)
    df = sum(parts) ** 2 / sum(part**2 / (len(group.values) - 1) for part, group in groups)
    return abs(difference) <= t_quantile(_UPPER, df=df) * math.sqrt(sum(parts))
