"""Objectives: what a job optimises."""

from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from stepsize.spec.base import LONGEST_NAME, Spec


class Direction(StrEnum):
    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    def is_better(self, value: float, than: float) -> bool:
        """Tell whether `value` is strictly better than `than`."""
        return self.cost(value) < self.cost(than)

    def cost(self, value: float) -> float:
        """Return a value as something that gets better by getting smaller; the cost of a cost is the value."""
        return value if self is Direction.MINIMIZE else -value

    def worst(self, values: Iterable[float]) -> float:
        """Return the worst of some values."""
        return max(values, key=self.cost)


class Objective(Spec):
    """A metric and the direction in which it gets better."""

    metric: str = Field(min_length=1, max_length=LONGEST_NAME)
    direction: Direction
    target: float | None = None
    """End the job as soon as a trial is at least this good."""

    def is_met(self, value: float) -> bool:
        """Tell whether a value is at least as good as the target; without one nothing is."""
        return self.target is not None and self.direction.cost(value) <= self.direction.cost(self.target)
