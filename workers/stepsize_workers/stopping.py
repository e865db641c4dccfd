"""When a job starts no more trials: its budget, its target, its stopping rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stepsize.domain.job import Job, JobKind, JobReason
from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.spec.job import StopWhen
from stepsize.spec.objective import Objective
from stepsize_workers.held_job import HeldJob
from stepsize_workers.stand_ins import End
from stepsize_workers.terminator import Terminator

LIMITS = frozenset({JobReason.MAX_FAILED_TRIALS, JobReason.TIMEOUT, JobReason.MAX_GPU_SECONDS})
"""Reasons that leave nothing to spend, not even on replicates of the best."""

_COUNTED = frozenset({TrialState.COMPLETED, TrialState.PRUNED, TrialState.INFEASIBLE})
"""Ends that say something about the search: a failed or cancelled trial is no attempt to do better."""


def limit_reached(job: Job, *, work_s: float) -> JobReason | None:
    """Return the budget that is spent, or None.

    Args:
        work_s: seconds of work that the job has had.
    """
    budget = job.spec.budget
    if budget.max_failed_trials and job.counts[TrialState.FAILED] >= budget.max_failed_trials:
        return JobReason.MAX_FAILED_TRIALS
    if budget.timeout_s and work_s > budget.timeout_s:
        return JobReason.TIMEOUT
    if budget.max_gpu_seconds and job.gpu_seconds >= budget.max_gpu_seconds:
        return JobReason.MAX_GPU_SECONDS
    return None


@dataclass
class Progress:
    """What the stopping rules look at: fed with every end of a trial of the search, in the order of the commits."""

    objectives: Sequence[Objective]
    n_since_better: int = 0
    """Trials since one was better than all before it; with several objectives, since the Pareto front changed."""
    target_met: bool = False
    _front: list[tuple[float, ...]] = field(default_factory=list)
    """The values that none of the others is at least as good as, each counted so that less is better."""

    def take_in(self, state: TrialState, values: Sequence[float] | None) -> None:
        """Take in the end of a trial.

        Args:
            values: of the objectives, feasible trials only.
        """
        if state not in _COUNTED:
            return
        self.n_since_better += 1
        if state is not TrialState.COMPLETED or not values:
            return
        if self._moves_front(values):
            self.n_since_better = 0
        self.target_met |= _meets_target(self.objectives, values)

    def rule_met(self, stop_when: StopWhen) -> JobReason | None:
        """Return the rule that ends the search before its budget does, or None."""
        if self.target_met:
            return JobReason.TARGET
        patience = stop_when.no_improvement_trials
        if patience is not None and self.n_since_better >= patience:
            return JobReason.NO_IMPROVEMENT
        return None

    def _moves_front(self, values: Sequence[float]) -> bool:
        """Enter a trial's values into the front, if nothing there is at least as good in every objective."""
        point = tuple(objective.direction.cost(value) for objective, value in zip(self.objectives, values, strict=True))
        if any(_is_as_good(other, point) for other in self._front):
            return False
        self._front = [other for other in self._front if not _is_as_good(point, other)] + [point]
        return True


class StopRules:
    """The rules that may end a search before its budget does; fed with its ends in the order of the commits."""

    def __init__(self, held: HeldJob) -> None:
        self._held = held
        self._progress = Progress(held.objectives)
        self._terminator: Terminator | None = None
        self._taught: set[int] = set()
        """Trials the terminator knows: it outlives the study, and may have said its word already."""

    @property
    def is_undecided(self) -> bool:
        """Whether the terminator is still to say if the search was over before its worker was lost."""
        return self._terminator is not None and self._terminator.is_undecided

    def rule_met(self) -> JobReason | None:
        """Return the rule that has ended the search, or None."""
        if reason := self._progress.rule_met(self._held.spec.stop_when):
            return reason
        return JobReason.TERMINATOR if self._terminator and self._terminator.is_met else None

    def restart(self, ends: Iterable[End]) -> None:
        """Forget everything but what the terminator knows, and take in what the record has."""
        self._progress = Progress(self._held.objectives)
        if self._terminator is None:
            self._terminator = self._new_terminator()
        self.take_in(ends)

    def take_in(self, ends: Iterable[End]) -> None:
        """Take in how trials of the search have ended."""
        for end in ends:
            self._progress.take_in(end.state, end.values)
            if self._terminator and end.values and end.number not in self._taught:
                self._taught.add(end.number)
                self._terminator.take_in(end.params, end.values[0])
        if self._terminator:
            self._terminator.consider()

    def shut(self) -> None:
        """End what thinks beside this process."""
        if self._terminator:
            self._terminator.shut()

    def _new_terminator(self) -> Terminator | None:
        spec = self._held.spec
        if not spec.stop_when.terminator or self._held.job.kind is not JobKind.TUNE:
            return None
        direction = self._held.objectives[0].direction
        return Terminator(spec.search_space, direction, on_ready=self._held.site.engine.wake)


def in_order_of_end(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials of the search that have ended, as they did."""
    ended = [trial for trial in trials if trial.state.is_finished and trial.purpose is TrialPurpose.SEARCH]
    return sorted(ended, key=lambda trial: (trial.finished_at or 0.0, trial.number))


def _is_as_good(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def _meets_target(objectives: Sequence[Objective], values: Sequence[float]) -> bool:
    """Tell whether one trial is at least as good as every target there is."""
    pairs = [(objective, value) for objective, value in zip(objectives, values, strict=True)]
    wanted = [(objective, value) for objective, value in pairs if objective.target is not None]
    return bool(wanted) and all(objective.is_met(value) for objective, value in wanted)
