"""Pruners: when to stop a hopeless trial early.

To add one: a class here, in the union on the last line, and a builder class that names it, in
workers/stepsize_workers/sampling/builders.py. What else has to know about it asks the class.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stepsize.spec.base import Spec

_LARGEST_FACTOR = 1000
_MOST_RUNGS = 64
"""A rung lies at the factor to the power of its number: unbounded, one job's arithmetic would hold up the worker."""


class PrunerBase(Spec):
    """What every pruner says of itself."""

    judges: ClassVar[bool] = True
    """Whether it wants to hear of every report."""
    compares: ClassVar[bool] = True
    """Whether it judges a trial by earlier ones."""

    name: str

    @property
    def first_step(self) -> int:
        """The earliest step at which a trial may be stopped."""
        return 1

    @property
    def n_trials_first(self) -> int:
        """Trials that run to their end before any may be stopped."""
        return 1 if self.compares else 0


class NoPruner(PrunerBase):
    """Every trial runs to its end: reports then never wait for a verdict."""

    judges = False
    compares = False
    name: Literal["none"] = "none"


class RankPruner(PrunerBase):
    """What stops a trial by where its best value stands among those of earlier trials at its step."""

    n_startup_trials: int = Field(default=5, ge=0)
    """Trials that run to their end before any is pruned."""
    n_warmup_steps: int = Field(default=0, ge=0)
    """Steps of each trial in which it is never pruned."""
    interval_steps: int = Field(default=1, ge=1)
    """Steps between two verdicts."""

    @property
    def first_step(self) -> int:
        """The first after the warmup."""
        return max(1, self.n_warmup_steps)

    @property
    def n_trials_first(self) -> int:
        """The startup trials."""
        return max(1, self.n_startup_trials)


class MedianPruner(RankPruner):
    """Stop a trial whose best value is worse than the median of earlier trials at its step: safe from 20 trials on."""

    name: Literal["median"] = "median"


class AshaPruner(PrunerBase):
    """Asynchronous successive halving: for many trials with long runs.

    Of the trials that reach a rung only the best 1/`reduction_factor` go on.
    """

    name: Literal["asha"] = "asha"
    min_resource: int = Field(default=1, ge=1)
    """Step of the first rung."""
    reduction_factor: int = Field(default=4, ge=2, le=_LARGEST_FACTOR)
    """Each rung keeps one trial in this many and lies this many times further on."""
    min_early_stopping_rate: int = Field(default=0, ge=0, le=_MOST_RUNGS)
    """Rungs skipped at the start, for metrics that mislead early."""

    @property
    def first_step(self) -> int:
        """The first rung that is not skipped."""
        return self.min_resource * int(self.reduction_factor**self.min_early_stopping_rate)


class PercentilePruner(RankPruner):
    """Stop a trial that is outside the best `percentile` per cent of earlier trials at the same step.

    Like median with the strictness of your choice: 25 stops three of four.
    """

    name: Literal["percentile"] = "percentile"
    percentile: float = Field(default=25.0, gt=0, lt=100)
    """Share of trials, in per cent, that goes on."""


class HyperbandPruner(PrunerBase):
    """Several halvings side by side, from patient to strict: when it is unclear how early a trial shows its worth."""

    name: Literal["hyperband"] = "hyperband"
    min_resource: int = Field(default=1, ge=1)
    """Step of the strictest bracket's first rung."""
    max_resource: int | None = Field(default=None, ge=1)
    """Step at which trials end; null: learnt from the first completed trial."""
    reduction_factor: int = Field(default=3, ge=2, le=_LARGEST_FACTOR)
    """Each rung keeps one trial in this many."""

    @model_validator(mode="after")
    def _check_resources(self) -> Self:
        if self.max_resource is not None and self.max_resource < self.min_resource:
            raise ValueError(f"max_resource ({self.max_resource}) is below min_resource ({self.min_resource})")
        return self

    @property
    def first_step(self) -> int:
        """The strictest bracket's first rung."""
        return self.min_resource


class ThresholdPruner(PrunerBase):
    """Stop a trial whose value leaves fixed bounds: when you know what hopeless looks like."""

    compares = False
    name: Literal["threshold"] = "threshold"
    lower: float | None = None
    """Stop below this value."""
    upper: float | None = None
    """Stop above this value."""
    n_warmup_steps: int = Field(default=0, ge=0)
    """Steps of each trial in which it is never pruned."""
    interval_steps: int = Field(default=1, ge=1)
    """Steps between two verdicts."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("give lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower ({self.lower}) is above upper ({self.upper}); swap them")
        return self

    @property
    def first_step(self) -> int:
        """The first after the warmup."""
        return max(1, self.n_warmup_steps)


class PatientPruner(PrunerBase):
    """Stop a trial that has not improved on itself for `patience` steps: early stopping, blind to other trials."""

    compares = False
    name: Literal["patient"] = "patient"
    patience: int = Field(default=3, ge=0)
    """Steps without improvement that are tolerated."""
    min_delta: float = Field(default=0.0, ge=0)
    """An improvement smaller than this is none."""

    @property
    def first_step(self) -> int:
        """The first with enough reports behind it."""
        return self.patience + 2


Pruner = Annotated[
    NoPruner | MedianPruner | PercentilePruner | AshaPruner | HyperbandPruner | ThresholdPruner | PatientPruner,
    Field(discriminator="name"),
]
