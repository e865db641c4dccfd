"""The base of every model a client may send."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen part of a specification; unknown fields are refused, so a typo never becomes a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
