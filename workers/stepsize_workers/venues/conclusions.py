"""How the end of an attempt is read: what the trial becomes, and why. Decided before the commit that says so."""

from dataclasses import dataclass, field

from stepsize.domain.outcomes import objective_values, outcome_error, unreported_error
from stepsize.domain.trial import GroupHow, TrialError, TrialGroup, TrialReason, TrialState
from stepsize.spec.provenance import Provenance
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Params
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import CheckpointSaved, Ended, Event, Fault, Outcome, Reported, TrialKey
from stepsize_workers.stand_ins import End


@dataclass
class Running:
    """A trial under way: what it has said so far, and why it was asked to stop, if it was."""

    key: TrialKey
    slot: SlotRecord
    params: Params
    seed: int
    losses_of_worker: int = 0
    losses_in_a_row: int = 0
    """As a trial has them."""
    step: int | None = None
    checkpoint_step: int | None = None
    values: dict[str, float] = field(default_factory=dict)
    judged_step: int = -1
    """The last step this worker's pruner has heard of."""
    stop_because: TrialReason | None = None
    is_apart: bool = False
    """No part of the search: a replicate, or a trial of a job that searches nothing."""
    data_hash: str | None = None
    remark: str | None = None
    provenance: Provenance | None = None
    group: TrialGroup | None = None
    """With which others it is trained."""
    shutting_down: bool = False

    @property
    def group_id(self) -> str:
        """The name of its group; empty where it has none."""
        return "" if self.group is None else self.group.id

    @property
    def is_measuring(self) -> bool:
        """Whether it has not begun: how many like it train fastest together is being measured."""
        return self.group is not None and self.group.how is GroupHow.MEASURING

    def hear(self, event: Event) -> None:
        """Take in what it says of itself; a measurement that comes late, from a thread or a fork, overrules nothing."""
        match event:
            case Reported(step=step, values=values) if self.step is not None and step <= self.step:
                self.values = {**values, **self.values}
            case Reported(step=step, values=values):
                self.step, self.values = step, self.values | dict(values)
            case CheckpointSaved(step=step):
                self.checkpoint_step = step
                self.losses_in_a_row = 0
            case Ended(data_hash=data_hash, remark=remark, provenance=provenance):
                self.data_hash, self.remark, self.provenance = data_hash, remark, provenance


@dataclass(frozen=True)
class Conclusion:
    """How a trial goes on or ends, decided before the commit that says so."""

    run: Running
    state: TrialState
    reason: TrialReason | None = None
    error: TrialError | None = None
    values: tuple[float, ...] | None = None
    """Of the objectives, feasible trials only."""
    artifacts: tuple[str, ...] = ()
    gpu_seconds: float = 0.0

    group: TrialGroup | None = None
    """Its place from now on, where that has changed."""

    @property
    def is_requeued(self) -> bool:
        return self.state is TrialState.QUEUED

    @property
    def end(self) -> End:
        """What the search is to know of it."""
        return End(self.run.key.number, self.run.params, self.state, self.reason, self.values)


def conclude(ended: Ended, run: Running, spec: ResolvedJobSpec) -> Conclusion:
    """Return what an attempt's end means for its trial."""
    gpu_seconds = ended.duration_s * run.slot.gpus
    if ended.fault is not Fault.OWN and run.stop_because is None and not run.shutting_down:
        return Conclusion(run, TrialState.QUEUED, gpu_seconds=gpu_seconds)
    match ended.outcome:
        case Outcome.COMPLETED:
            return _conclude_completed(ended, run, spec, gpu_seconds)
        case Outcome.DIVERGED | Outcome.OOM:
            reason = TrialReason(ended.outcome.value)
            return Conclusion(run, TrialState.INFEASIBLE, reason, ended.error, gpu_seconds=gpu_seconds)
        case Outcome.ERROR | Outcome.TIMEOUT | Outcome.STALLED:
            reason = TrialReason(ended.outcome.value)
            return Conclusion(run, TrialState.FAILED, reason, ended.error, gpu_seconds=gpu_seconds)
        case Outcome.RETURNED:
            return Conclusion(run, TrialState.QUEUED)
        case Outcome.STOPPED | Outcome.LOST:
            return _conclude_interrupted(ended, run, spec.budget.max_attempts, gpu_seconds)


def _conclude_completed(ended: Ended, run: Running, spec: ResolvedJobSpec, gpu_seconds: float) -> Conclusion:
    objectives = spec.objectives
    if not_reported := unreported_error(objectives, run.values):
        return Conclusion(run, TrialState.FAILED, TrialReason.ERROR, not_reported, gpu_seconds=gpu_seconds)
    if error := outcome_error(spec.outcome_constraints, run.values):
        return Conclusion(run, TrialState.INFEASIBLE, None, error, gpu_seconds=gpu_seconds)
    values = objective_values(objectives, run.values)
    return Conclusion(run, TrialState.COMPLETED, values=values, artifacts=ended.artifacts, gpu_seconds=gpu_seconds)


def _conclude_interrupted(ended: Ended, run: Running, max_attempts: int, gpu_seconds: float) -> Conclusion:
    if run.stop_because is TrialReason.PRUNER:
        return Conclusion(run, TrialState.PRUNED, TrialReason.PRUNER, gpu_seconds=gpu_seconds)
    if run.stop_because is TrialReason.USER:
        return Conclusion(run, TrialState.CANCELLED, TrialReason.USER, gpu_seconds=gpu_seconds)
    returned = run.group.returned if run.group else 0
    if not run.shutting_down and run.key.attempt - run.losses_of_worker - returned >= max_attempts:
        return Conclusion(run, TrialState.FAILED, TrialReason.LOST, ended.error, gpu_seconds=gpu_seconds)
    return Conclusion(run, TrialState.QUEUED, gpu_seconds=gpu_seconds)
