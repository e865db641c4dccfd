"""A job's rows in chunks, for those who take everything: no connection is held while a client reads."""

from collections.abc import Iterator

from sqlalchemy import select, tuple_

from stepsize.domain.trial import Report, Trial
from stepsize.store.database import Database
from stepsize.store.models import reports, trials
from stepsize.store.rows import REPORT_COLUMNS, TRIAL_COLUMNS, report_from_row, trial_from_row

_TRIALS_AT_ONCE = 500
_REPORTS_AT_ONCE = 2000


def iter_trials(database: Database, job_id: str) -> Iterator[list[Trial]]:
    """Yield a job's trials by number, some hundreds at a time, each chunk as it is when it is read."""
    after = -1
    while True:
        statement = select(*TRIAL_COLUMNS).where(trials.c.job_id == job_id, trials.c.number > after)
        with database.read() as connection:
            rows = connection.execute(statement.order_by(trials.c.number).limit(_TRIALS_AT_ONCE)).all()
        if not rows:
            return
        yield [trial_from_row(row) for row in rows]
        after = rows[-1].number


def iter_reports(database: Database, job_id: str) -> Iterator[list[Report]]:
    """Yield a job's reports by trial number and step, some thousands at a time."""
    after = (-1, -1)
    position = tuple_(reports.c.number, reports.c.step)
    while True:
        statement = select(*REPORT_COLUMNS).where(reports.c.job_id == job_id, position > after)
        with database.read() as connection:
            rows = connection.execute(
                statement.order_by(reports.c.number, reports.c.step).limit(_REPORTS_AT_ONCE)
            ).all()
        if not rows:
            return
        yield [report_from_row(row) for row in rows]
        after = (rows[-1].number, rows[-1].step)
