"""Objectives: what a job optimises."""

from enum import StrEnum

from pydantic import Field

from stepsize.spec.base import Spec


class Direction(StrEnum):
    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    def is_better(self, value: float, than: float) -> bool:
        """Tell whether `value` is strictly better than `than`."""
        return value < than if self is Direction.MINIMIZE else value > than


class Objective(Spec):
    """A metric and the direction in which it gets better."""

    metric: str = Field(min_length=1)
    direction: Direction
    target: float | None = None
    """End the job as soon as a trial is at least this good."""
