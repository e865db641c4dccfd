"""What a range test found: written by the worker that ran it, read by the API and by tuning jobs that wait for it."""

from pydantic import BaseModel, ConfigDict

from stepsize.domain.estimate import Estimate


class _Finding(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class RangeTestCurve(_Finding):
    """The sweeps at one batch size: every list but `losses` has one entry a rate."""

    learning_rate: list[float]
    losses: list[list[float | None]]
    """One list a seed: the loss after the update at each rate, as far as the sweep went before it exploded; null below
    the rate at which it began."""
    smoothed: list[float | None]
    """Their mean, smoothed as the rules read it; null beyond the rate that every sweep reached."""


class RangeTestResult(_Finding):
    """What the sweeps at one batch size say; intervals are over seeds."""

    batch_size: int | None
    """Null: the trainer has no such parameter."""
    low: Estimate | None
    """The lowest rate worth searching, for trainings as long as the test knows them to be."""
    suggestion: Estimate | None
    """The rate the rule chose."""
    high: Estimate | None
    """The divergence edge: two fifths of the fall are lost again; null with a caveat if that was never reached."""
    curve: RangeTestCurve
    inconclusive: str | None = None
    """Why there is no result."""


class RangeTestFindings(_Finding):
    """Everything a range test found."""

    sweep_low: float
    """The rate the sweeps began at."""
    sweep_high: float
    """The rate at which they would have ended without an explosion."""
    results: list[RangeTestResult]
    """By batch size."""
