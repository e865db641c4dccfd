"""Trials: list, read, enqueue, cancel, retry."""

from collections.abc import Callable

from stepsize.application.catalogue import card_of
from stepsize.application.constraints import check_configuration
from stepsize.application.controls import is_winding_up, retry_trials
from stepsize.application.known_fields import settle
from stepsize.application.parameters import Params, ParamsSchema, check_params
from stepsize.domain.job import Job
from stepsize.domain.seeds import training_seed
from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.errors import InvalidRequestError, StateConflictError
from stepsize.spec.space import Scalar, own_params
from stepsize.store import listing
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job, get_stage
from stepsize.store.keyset import Page
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.listing import TrialQuery
from stepsize.store.trial_index import TrialIndex
from stepsize.store.trials import get_trial

Control = Callable[[Connection, str, int], None]
"""One thing a client can want of a trial, by its job's id and its number."""

RETRIABLE = frozenset({TrialState.INFEASIBLE, TrialState.FAILED, TrialState.CANCELLED})


def read_trial(connection: Connection, job_id: str, number: int) -> Trial:
    """Return a trial.

    Raises:
        JobNotFoundError: no such job.
        TrialNotFoundError: the job has no such trial.
    """
    get_job(connection, job_id)
    return get_trial(connection, job_id, number)


def read_with_fixed(connection: Connection, job_id: str, number: int) -> tuple[Trial, dict[str, Scalar]]:
    """Return a trial, and the parameters that its job fixes: those that apply beside what was searched.

    Which do, the trainer's card says; where it is not known (any more), all are returned.

    Raises:
        JobNotFoundError: no such job.
        TrialNotFoundError: the job has no such trial.
    """
    spec = get_job(connection, job_id).spec
    trial, trainer = get_trial(connection, job_id, number), spec.trainer
    card = card_of(connection, spec)
    if card is None or trainer.version not in (None, card.version):
        return trial, dict(trainer.params)
    applying = ParamsSchema(card).applying({**trainer.params, **trial.params})
    return trial, {name: value for name, value in trainer.params.items() if name in applying}


def list_trials(connection: Connection, query: TrialQuery, index: TrialIndex, *, lease_s: float) -> Page[Trial]:
    """Return one page of a job's trials, or of all jobs'.

    Args:
        index: what this process keeps of the trials it was asked for before.

    Raises:
        JobNotFoundError: no such job.
        InvalidRequestError: it filters or sorts by what no trial has.
        PageTokenError: the token is none of this list's.
    """
    query = settle(connection, query, lease_s=lease_s)
    if query.job_id is not None:
        if query.is_selective:
            return index.fetch_page(connection, query)
        get_stage(connection, query.job_id)
    return listing.list_trials(connection, query)


def list_reports(
    connection: Connection, job_id: str, number: int, *, limit: int, page_token: str | None
) -> Page[Report]:
    """Return one page of a trial's reports, by step.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        PageTokenError: the token is none of this list's.
    """
    read_trial(connection, job_id, number)
    return listing.list_reports(connection, job_id, number, limit=limit, page_token=page_token)


def enqueue(connection: Connection, job_id: str, params: Params) -> int:
    """Queue a configuration of the client's own and return the trial's number; what it leaves out is sampled.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job has finished or is about to.
        InvalidRequestError: a parameter that isn't searched, or a value outside the search space.
    """
    with open_ledger(connection, job_id) as ledger:
        job = ledger.job
        params = own_params(job.search_space, params)
        _check_enqueued(job, params)
        ledger.insert_trials(
            [
                NewTrial(
                    number=job.n_trials,
                    state=TrialState.QUEUED,
                    params=params,
                    seed=training_seed(job.spec.seed, job.spec.seeds, job.n_trials),
                    enqueued=True,
                )
            ]
        )
        return job.n_trials


def cancel_trial(connection: Connection, job_id: str, number: int) -> None:
    """End a trial; while a worker holds the job, a running trial is ended by it a moment later.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        StateConflictError: the trial has ended.
    """
    trial = read_trial(connection, job_id, number)
    if trial.cancel_requested and not trial.state.is_finished and get_job(connection, job_id).lease_live:
        return
    with open_ledger(connection, job_id) as ledger:
        trial = get_trial(connection, job_id, number)
        if trial.state.is_finished:
            raise StateConflictError(f"trial {number} is {trial.state} already", state=trial.state)
        if trial.state is TrialState.RUNNING and ledger.job.lease_live:
            ledger.touch_trial(number, cancel_requested=True)
        else:
            ledger.move_trial(number, trial.state, TrialState.CANCELLED, reason=TrialReason.USER)


def retry_trial(connection: Connection, job_id: str, number: int) -> None:
    """Queue a trial that ended without success again, and its job with it if that has finished.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        StateConflictError: the trial has not ended or was a success, or see `retry_trials`.
    """
    with open_ledger(connection, job_id) as ledger:
        trial = get_trial(connection, job_id, number)
        if trial.state not in RETRIABLE:
            raise StateConflictError(f"a {trial.state} trial can't be retried", state=trial.state)
        retry_trials(ledger, [trial])


def _check_enqueued(job: Job, params: Params) -> None:
    if job.state.is_finished or is_winding_up(job):
        raise StateConflictError("the job has finished or is about to; it takes no further trials", state=job.state)
    fixed, space = job.spec.trainer.params, job.search_space
    errors = [
        *check_params(params, "params", fixed=fixed, space=space),
        *check_configuration(job.spec, params, "params"),
    ]
    if errors:
        raise InvalidRequestError(errors)
