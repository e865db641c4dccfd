"""What the last values of a trial amount to: objectives, and the constraints that make it infeasible all the same."""

from collections.abc import Mapping, Sequence

from stepsize.domain.trial import TrialError
from stepsize.spec.constraints import broken_outcome
from stepsize.spec.objective import Objective


def objective_values(objectives: Sequence[Objective], values: Mapping[str, float]) -> tuple[float, ...]:
    """Return the values of the objectives, in their order; all must have been reported."""
    return tuple(values[objective.metric] for objective in objectives)


def unreported_error(objectives: Sequence[Objective], values: Mapping[str, float]) -> TrialError | None:
    """Return what the error of a trial says that has ended without all of its objectives; None: it reported them."""
    missing = [objective.metric for objective in objectives if objective.metric not in values]
    if not missing:
        return None
    reported = ", ".join(values) or "nothing"
    message = f"the trainer ended without reporting {', '.join(missing)}; it reported {reported}"
    return TrialError("ObjectiveNotReported", message)


def outcome_error(constraints: Sequence[str], values: Mapping[str, float]) -> TrialError | None:
    """Return what a trial's error says if its last metrics break a constraint; None: they satisfy all.

    Such a trial is `infeasible` without a reason; its values are kept, and it has no objective.
    """
    broken = broken_outcome(constraints, values)
    return None if broken is None else TrialError("OutcomeConstraintBroken", broken)
