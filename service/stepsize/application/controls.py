"""Controls: what a client wants of a job.

Clients write `desired`; with a live lease its holder moves `state`; with none the API moves it in the same transaction.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from stepsize.application.jobs import reopen, why_over
from stepsize.domain.job import ALLOWED_DESIRED, Desired, Job, JobReason, JobState
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.errors import JobNotFoundError, StateConflictError
from stepsize.store.columns import TrialColumns
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.ledger import Ledger, open_ledger
from stepsize.store.orphans import settle_orphans
from stepsize.store.trials import load_trials

Control = Callable[[Connection, str], None]
"""One thing a client can want of a job, by its id."""

_VERBS = {Desired.RUN: "resumed", Desired.PAUSE: "paused", Desired.STOP: "stopped", Desired.CANCEL: "cancelled"}
_FIRMNESS = {Desired.RUN: 0, Desired.PAUSE: 0, Desired.STOP: 1, Desired.CANCEL: 2}
"""A job that is being stopped may still be cancelled, but not the other way round."""

_SETTLED = {
    Desired.RUN: JobState.QUEUED,
    Desired.PAUSE: JobState.PAUSED,
    Desired.STOP: JobState.COMPLETED,
    Desired.CANCEL: JobState.CANCELLED,
}
"""Where a job that nobody holds is moved at once."""

_ENDS_AGAIN = frozenset(
    {JobReason.TIMEOUT, JobReason.MAX_GPU_SECONDS, JobReason.TARGET, JobReason.NO_IMPROVEMENT, JobReason.TERMINATOR}
)
"""Reasons that would end a job again as soon as it is reopened, and the trials queued with it."""

FRESH: TrialColumns = {
    "reason": None,
    "remark": None,
    "error": None,
    "values": {},
    "objective": None,
    "stand_in": None,
    "study_attrs": {},
    "step": None,
    "checkpoint_step": None,
    "attempt": 0,
    "losses_of_worker": 0,
    "losses_in_a_row": 0,
    "cancel_requested": False,
    "worker": None,
    "device": None,
    "group": None,
    "started_at": None,
    "finished_at": None,
    "artifacts": [],
    "lease_expires_at": None,
    "judged_step": None,
}
"""Columns of a trial that is to run as if it never had."""


def pause(connection: Connection, job_id: str) -> None:
    """Start no new trial; running ones finish."""
    _want(connection, job_id, Desired.PAUSE)


def resume(connection: Connection, job_id: str) -> None:
    """Go on with a paused job."""
    _want(connection, job_id, Desired.RUN)


def stop(connection: Connection, job_id: str) -> None:
    """Start no new trial, let running ones finish, and complete the job; a job it waits for is cancelled."""
    _want(connection, job_id, Desired.STOP)
    _cancel_what_it_waits_for(connection, job_id)


def cancel(connection: Connection, job_id: str) -> None:
    """End running trials at once; results so far are kept. A job it waits for is cancelled too."""
    _want(connection, job_id, Desired.CANCEL)
    _cancel_what_it_waits_for(connection, job_id)


def retry_failed(connection: Connection, job_id: str) -> None:
    """Queue every failed trial again, and the job with them if it has finished.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: no trial has failed, or see `retry_trials`.
    """
    with open_ledger(connection, job_id) as ledger:
        if not ledger.job.counts[TrialState.FAILED]:
            raise StateConflictError("no trial of the job has failed", state=ledger.job.state)
        retry_trials(ledger, load_trials(connection, job_id, [TrialState.FAILED]))


def retry_trials(ledger: Ledger, trials: Sequence[Trial]) -> None:
    """Queue trials that ended without success again, from their first step, and the job with them if it has finished.

    Raises:
        StateConflictError: the job is being stopped or cancelled, or has ended for something that still holds.
    """
    job = ledger.job
    if not job.state.is_finished:
        _refuse_winding_up(job, "its trials can't be retried")
    elif job.reason in _ENDS_AGAIN:
        raise StateConflictError(f"{why_over(job)}; a trial retried would end with it at once", state=job.state)
    for trial in trials:
        ledger.forget_reports(trial.number, after_step=-1)
        ledger.move_trial(trial.number, trial.state, TrialState.QUEUED, **FRESH)
    if job.state.is_finished:
        reopen(ledger)


def is_winding_up(job: Job) -> bool:
    """Tell whether a job is being stopped or cancelled."""
    return job.state is JobState.STOPPING or _FIRMNESS[job.desired] > 0


def _want(connection: Connection, job_id: str, desired: Desired) -> None:
    """Write what a client wants; ask twice and the second time changes nothing.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job's state doesn't allow it.
    """
    if _is_so(get_job(connection, job_id), desired):
        return
    with open_ledger(connection, job_id) as ledger:
        job = ledger.job
        if job.state not in ALLOWED_DESIRED[desired]:
            raise StateConflictError(f"a {job.state} job can't be {_VERBS[desired]}", state=job.state)
        if _FIRMNESS[desired] < _FIRMNESS[job.desired]:
            _refuse_winding_up(job, f"it can't be {_VERBS[desired]}")
        ledger.set_job(desired=desired)
        if not job.lease_live:
            _settle(connection, ledger, desired)


def _cancel_what_it_waits_for(connection: Connection, job_id: str) -> None:
    waits_for = get_job(connection, job_id).waits_for
    if waits_for is None:
        return
    with suppress(JobNotFoundError):  # deleted since
        if not get_job(connection, waits_for).state.is_finished:
            _want(connection, waits_for, Desired.CANCEL)


def _is_so(job: Job, desired: Desired) -> bool:
    if job.desired is not desired or job.state not in ALLOWED_DESIRED[desired]:
        return False
    return job.lease_live or job.state in (_SETTLED[desired], JobState.RUNNING if desired is Desired.RUN else None)


def _refuse_winding_up(job: Job, consequence: str) -> None:
    if is_winding_up(job):
        verb = _VERBS[job.desired if _FIRMNESS[job.desired] else Desired.STOP]
        raise StateConflictError(f"the job is being {verb}; {consequence}", state=job.state)


def _settle(connection: Connection, ledger: Ledger, desired: Desired) -> None:
    """Do what the holder of the lease would do; the trials of a dead worker run no more, those of clients go on."""
    if desired in (Desired.STOP, Desired.CANCEL):
        ledger.move_trials([TrialState.RUNNING, TrialState.QUEUED], TrialState.CANCELLED, reason=TrialReason.USER)
    elif not ledger.job.spec.trains_elsewhere:
        settle_orphans(ledger, load_trials(connection, ledger.job.id, [TrialState.RUNNING]))
    ledger.move_job(_SETTLED[desired], None if desired is Desired.RUN else JobReason.USER)
    ledger.release_lease()
