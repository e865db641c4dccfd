"""Figures over many jobs, with intervals that know that jobs of one task are alike: whole tasks are drawn anew."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

N_RESAMPLES = 2000

T = TypeVar("T")
ByTask = Mapping[str, Sequence[T]]
Statistic = Callable[[Sequence[T]], float]


@dataclass(frozen=True)
class Measured:
    """A figure and its 95 % interval over tasks."""

    value: float
    low: float
    high: float
    n: int
    """Of what it is a figure."""

    def shown(self, scale: float = 1.0, digits: int = 0) -> str:
        """Return it as text."""
        if not self.n:
            return "–"
        value, low, high = (f"{scale * number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value} ({low} to {high}), n = {self.n}"


def mean(values: Sequence[float | bool]) -> float:
    """Return the mean; NaN of nothing."""
    return math.fsum(values) / len(values) if values else math.nan


def median(values: Sequence[float]) -> float:
    """Return the median; NaN of nothing."""
    return float(np.median(values)) if values else math.nan


def measure(by_task: ByTask[T], statistic: Statistic[T]) -> Measured:
    """Return a statistic of all that there is, with the interval that drawing tasks anew gives."""
    tasks = [values for values in by_task.values() if values]
    everything = [value for values in tasks for value in values]
    if not tasks:
        return Measured(math.nan, math.nan, math.nan, 0)
    rng = np.random.default_rng(0)
    drawn = [
        statistic([value for index in rng.integers(0, len(tasks), len(tasks)) for value in tasks[index]])
        for _ in range(N_RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measured(statistic(everything), float(low), float(high), len(everything))


def group(items: Sequence[T], task_of: Callable[[T], str]) -> dict[str, list[T]]:
    """Return items by task."""
    grouped: dict[str, list[T]] = {}
    for item in items:
        grouped.setdefault(task_of(item), []).append(item)
    return grouped
