"""Numbers with their uncertainty."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """The base of what is told about jobs. Fields may be added in later versions."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="null")


class Estimate(Part):
    """A number and its 95 % interval; what can't be said is null, and the caveat says why."""

    value: float | None
    low: float | None
    high: float | None
    caveat: str | None = None
    is_guess: bool = False
    """Extrapolated, or from fewer than three trials: the caveat says which."""
