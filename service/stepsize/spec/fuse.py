"""How many trials may be trained as one in a slot."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

AUTO: Literal["auto"] = "auto"
"""As many as measurement finds fastest, alone included."""
MOST_FUSED = 256


def _check(value: object) -> object:
    """Return what may be a choice; a union's own errors would name neither what is wrong nor the mend."""
    if value == AUTO:
        return value
    if isinstance(value, float) and value.is_integer():  # as elsewhere, a whole number may be written so
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_FUSED:
        return value
    raise ValueError(f'"auto" or a whole number from 1 to {MOST_FUSED} is expected here')


Fuse = Annotated[Annotated[int, Field(ge=1, le=MOST_FUSED)] | Literal["auto"], BeforeValidator(_check)]
