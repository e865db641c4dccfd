"""How the end of an attempt is read: what the trial becomes, and why. Decided before the commit that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stepsize.domain.outcomes import outcome_error
from stepsize.domain.trial import TrialError, TrialReason, TrialState
from stepsize.spec.job import JobSpec
from stepsize.spec.objective import Objective
from stepsize.spec.space import Params
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Ended, Outcome, TrialKey


@dataclass
class Running:
    """A trial under way: what it has said so far, and why it was asked to stop, if it was."""

    key: TrialKey
    slot: SlotRecord
    params: Params
    step: int | None = None
    checkpoint_step: int | None = None
    values: dict[str, float] = field(default_factory=dict)
    stop_because: TrialReason | None = None
    is_apart: bool = False
    """No part of the search: a replicate, or a trial of a job that searches nothing."""
    data_hash: str | None = None
    shutting_down: bool = False


@dataclass(frozen=True)
class Conclusion:
    """How a trial goes on or ends, decided before the commit that says so."""

    run: Running
    state: TrialState
    reason: TrialReason | None = None
    error: TrialError | None = None
    values: tuple[float, ...] | None = None
    """Of the objectives: measured, or what stands in for an infeasible trial's."""
    artifacts: tuple[str, ...] = ()
    gpu_seconds: float = 0.0


def conclude(ended: Ended, run: Running, spec: JobSpec, *, stand_in: tuple[float, ...] | None) -> Conclusion:
    """Return what an attempt's end means for its trial.

    Args:
        stand_in: what an infeasible trial is told to the study as; None: nothing feasible is known yet.
    """
    gpu_seconds = ended.duration_s * run.slot.gpus
    match ended.outcome:
        case Outcome.COMPLETED:
            return _conclude_completed(ended, run, spec, stand_in, gpu_seconds)
        case Outcome.DIVERGED | Outcome.OOM:
            reason = TrialReason(ended.outcome.value)
            return Conclusion(run, TrialState.INFEASIBLE, reason, ended.error, stand_in, gpu_seconds=gpu_seconds)
        case Outcome.ERROR | Outcome.TIMEOUT | Outcome.STALLED:
            reason = TrialReason(ended.outcome.value)
            return Conclusion(run, TrialState.FAILED, reason, ended.error, gpu_seconds=gpu_seconds)
        case Outcome.STOPPED | Outcome.LOST:
            return _conclude_interrupted(ended, run, spec.budget.max_attempts, gpu_seconds)


def objective_values(objectives: Sequence[Objective], values: Mapping[str, float]) -> tuple[float, ...]:
    """Return the values of the objectives, in their order; all must have been reported."""
    return tuple(values[objective.metric] for objective in objectives)


def _conclude_completed(
    ended: Ended, run: Running, spec: JobSpec, stand_in: tuple[float, ...] | None, gpu_seconds: float
) -> Conclusion:
    objectives = spec.objectives or []
    missing = [objective.metric for objective in objectives if objective.metric not in run.values]
    if missing:
        reported = ", ".join(run.values) or "nothing"
        message = f"the trainer ended without reporting {', '.join(missing)}; it reported {reported}"
        not_reported = TrialError("ObjectiveNotReported", message)
        return Conclusion(run, TrialState.FAILED, TrialReason.ERROR, not_reported, gpu_seconds=gpu_seconds)
    if error := outcome_error(spec.outcome_constraints, run.values):
        return Conclusion(run, TrialState.INFEASIBLE, None, error, stand_in, gpu_seconds=gpu_seconds)
    values = objective_values(objectives, run.values)
    return Conclusion(run, TrialState.COMPLETED, values=values, artifacts=ended.artifacts, gpu_seconds=gpu_seconds)


def _conclude_interrupted(ended: Ended, run: Running, max_attempts: int, gpu_seconds: float) -> Conclusion:
    if run.stop_because is TrialReason.PRUNER:
        return Conclusion(run, TrialState.PRUNED, TrialReason.PRUNER, gpu_seconds=gpu_seconds)
    if run.stop_because is TrialReason.USER:
        return Conclusion(run, TrialState.CANCELLED, TrialReason.USER, gpu_seconds=gpu_seconds)
    if not run.shutting_down and run.key.attempt >= max_attempts:
        return Conclusion(run, TrialState.FAILED, TrialReason.LOST, ended.error, gpu_seconds=gpu_seconds)
    return Conclusion(run, TrialState.QUEUED, gpu_seconds=gpu_seconds)
