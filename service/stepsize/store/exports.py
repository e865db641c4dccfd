"""A job's rows in chunks, for those who take everything: no connection is held while a client reads."""

from collections.abc import Iterator

from sqlalchemy import select, text, tuple_

from stepsize.domain.trial import Report, Trial
from stepsize.store.database import Database
from stepsize.store.models import reports, trials
from stepsize.store.rows import REPORT_COLUMNS, TRIAL_COLUMNS, report_from_row, trial_from_row

_TRIALS_AT_ONCE = 100
_REPORTS_AT_ONCE = 500
"""A reader that stops keeps its chunk: thirty with 500 trials each were 100 MiB."""
# The database goes through the documents: in this process that would hold up everybody else's answers.
_NAMES = {
    False: """SELECT entry.key FROM {table} AS one, json_each(one."{document}") AS entry
        WHERE one.job_id = :job_id GROUP BY entry.key ORDER BY min(one.number), min(entry.id)""",
    True: """SELECT entry.key
        FROM {table} AS one, json_object_keys(one."{document}") WITH ORDINALITY AS entry (key, place)
        WHERE one.job_id = :job_id GROUP BY entry.key ORDER BY min(one.number), min(entry.place)""",
}
"""By whether it is PostgreSQL: the names of all entries, in the order in which they came up."""


def param_names(database: Database, job_id: str) -> list[str]:
    """Return the names of all parameters that a job's trials have."""
    return _entry_names(database, job_id, trials.name, "params")


def metric_names(database: Database, job_id: str, *, of_reports: bool = False) -> list[str]:
    """Return the names of all metrics that a job's trials, or their reports, have."""
    return _entry_names(database, job_id, reports.name if of_reports else trials.name, "values")


def _entry_names(database: Database, job_id: str, table: str, document: str) -> list[str]:
    statement = text(_NAMES[database.is_postgresql].format(table=table, document=document))
    with database.read() as connection:
        return [str(name) for (name,) in connection.execute(statement, {"job_id": job_id})]


def iter_trials(database: Database, job_id: str) -> Iterator[list[Trial]]:
    """Yield a job's trials by number, a hundred at a time, each chunk as it is when it is read."""
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
    """Yield a job's reports by trial number and step, some hundreds at a time."""
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
