"""Ask and tell: clients that train elsewhere take suggestions, report, and tell how a trial ended.

What clients say is written here, each write guarded by the trial's token under the job's lock; suggestions and verdicts
are written by the worker that holds the job, which never hears from here but through the record.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stepsize.application.controls import is_winding_up
from stepsize.application.pointers import pointer
from stepsize.clock import now
from stepsize.domain.job import Desired, Job, JobState
from stepsize.domain.outcomes import outcome_error
from stepsize.domain.trial import Report, Trial, TrialError, TrialReason, TrialState
from stepsize.errors import FieldError, InvalidRequestError, LeaseLostError, StateConflictError
from stepsize.spec.provenance import Provenance
from stepsize.store import suggestions as store
from stepsize.store.columns import ErrorColumn, TrialColumns
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.ledger import Ledger, open_ledger
from stepsize.store.suggestions import Standing
from stepsize.store.trials import get_trial
from stepsize.store.workers import list_workers


class WhyEmpty(StrEnum):
    """Why a client that asked was given nothing."""

    WAITING = "waiting"
    NO_WORKER = "no_worker"
    BUDGET = "budget"
    PAUSED = "paused"
    FINISHED = "finished"


@dataclass(frozen=True)
class Asking:
    """What a client asks for."""

    client_id: str
    count: int
    lease_s: float
    provenance: Provenance | None = None
    """What it trains with, if it says so."""
    restarted: bool = False
    """The client has lost what it knew of the trials it has: they begin anew."""


@dataclass(frozen=True)
class Suggestions:
    """What a client has to train now."""

    trials: tuple[Trial, ...]
    why_empty: WhyEmpty | None
    job_state: JobState


@dataclass(frozen=True)
class Measurement:
    """One report as a client sends it."""

    step: int
    values: Mapping[str, float]
    elapsed_s: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a client should go on with its trial."""

    should_stop: bool
    reason: TrialReason | None
    lease_expires_at: float | None


@dataclass(frozen=True)
class Ending:
    """How a trial ended, as its client tells it."""

    state: TrialState
    reason: TrialReason | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    error: TrialError | None = None


_REASONS: dict[TrialState, tuple[TrialReason | None, ...]] = {
    TrialState.COMPLETED: (None,),
    TrialState.INFEASIBLE: (TrialReason.DIVERGED, TrialReason.OOM),
    TrialState.PRUNED: (TrialReason.PRUNER,),
    TrialState.FAILED: (TrialReason.ERROR, TrialReason.TIMEOUT, TrialReason.STALLED),
}
"""Which reasons a client may give for which end."""


# -- asking --------------------------------------------------------------------------------------------------------


def take_trials(connection: Connection, job_id: str, asking: Asking) -> Suggestions | None:
    """Renew what the client has, and give it what is ready until it has as many trials as it asks for.

    Returns:
        What it has now; None: nothing.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job's trials run in workers' slots.
    """
    with open_ledger(connection, job_id) as ledger:
        job = ledger.job
        _refuse_slot_jobs(job)
        held = store.trials_of_client(connection, job_id, asking.client_id)
        lease = _lease(connection, asking.lease_s)
        if asking.restarted:
            held = list(_begin_anew(ledger, held, lease, asking))
        ledger.touch_trials([trial.number for trial in held], **lease)
        given = _offered(connection, job, room=asking.count - len(held))
        for trial in given:
            _give(ledger, trial, lease, asking)
    if not held and not given:
        return None
    return Suggestions(tuple(store.trials_of_client(connection, job_id, asking.client_id)), None, job.state)


def read_suggestions(connection: Connection, job_id: str, client_id: str, *, lease_s: float) -> Suggestions:
    """Return what a client has, and if that is nothing, why.

    Args:
        lease_s: seconds after which a worker that is not seen counts as dead.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job's trials run in workers' slots.
    """
    job = get_job(connection, job_id)
    _refuse_slot_jobs(job)
    held = tuple(store.trials_of_client(connection, job_id, client_id))
    return Suggestions(held, None if held else _why_empty(connection, job, lease_s=lease_s), job.state)


def read_standing(connection: Connection, job_id: str) -> Standing:
    """Return how a job stands for those who wait for a suggestion or a verdict.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job's trials run in workers' slots.
    """
    job = get_job(connection, job_id)
    _refuse_slot_jobs(job)
    return store.load_standing(connection, job, gives=_gives(job), is_over=_is_over(job))


def _offered(connection: Connection, job: Job, *, room: int) -> list[Trial]:
    if not _gives(job) or room <= 0:
        return []
    budget = job.spec.budget
    if budget.max_parallel_trials is not None:
        room = min(room, budget.max_parallel_trials - store.count_live(connection, job.id))
    return store.offered_trials(connection, job.id, max_attempts=budget.max_attempts, limit=max(0, room))


