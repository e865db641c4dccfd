"""Suggestions: which trials clients may be given, and what those who wait are waiting for. Reading only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_, select

from stepsize.domain.job import Job
from stepsize.domain.trial import Report, Trial, TrialState
from stepsize.store.database import Database, db_now
from stepsize.store.listing import find_trials
from stepsize.store.models import reports, trials
from stepsize.store.rows import REPORT_COLUMNS, TRIAL_COLUMNS, report_from_row, trial_from_row


@dataclass(frozen=True)
class Held:
    """A trial that a client has."""

    client: str | None
    token: int
    judged_step: int | None
    expires_in_s: float
    """Seconds until its lease runs out, by the database's clock; negative: since."""


@dataclass(frozen=True)
class Standing:
    """What all clients that wait on a job want to know, in one read."""

    change: int
    """Of the job; once its own is later, there is more to know."""
    is_over: bool
    """Whether no trial will be given out any more, however long one waits."""
    gives: bool
    """Whether trials are given out now."""
    n_offered: int
    """Trials that may be given out now."""
    held: Mapping[int, Held]
    """By trial number."""

    def holds(self, client: str) -> bool:
        """Tell whether a client has any of them."""
        return any(held.client == client for held in self.held.values())

    @property
    def next_lapse_s(self) -> float | None:
        """Seconds until a lease runs out next, which no commit announces; None: none is left to."""
        return min((held.expires_in_s for held in self.held.values() if held.expires_in_s > 0), default=None)


def load_standing(connection: Connection, job: Job, *, gives: bool, is_over: bool) -> Standing:
    """Return how a job stands for those who wait; the cost doesn't grow with its history.

    Args:
        job: as it is in this transaction.
        gives: whether it gives out trials now.
        is_over: whether it never will again.
    """
    rows = connection.execute(_SELECT_OPEN, {"of_job": job.id}).all()
    running = [row for row in rows if row.state == TrialState.RUNNING]
    held = {row.number: Held(row.worker, row.lease_token, row.judged_step, row.expires_in_s) for row in running}
    budget = job.spec.budget
    n_live = sum(row.expires_in_s > 0 for row in running)
    n_lapsed = sum(row.expires_in_s <= 0 and row.attempt < budget.max_attempts for row in running)
    n_offered = len(rows) - len(running) + n_lapsed
    if budget.max_parallel_trials is not None:
        n_offered = min(n_offered, max(0, budget.max_parallel_trials - n_live))
    return Standing(job.change, is_over, gives, n_offered if gives else 0, held)


def has_any(database: Database, job_id: str, client_id: str) -> bool:
    """Tell whether a job has anything for a client: a trial that it has already, or one that it may be given."""
    return database.pick(_SELECT_ANY, {"of_job": job_id, "of_client": client_id}) is not None


def trials_of_clients(connection: Connection, job_id: str, client_ids: Collection[str]) -> list[Trial]:
    """Return the trials that clients have, by number; also those whose lease has run out and which nobody has taken."""
    rows = connection.execute(_SELECT_HELD, {"of_job": job_id, "of_clients": list(client_ids)})
    return sorted(map(trial_from_row, rows), key=lambda trial: trial.number)


def offered_trials(connection: Connection, job_id: str, *, max_attempts: int, limit: int) -> list[Trial]:
    """Return the trials that may be given out now, the lowest numbers first: those queued, and those lost by others."""
    found = connection.scalars(_SELECT_OFFERED, {"of_job": job_id, "most_attempts": max_attempts})
    return sorted(find_trials(connection, job_id, sorted(found)[:limit]), key=lambda trial: trial.number)


def count_live(connection: Connection, job_id: str) -> int:
    """Return how many trials clients have under a lease that has not run out."""
    live = select(trials.c.number).where(
        trials.c.job_id == job_id, trials.c.state == TrialState.RUNNING, trials.c.lease_expires_at > db_now()
    )
    return len(connection.scalars(live).all())


def reports_at(connection: Connection, job_id: str, number: int, steps: Sequence[int]) -> dict[int, Report]:
    """Return what a trial has reported at these steps: step → report."""
    statement = select(*REPORT_COLUMNS).where(
        reports.c.job_id == job_id, reports.c.number == number, reports.c.step.in_(steps)
    )
    return {row.step: report_from_row(row) for row in connection.execute(statement)}


def database_time(connection: Connection) -> float:
    """Return the database's clock, which judges leases."""
    time_s: float = connection.execute(_SELECT_TIME).scalar_one()
    return time_s


def _is_queued() -> ColumnElement[bool]:
    return and_(trials.c.state == TrialState.QUEUED, trials.c.lease_token > 0)


def _is_open() -> ColumnElement[bool]:
    return trials.c.state.in_([TrialState.QUEUED, TrialState.RUNNING])


# Built once: with many clients they run all the time. None is ordered: for an order by number a database would read the
# job's trials from the first one on.
_SELECT_TIME = select(db_now())
_SELECT_HELD = select(*TRIAL_COLUMNS).where(
    trials.c.job_id == bindparam("of_job"),
    trials.c.state == TrialState.RUNNING,
    trials.c.worker.in_(bindparam("of_clients", expanding=True)),
)
_SELECT_ANY = (
    select(trials.c.number)
    .where(
        trials.c.job_id == bindparam("of_job"),
        or_(
            _is_queued(),
            and_(
                trials.c.state == TrialState.RUNNING,
                or_(trials.c.worker == bindparam("of_client"), trials.c.lease_expires_at <= db_now()),
            ),
        ),
    )
    .limit(1)
)
_SELECT_OFFERED = select(trials.c.number).where(
    trials.c.job_id == bindparam("of_job"),
    _is_open(),
    or_(
        _is_queued(),
        and_(
            trials.c.state == TrialState.RUNNING,
            trials.c.lease_expires_at <= db_now(),
            trials.c.attempt < bindparam("most_attempts"),
        ),
    ),
)
_SELECT_OPEN = select(
    trials.c.number,
    trials.c.state,
    trials.c.attempt,
    trials.c.worker,
    trials.c.lease_token,
    trials.c.judged_step,
    func.coalesce(trials.c.lease_expires_at - db_now(), 0.0).label("expires_in_s"),
).where(trials.c.job_id == bindparam("of_job"), _is_open(), or_(_is_queued(), trials.c.state == TrialState.RUNNING))
