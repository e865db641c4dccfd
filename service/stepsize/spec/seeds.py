"""Which seed a trial trains with."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from stepsize.spec.base import Spec

MOST_BLOCKS = 1000


class SeedRule(StrEnum):
    """How trials come by their training seeds."""

    FRESH = "fresh"
    """Each trial has its own: what is found holds for trainings in general."""
    SHARED = "shared"
    """All trials have the same: what is found holds for that seed."""
    UNKNOWN = "unknown"
    """Clients train with seeds that nobody has noted: all may be the same. Of a job of the engine `external` only."""


class SeedBlocks(Spec):
    """A few seeds in turn: trial i trains with seed i mod n."""

    blocks: int = Field(ge=2, le=MOST_BLOCKS)
    """How many seeds."""


def _check(value: object) -> object:
    """Return what may be a rule; a union's own errors would name neither what is wrong nor the mend."""
    if isinstance(value, (SeedRule, SeedBlocks)) or value in tuple(SeedRule):
        return value
    blocks = value.get("blocks") if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(blocks, int) and not isinstance(blocks, bool) and 2 <= blocks <= MOST_BLOCKS:
        return value
    raise ValueError(f'"fresh", "shared", "unknown" or {{"blocks": n}} with n from 2 to {MOST_BLOCKS} is expected')


Seeds = Annotated[SeedRule | SeedBlocks, BeforeValidator(_check)]
