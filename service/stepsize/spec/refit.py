"""Refits: what a client may ask."""

from pydantic import Field

from stepsize.spec.base import Spec
from stepsize.spec.space import Scalar

MAX_SEEDS = 100


class RefitSpec(Spec):
    """Train a configuration on training and validation data, and measure it once on test data."""

    params: dict[str, Scalar] | None = Field(
        default=None, max_length=1000, examples=[{"learning_rate": 0.1, "batch_size": 64}]
    )
    """The configuration, besides what the job fixes; null: its best trial's."""
    epochs: int | None = Field(default=None, ge=1)
    """Steps to train for; null: as many as the job's trials."""
    seeds: int = Field(default=1, ge=1, le=MAX_SEEDS)
    """Trainings, each with an initialisation and an order of the data of its own."""
