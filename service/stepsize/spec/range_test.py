"""Learning-rate range tests: what a client may ask."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from stepsize.spec.base import Spec, WholeNumber
from stepsize.spec.job import Label, Resources, TrainerChoice

MAX_BATCH_SIZES = 20
MAX_SEEDS = 20


class RangeTestRule(StrEnum):
    """How a learning rate is chosen from the curve of a sweep."""

    STEEPEST = "steepest"
    """Where the loss falls fastest per decade."""
    VALLEY = "valley"
    """The middle of the longest fall."""
    MINIMUM_OVER_10 = "minimum/10"
    """A tenth of the rate at which the loss is lowest."""
    LOSS_RISES = "loss_rises"
    """Half way, in decades, from the steepest point to where the loss begins to rise."""


class SweepRange(Spec):
    """From where to where the learning rate rises, and in how many updates."""

    low: float = Field(default=1e-7, gt=0)
    """The rate of the first update: too low to learn anything."""
    high: float = Field(default=10.0, gt=0)
    """The rate of the last update, if the loss has not exploded before."""
    steps: int = Field(default=100, ge=10, le=1000)
    """Updates, evenly spread over the decades."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, not {self.low:g} and {self.high:g}")
        return self


class RangeTestSpec(SweepRange):
    """A learning-rate range test: the rate rises with every update, and the loss says between which rates to search."""

    name: Annotated[str, StringConstraints(max_length=200)] = ""
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=50)
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Larger goes first."""
    trainer: TrainerChoice
    """What to train; its learning rate and schedule play no part."""
    batch_sizes: list[WholeNumber] | None = Field(default=None, min_length=1, max_length=MAX_BATCH_SIZES)
    """One test each; null: at the batch size in the trainer's parameters."""
    seeds: int = Field(default=3, ge=1, le=MAX_SEEDS)
    """Sweeps at each batch size, each with a model and an order of the data of its own; intervals need two or more."""
    rule: RangeTestRule | None = None
    """How the suggestion is chosen; null: as was nearest to the best rate over many tasks, which knows how long the
    training will be."""
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Fixes all sweeps; null: drawn and written back."""
    resources: Resources = Field(default_factory=Resources)
