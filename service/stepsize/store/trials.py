"""Trials and their reports: reading. Writing goes through a ledger."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, bindparam, select

from stepsize.domain.trial import Report, Trial, TrialState
from stepsize.errors import TrialNotFoundError
from stepsize.store.models import reports, trials
from stepsize.store.rows import REPORT_COLUMNS, TRIAL_COLUMNS, report_from_row, trial_from_row

# Built once: it is read in every request about a trial.
_SELECT_TRIAL = select(*TRIAL_COLUMNS).where(
    trials.c.job_id == bindparam("of_job"), trials.c.number == bindparam("of_number")
)


def get_trial(connection: Connection, job_id: str, number: int) -> Trial:
    """Return a trial.

    Raises:
        TrialNotFoundError: the job has no such trial.
    """
    row = connection.execute(_SELECT_TRIAL, {"of_job": job_id, "of_number": number}).one_or_none()
    if row is None:
        raise TrialNotFoundError(job_id, number)
    return trial_from_row(row)


def load_trials(connection: Connection, job_id: str, states: Sequence[TrialState] | None = None) -> list[Trial]:
    """Return a job's trials by number, all or those in some states."""
    statement = select(*TRIAL_COLUMNS).where(trials.c.job_id == job_id).order_by(trials.c.number)
    if states is not None:
        statement = statement.where(trials.c.state.in_(states))
    return [trial_from_row(row) for row in connection.execute(statement)]


def trials_to_cancel(connection: Connection, job_id: str) -> Sequence[int]:
    """Return the numbers of running trials that a client wants ended."""
    statement = select(trials.c.number).where(
        trials.c.job_id == job_id, trials.c.state == TrialState.RUNNING, trials.c.cancel_requested
    )
    return connection.scalars(statement).all()


def steps_reported(connection: Connection, job_id: str, metric: str, *, most: int) -> list[int]:
    """Return at which steps trials have reported a metric, in the order of the trials, of at most so many reports."""
    statement = select(reports.c.step, reports.c["values"]).where(reports.c.job_id == job_id)
    rows = connection.execute(statement.order_by(reports.c.number, reports.c.step).limit(most))
    return [step for step, values in rows if metric in values]


def load_reports(connection: Connection, job_id: str, number: int | None = None) -> Iterator[Report]:
    """Yield a job's (or one trial's) reports by trial number and step."""
    statement = select(*REPORT_COLUMNS).where(reports.c.job_id == job_id).order_by(reports.c.number, reports.c.step)
    if number is not None:
        statement = statement.where(reports.c.number == number)
    for row in connection.execute(statement):
        yield report_from_row(row)