def _gives(job: Job) -> bool:
    return job.desired is Desired.RUN and job.state in (JobState.QUEUED, JobState.RUNNING)


def _is_over(job: Job) -> bool:
    return job.state.is_finished or is_winding_up(job)


def _give(ledger: Ledger, trial: Trial, lease: TrialColumns, asking: Asking) -> None:
    """Let a client have a trial: from its first step, whoever had it before."""
    given = lease.copy()
    given["worker"], given["started_at"] = asking.client_id, now()
    if asking.provenance is not None:
        given["provenance"] = ledger.note_provenance(asking.provenance)
    given["attempt"], given["lease_token"] = trial.attempt + 1, trial.lease_token + 1
    if trial.state is TrialState.QUEUED:
        ledger.move_trial(trial.number, TrialState.QUEUED, TrialState.RUNNING, **given)
        return
    ledger.forget_reports(trial.number, after_step=-1)
    given["step"], given["values"], given["judged_step"] = None, {}, None
    ledger.touch_trial(trial.number, **given)


def _begin_anew(ledger: Ledger, held: Sequence[Trial], lease: TrialColumns, asking: Asking) -> Iterator[Trial]:
    """Give a client its trials once more, from their first step; yield those that have not been lost too often."""
    for trial in held:
        if trial.attempt < ledger.job.spec.budget.max_attempts:
            _give(ledger, trial, lease, asking)
            yield trial
        else:
            said = ErrorColumn(
                type="Lost", message="its client was lost and started again, each time it had this trial"
            )
            ledger.move_trial(trial.number, TrialState.RUNNING, TrialState.FAILED, reason=TrialReason.LOST, error=said)


def _why_empty(connection: Connection, job: Job, *, lease_s: float) -> WhyEmpty:
    if _is_over(job):
        return WhyEmpty.FINISHED
    if job.desired is Desired.PAUSE:
        return WhyEmpty.PAUSED
    if not job.lease_live and not any(worker.alive for worker in list_workers(connection, lease_s=lease_s)):
        return WhyEmpty.NO_WORKER
    max_trials = job.spec.budget.max_trials
    if max_trials is not None and job.n_counted >= max_trials and not job.counts[TrialState.QUEUED]:
        return WhyEmpty.BUDGET
    return WhyEmpty.WAITING


# -- reporting -----------------------------------------------------------------------------------------------------


def add_reports(
    connection: Connection, job_id: str, number: int, *, token: int, measurements: Sequence[Measurement]
) -> None:
    """Record what a trial measured and renew its lease; what is recorded already changes nothing.

    A trial that has ended under the client's hands (pruned, cancelled, timed out) records nothing: its verdict tells.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        LeaseLostError: the trial is another client's now.
        StateConflictError: a step was reported with other values, or the job's trials run in workers' slots.
    """
    with open_ledger(connection, job_id) as ledger:
        trial = _held_trial(connection, ledger.job, number, token)
        if trial.state.is_finished:
            return
        fresh = _fresh_reports(connection, trial, measurements)
        ledger.add_reports(fresh)
        columns = _lease(connection, trial.lease_s or 0.0)
        if fresh:
            columns["step"], columns["values"] = _latest(trial, fresh)
        ledger.touch_trial(number, **columns)


def read_verdict(connection: Connection, job_id: str, number: int, *, token: int) -> Verdict:
    """Return whether a client should go on with its trial.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        LeaseLostError: the trial is another client's now.
    """
    job = get_job(connection, job_id)
    trial = _held_trial(connection, job, number, token)
    if trial.state.is_finished:
        return Verdict(True, trial.reason, None)
    if trial.cancel_requested or job.desired is Desired.CANCEL:
        return Verdict(True, TrialReason.USER, trial.lease_expires_at)
    return Verdict(False, None, trial.lease_expires_at)


def step_to_judge(connection: Connection, job_id: str, measurements: Sequence[Measurement]) -> int | None:
    """Return the last step on which a verdict will come; None: the job has no pruner, or they say nothing it looks at.

    Raises:
        JobNotFoundError: no such job.
    """
    spec = get_job(connection, job_id).spec
    objectives = spec.objectives
    if not spec.pruner.judges or len(objectives) != 1:
        return None
    return max((one.step for one in measurements if objectives[0].metric in one.values), default=None)


