"""Ask and tell: clients that train elsewhere take suggestions, report, and tell how a trial ended.

What clients say is written here, each write guarded by the trial's token under the job's lock; suggestions and verdicts
are written by the worker that holds the job, which never hears from here but through the record.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from stepsize.application.controls import is_winding_up
from stepsize.application.pointers import pointer
from stepsize.clock import now
from stepsize.domain.job import Desired, Job, JobState
from stepsize.domain.outcomes import outcome_error
from stepsize.domain.trial import Report, Trial, TrialError, TrialReason, TrialState
from stepsize.errors import (
    FieldError,
    InvalidRequestError,
    LeaseLostError,
    StateConflictError,
    StepsizeError,
    TrialNotFoundError,
)
from stepsize.spec.provenance import Provenance
from stepsize.store import suggestions as store
from stepsize.store.columns import ErrorColumn, TrialColumns
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.ledger import Ledger, Move, open_ledger
from stepsize.store.listing import find_trials
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
    interrupted: bool = False
    """It was ended on purpose: that uses up no attempt of theirs."""


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


@dataclass(frozen=True)
class Told:
    """What a client tells of the end of a trial, under the token it has it by."""

    number: int
    token: int
    ending: Ending


_REASONS: dict[TrialState, tuple[TrialReason | None, ...]] = {
    TrialState.COMPLETED: (None,),
    TrialState.INFEASIBLE: (TrialReason.DIVERGED, TrialReason.OOM),
    TrialState.PRUNED: (TrialReason.PRUNER,),
    TrialState.FAILED: (TrialReason.ERROR, TrialReason.TIMEOUT, TrialReason.STALLED),
}
"""Which reasons a client may give for which end."""


# -- asking --------------------------------------------------------------------------------------------------------


def take_trials(connection: Connection, job_id: str, askings: Sequence[Asking]) -> list[Suggestions | None]:
    """Renew what each client has, and give it what is ready until it has as many trials as it asks for.

    Whoever comes first is served first; the number of statements does not grow with that of clients.

    Returns:
        What each has now; None: nothing.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job's trials run in workers' slots.
    """
    with open_ledger(connection, job_id) as ledger:
        _refuse_slot_jobs(ledger.job)
        held: dict[str, list[Trial]] = {asking.client_id: [] for asking in askings}
        for trial in store.trials_of_clients(connection, job_id, held):
            held[trial.worker or ""].append(trial)
        time_s = store.database_time(connection)
        for asking in askings:
            _renew(ledger, held, asking, time_s)
        _give_out(connection, ledger, held, askings, time_s)
    numbers = {trial.number for trials in held.values() for trial in trials}
    left = {trial.number: trial for trial in find_trials(connection, job_id, numbers)}
    state = ledger.job.state
    now_held = {client: [left[trial.number] for trial in trials] for client, trials in held.items()}
    return [
        Suggestions(tuple(sorted(mine, key=lambda trial: trial.number)), None, state) if mine else None
        for mine in (now_held[asking.client_id] for asking in askings)
    ]


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
    held = tuple(store.trials_of_clients(connection, job_id, [client_id]))
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


def note_asking(connection: Connection, job_id: str, n_clients: int) -> None:
    """Tell whoever holds the job how many clients wait with nothing on offer for them.

    Raises:
        JobNotFoundError: no such job.
    """
    with open_ledger(connection, job_id) as ledger:
        ledger.note_asking(n_clients)


def _renew(ledger: Ledger, held: dict[str, list[Trial]], asking: Asking, time_s: float) -> None:
    """Let a client keep what it has."""
    mine, lease = held[asking.client_id], _lease(time_s, asking.lease_s)
    if asking.restarted:
        mine[:] = _begin_anew(ledger, mine, lease, asking)
    ledger.touch_trials([trial.number for trial in mine], **lease)


def _give_out(
    connection: Connection, ledger: Ledger, held: dict[str, list[Trial]], askings: Sequence[Asking], time_s: float
) -> None:
    """Give clients what is ready until each has as many trials as it asks for, and add that to what they have."""
    room = sum(max(0, asking.count - len(held[asking.client_id])) for asking in askings)
    offered = deque(_offered(connection, ledger.job, room=room))
    moves: list[Move] = []
    for asking in askings:
        mine = held[asking.client_id]
        while offered and len(mine) < asking.count:
            trial = offered.popleft()
            mine.append(trial)
            given = _given(ledger, trial, _lease(time_s, asking.lease_s), asking)
            if trial.state is TrialState.QUEUED:
                moves.append(Move(trial.number, TrialState.RUNNING, given))
            else:
                _give_again(ledger, trial.number, given)
    ledger.move_each(TrialState.QUEUED, moves)


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


def _given(ledger: Ledger, trial: Trial, lease: TrialColumns, asking: Asking) -> TrialColumns:
    """Return what a trial has to say of it that a client has it now."""
    given = lease.copy()
    given["worker"], given["started_at"] = asking.client_id, now()
    if asking.provenance is not None:
        given["provenance"] = ledger.note_provenance(asking.provenance)
    given["attempt"], given["lease_token"] = trial.attempt + 1, trial.lease_token + 1
    return given


def _give_again(ledger: Ledger, number: int, given: TrialColumns) -> None:
    """Let a client have a trial that was given out before, from its first step."""
    ledger.forget_reports(number, after_step=-1)
    given["step"], given["values"], given["judged_step"] = None, {}, None
    ledger.touch_trial(number, **given)


def _begin_anew(ledger: Ledger, held: Sequence[Trial], lease: TrialColumns, asking: Asking) -> Iterator[Trial]:
    """Give a client its trials once more, from their first step; yield those that have not been lost too often."""
    for trial in held:
        if asking.interrupted or trial.attempt < ledger.job.spec.budget.max_attempts:
            given = _given(ledger, trial, lease, asking)
            if asking.interrupted:
                given["attempt"] = trial.attempt
            _give_again(ledger, trial.number, given)
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
        columns = _lease(store.database_time(connection), trial.lease_s or 0.0)
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


def end_trial(connection: Connection, job_id: str, told: Told) -> Trial:
    """Record how a trial ended and return it; told again alike, or after the trial was pruned, nothing changes.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        InvalidRequestError: an objective or a constrained metric is missing, or the reason doesn't fit the state.
        LeaseLostError: the trial is another client's now.
        StateConflictError: the trial ended in another way, or the job's trials run in workers' slots.
    """
    (outcome,) = end_trials(connection, job_id, [told])
    if isinstance(outcome, StepsizeError):
        raise outcome
    return outcome


def end_trials(connection: Connection, job_id: str, tellings: Sequence[Told]) -> list[Trial | StepsizeError]:
    """Record how trials ended, each as `end_trial` does; the number of statements does not grow with theirs.

    Returns:
        Each trial, or why its end can't be recorded.
    """
    numbers = {told.number for told in tellings}
    with open_ledger(connection, job_id) as ledger:
        _refuse_slot_jobs(ledger.job)
        found = {trial.number: trial for trial in find_trials(connection, job_id, numbers)}
        moves: list[Move] = []
        errors: list[StepsizeError | None] = []
        for told in tellings:
            try:
                move = _end(ledger.job, found.get(told.number), told)
            except StepsizeError as error:
                errors.append(error)
                continue
            errors.append(None)
            if move is not None:
                moves.append(move)
                found[told.number] = _moved(found[told.number], move)
        ledger.move_each(TrialState.RUNNING, moves)
    left = {trial.number: trial for trial in find_trials(connection, job_id, numbers)}
    return [error or left[told.number] for told, error in zip(tellings, errors, strict=True)]


def _end(job: Job, trial: Trial | None, told: Told) -> Move | None:
    """Return what becomes of a trial by what its client tells; None: it has been told before."""
    if trial is None:
        raise TrialNotFoundError(job.id, told.number)
    _check_token(trial, told.token)
    if errors := list(_check_ending(job, told.ending)):
        raise InvalidRequestError(errors)
    ending = _constrained(job, told.ending, trial)
    if trial.state is TrialState.PRUNED or _is_alike(trial, ending):
        return None
    if trial.state.is_finished:
        raise StateConflictError(f"trial {trial.number} is {trial.state} already", state=trial.state)
    is_feasible = ending.state is TrialState.COMPLETED
    error = ending.error
    columns = TrialColumns(
        reason=ending.reason,
        values=trial.values | dict(ending.values),
        objective=ending.values[job.spec.objectives[0].metric] if is_feasible else None,
        error={"type": error.type, "message": error.message} if error else None,
    )
    return Move(trial.number, ending.state, columns)


def _moved(trial: Trial, move: Move) -> Trial:
    """Return a trial as far as another telling of the same transaction looks at it."""
    return replace(trial, state=move.to, reason=move.columns["reason"], values=dict(move.columns["values"]))


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
    _check_token(trial, token)
    return trial


def _check_token(trial: Trial, token: int) -> None:
    if trial.lease_token != token or trial.state is TrialState.QUEUED:
        raise LeaseLostError(f"trial {trial.number} of job {trial.job_id}", token)


def _lease(time_s: float, lease_s: float) -> TrialColumns:
    return TrialColumns(lease_s=lease_s, lease_expires_at=time_s + lease_s)
