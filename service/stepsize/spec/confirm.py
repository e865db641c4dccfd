"""Whether a job ends by checking its answer."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from stepsize.spec.base import Spec

DEFAULT_SHARE = 0.15
MOST_SHARE = 0.5
MIN_TRIALS = 20
"""Trials from which an answer is checked unless asked otherwise: of fewer, hardly two would be left to check it."""


MIN_CHECKS = 2
"""One training says nothing about the mean."""


class ConfirmShare(Spec):
    """How much of `max_trials` is kept to check the answer."""

    share: float = Field(gt=0, le=MOST_SHARE)
    """Of `max_trials`, rounded down."""


def _check(value: object) -> object:
    """Return what may be a choice; a union's own errors would name neither what is wrong nor the mend."""
    if value is None or isinstance(value, (bool, ConfirmShare)):
        return value
    share = value.get("share") if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(share, (int, float)) and not isinstance(share, bool) and 0 < share <= MOST_SHARE:
        return value
    raise ValueError(f'true, false or {{"share": s}} with s above 0 and up to {MOST_SHARE} is expected here')


Confirm = Annotated[bool | ConfirmShare, BeforeValidator(_check)]


def n_kept(confirm: bool | ConfirmShare | None, max_trials: int) -> int:
    """Return how many of a job's trials are kept to check its answer."""
    match confirm:
        case ConfirmShare(share=share):
            return int(share * max_trials)
        case True:
            return int(DEFAULT_SHARE * max_trials)
        case _:
            return 0
