"""What a front is computed from, and the trials on it."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, select

from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.store.models import trials
from stepsize.store.rows import TRIAL_COLUMNS, trial_from_row

_NUMBERS_AT_ONCE = 500


def load_completed_values(connection: Connection, job_id: str) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield number and values of each completed trial of the search."""
    statement = select(trials.c.number, trials.c["values"]).where(
        trials.c.job_id == job_id, trials.c.state == TrialState.COMPLETED, trials.c.purpose == TrialPurpose.SEARCH
    )
    for row in connection.execute(statement.order_by(trials.c.number)):
        yield row.number, row._mapping["values"]


def load_numbered(connection: Connection, job_id: str, numbers: Sequence[int]) -> dict[int, Trial]:
    """Return trials by number."""
    found: dict[int, Trial] = {}
    for start in range(0, len(numbers), _NUMBERS_AT_ONCE):
        some = numbers[start : start + _NUMBERS_AT_ONCE]
        statement = select(*TRIAL_COLUMNS).where(trials.c.job_id == job_id, trials.c.number.in_(some))
        found |= {row.number: trial_from_row(row) for row in connection.execute(statement)}
    return found
