"""What has changed in a job: rows by their `change`."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, bindparam, or_, select

from stepsize.clock import now
from stepsize.domain.job import UNFINISHED_JOB_STATES
from stepsize.domain.trial import Report, Trial
from stepsize.errors import JobNotFoundError
from stepsize.store.models import jobs, reports, trials
from stepsize.store.rows import REPORT_COLUMNS, TRIAL_COLUMNS, report_from_row, trial_from_row

T_co = TypeVar("T_co", covariant=True)
_FOR_EVER = 2**62
_IDS_AT_ONCE = 500


@dataclass(frozen=True)
class Changed(Generic[T_co]):
    """A row and the change it was last written by."""

    change: int
    row: T_co


def current_changes(connection: Connection, job_ids: Collection[str]) -> dict[str, int]:
    """Return the `change` of each of these jobs that still exists."""
    ids = list(job_ids)
    found: dict[str, int] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        wanted = ids[start : start + _IDS_AT_ONCE]
        found |= {row.id: row.change for row in connection.execute(_CURRENT_CHANGES, {"of_jobs": wanted})}
    return found


def active_changes(connection: Connection, *, recent_s: float, project: str = "default") -> dict[str, int]:
    """Return the `change` of each job that has not finished, or was submitted within the last `recent_s` seconds."""
    is_active = jobs.c.state.in_(sorted(UNFINISHED_JOB_STATES))
    is_young = jobs.c.created_at > now() - recent_s
    rows = connection.execute(
        select(jobs.c.id, jobs.c.change).where(jobs.c.project == project, or_(is_active, is_young))
    )
    return {row.id: row.change for row in rows}


def changes_of(connection: Connection, job_ids: Sequence[str]) -> tuple[int, ...]:
    """Return the `change` of each job, in order: answers about them are the same as long as these are.

    Raises:
        JobNotFoundError: one of them doesn't exist.
    """
    found = current_changes(connection, job_ids)
    for job_id in job_ids:
        if job_id not in found:
            raise JobNotFoundError(job_id)
    return tuple(found[job_id] for job_id in job_ids)


def end_of_batch(connection: Connection, job_id: str, *, after: int, limit: int) -> int:
    """Return the change up to which about `limit` rows of a kind have changed; whole changes only."""
    begin = {"of_job": job_id, "after_change": after, "n_before": limit - 1}
    found = (connection.scalar(statement, begin) for statement in _END_OF_BATCH)
    return min((end for end in found if end is not None), default=_FOR_EVER)


def trials_changed(connection: Connection, job_id: str, *, after: int, upto: int) -> Iterator[Changed[Trial]]:
    """Yield the trials whose change lies in (after, upto], in order."""
    for row in connection.execute(_TRIALS_CHANGED, {"of_job": job_id, "after_change": after, "upto_change": upto}):
        trial = trial_from_row(row)
        yield Changed(trial.change, trial)


def reports_changed(connection: Connection, job_id: str, *, after: int, upto: int) -> Iterator[Changed[Report]]:
    """Yield the reports whose change lies in (after, upto], in order."""
    span = {"of_job": job_id, "after_change": after, "upto_change": upto}
    found = connection.execute(_REPORTS_CHANGED, span).freeze()
    changes = found().scalars().all()
    for change, row in zip(changes, found().columns(*range(1, 1 + len(REPORT_COLUMNS))), strict=True):
        yield Changed(change, report_from_row(row))


# Built once: a stream on a busy job runs them several times a second.
_CURRENT_CHANGES = select(jobs.c.id, jobs.c.change).where(jobs.c.id.in_(bindparam("of_jobs", expanding=True)))
_END_OF_BATCH = tuple(
    select(table.c.change)
    .where(table.c.job_id == bindparam("of_job"), table.c.change > bindparam("after_change"))
    .order_by(table.c.change)
    .offset(bindparam("n_before"))
    .limit(1)
    for table in (trials, reports)
)


def _within(table: Table) -> tuple[ColumnElement[bool], ...]:
    return (
        table.c.job_id == bindparam("of_job"),
        table.c.change > bindparam("after_change"),
        table.c.change <= bindparam("upto_change"),
    )


_TRIALS_CHANGED = select(*TRIAL_COLUMNS).where(*_within(trials)).order_by(trials.c.change, trials.c.number)
_REPORTS_CHANGED = (
    select(reports.c.change, *REPORT_COLUMNS)
    .where(*_within(reports))
    .order_by(reports.c.change, reports.c.number, reports.c.step)
)
