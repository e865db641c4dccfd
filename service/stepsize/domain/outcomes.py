"""Outcome constraints: why a trial that trained to its end is infeasible all the same."""

from collections.abc import Mapping, Sequence

from stepsize.domain.trial import TrialError
from stepsize.spec.constraints import broken_outcome


def outcome_error(constraints: Sequence[str], values: Mapping[str, float]) -> TrialError | None:
    """Return what a trial's error says if its last metrics break a constraint; None: they satisfy all.

    Such a trial is `infeasible` without a reason; its values are kept, and it has no objective.
    """
    broken = broken_outcome(constraints, values)
    return None if broken is None else TrialError("OutcomeConstraintBroken", broken)