def _fresh_reports(connection: Connection, trial: Trial, measurements: Sequence[Measurement]) -> list[Report]:
    """Return what is not in the record yet, by step."""
    known = store.reports_at(connection, trial.job_id, trial.number, [one.step for one in measurements])
    since_start = max(0.0, now() - (trial.started_at or 0.0))
    fresh: dict[int, Report] = {}
    for one in measurements:
        values = dict(one.values)
        recorded = known.get(one.step) or fresh.get(one.step)
        if recorded is None:
            elapsed_s = since_start if one.elapsed_s is None else one.elapsed_s
            fresh[one.step] = Report(trial.number, one.step, values, elapsed_s)
        elif recorded.values != values:
            raise StateConflictError(f"step {one.step} has been reported with other values", state=trial.state)
    return [fresh[step] for step in sorted(fresh)]


def _latest(trial: Trial, fresh: Sequence[Report]) -> tuple[int | None, dict[str, float]]:
    """Return the trial's last step and the last values of its metrics; a report that comes late overrules nothing."""
    step, values = trial.step, dict(trial.values)
    for report in fresh:
        is_late = step is not None and report.step < step
        values = report.values | values if is_late else values | report.values
        step = step if is_late else report.step
    return step, values


# -- telling -------------------------------------------------------------------------------------------------------


def end_trial(connection: Connection, job_id: str, number: int, *, token: int, ending: Ending) -> None:
    """Record how a trial ended; told again alike, or after the trial was pruned, nothing changes.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        InvalidRequestError: an objective or a constrained metric is missing, or the reason doesn't fit the state.
        LeaseLostError: the trial is another client's now.
        StateConflictError: the trial ended in another way, or the job's trials run in workers' slots.
    """
    with open_ledger(connection, job_id) as ledger:
        trial = _held_trial(connection, ledger.job, number, token)
        if errors := list(_check_ending(ledger.job, ending)):
            raise InvalidRequestError(errors)
        ending = _constrained(ledger.job, ending, trial)
        if trial.state is TrialState.PRUNED or _is_alike(trial, ending):
            return
        if trial.state.is_finished:
            raise StateConflictError(f"trial {number} is {trial.state} already", state=trial.state)
        objectives = ledger.job.spec.objectives
        is_feasible = ending.state is TrialState.COMPLETED
        error = ending.error
        ledger.move_trial(
            number,
            TrialState.RUNNING,
            ending.state,
            reason=ending.reason,
            values=trial.values | dict(ending.values),
            objective=ending.values[objectives[0].metric] if is_feasible else None,
            error={"type": error.type, "message": error.message} if error else None,
        )


def _check_ending(job: Job, ending: Ending) -> Iterator[FieldError]:
    reasons = _REASONS[ending.state]
    if ending.reason not in reasons:
        named = " or ".join(reason for reason in reasons if reason)
        yield FieldError(
            pointer("reason"), f"a trial that is {ending.state} {f'says {named}' if named else 'has none'}"
        )
    if ending.state is TrialState.PRUNED and len(job.spec.objectives) > 1:
        yield FieldError(pointer("state"), "with several objectives no value says that a trial is hopeless")
    if ending.state is not TrialState.COMPLETED:
        return
    for objective in job.spec.objectives:
        if objective.metric not in ending.values:
            yield FieldError(pointer("values"), f"the objective {objective.metric!r} is missing")


def _constrained(job: Job, ending: Ending, trial: Trial) -> Ending:
    """Return what a completion amounts to under the job's outcome constraints."""
    if ending.state is not TrialState.COMPLETED:
        return ending
    error = outcome_error(job.spec.outcome_constraints, trial.values | dict(ending.values))
    return ending if error is None else Ending(TrialState.INFEASIBLE, None, ending.values, error)


def _is_alike(trial: Trial, ending: Ending) -> bool:
    told = (ending.state, ending.reason)
    return (trial.state, trial.reason) == told and ending.values.items() <= trial.values.items()


# -- leases --------------------------------------------------------------------------------------------------------


def _refuse_slot_jobs(job: Job) -> None:
    if not job.spec.trains_elsewhere:
        raise StateConflictError(
            'the job\'s trials run in workers\' slots; submit it with "engine": "external" to ask for suggestions',
            state=job.state,
        )


def _held_trial(connection: Connection, job: Job, number: int, token: int) -> Trial:
    """Return a trial its client still has, or that ended while it had it.

    A lease that has run out is good until the trial is given to someone else.
    """
    _refuse_slot_jobs(job)
    trial = get_trial(connection, job.id, number)
    if trial.lease_token != token or trial.state is TrialState.QUEUED:
        raise LeaseLostError(f"trial {number} of job {job.id}", token)
    return trial


def _lease(connection: Connection, lease_s: float) -> TrialColumns:
    return TrialColumns(lease_s=lease_s, lease_expires_at=store.database_time(connection) + lease_s)
