"""Sorted and filtered pages of one job's trials, at a cost that hardly grows with the job.

The database reads every trial's JSON for such a page: 50 ms at 10,000 trials. Here a process keeps the fields that are
asked for as columns, and brings them up to date, by the rows' `change`, in the transaction that reads the page. The
record alone counts: nothing is written, and what is kept is dropped and read again at will.
"""

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, literal, select

from stepsize.domain.trial import Trial, TrialState
from stepsize.store.jobs import get_stage
from stepsize.store.keyset import Page, decode_token, encode_token
from stepsize.store.listing import Comparison, Condition, Field, TrialQuery, find_trials, number_of, text_of
from stepsize.store.models import trials
from stepsize.store.trial_columns import Column, Key

_MOST_FIELDS = 8
"""Columns kept of a job; the one not asked for the longest goes first."""
_MOST_CELLS = 1_000_000
"""Values kept in all: about 16 MB with an order each."""
_ROWS_AT_ONCE = 5_000
"""All rows of 100,000 trials together would take 40 MB for a moment, which the process then keeps."""
_REBUILT_FROM = 500
"""With so many changed rows, orders are made anew instead of mended."""

_CODES = {state: code for code, state in enumerate(TrialState, start=1)}
_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    Comparison.LESS: operator.lt,
    Comparison.LESS_OR_EQUAL: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.GREATER_OR_EQUAL: operator.ge,
}


class TrialIndex:
    """The columns of the jobs whose trials this process was asked for lately. Safe to use from many threads."""

    def __init__(self, *, most_cells: int = _MOST_CELLS) -> None:
        self._most_cells = most_cells
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, _JobIndex] = OrderedDict()

    def fetch_page(self, connection: Connection, query: TrialQuery) -> Page[Trial]:
        """Return one page of a job's trials, by number unless sorted.

        Raises:
            JobNotFoundError: no such job.
            PageTokenError: the token is none of this list's.
        """
        assert query.job_id is not None, "columns are a job's"
        with self._lock:
            index = self._jobs.setdefault(query.job_id, _JobIndex(query.job_id))
            self._jobs.move_to_end(query.job_id)
        numbers, next_token = index.find(connection, query)
        self._trim()
        found = {trial.number: trial for trial in find_trials(connection, query.job_id, numbers)}
        return Page([found[number] for number in numbers if number in found], next_token)

    def _trim(self) -> None:
        """Let go of the jobs not asked for the longest, beyond what may be kept; never of the last."""
        with self._lock:
            while len(self._jobs) > 1 and sum(index.n_cells for index in self._jobs.values()) > self._most_cells:
                self._jobs.popitem(last=False)


class _JobIndex:
    """One job's columns, up to date as of `_seen`."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._lock = threading.Lock()
        self._seen = 0
        self._states = bytearray()
        self._columns: OrderedDict[Field, Column] = OrderedDict()

    @property
    def n_cells(self) -> int:
        return len(self._states) * (1 + len(self._columns))

    def find(self, connection: Connection, query: TrialQuery) -> tuple[list[int], str | None]:
        """Return the numbers of the page's trials and the token of the next page."""
        listing = f"trials {query.sort}"
        sort = None if query.sort is None or query.sort.field == Field("number") else query.sort
        fields = [condition.field for condition in query.conditions] + ([sort.field] if sort else [])
        kinds: list[type] = [int] if sort is None else [float, int] if sort.field.entry is None else [float, str, int]
        after = None if query.page_token is None else decode_token(query.page_token, listing, kinds)
        change = get_stage(connection, self._job_id).change
        with self._lock:
            self._catch_up(connection, change)
            self._ensure(connection, fields, change)
            found = list(islice(self._walk(query, after), query.limit + 1))
            if len(found) <= query.limit:
                return found, None
            last = found[query.limit - 1]
            key: Key = (None, None) if sort is None else self._columns[sort.field].key(last)
            return found[: query.limit], encode_token(listing, [*key[: len(kinds) - 1], last])

    # -- reading ------------------------------------------------------------------------------------------------------

    def _catch_up(self, connection: Connection, change: int) -> None:
        """Bring every column to the present change; a transaction that is behind leaves them as they are."""
        if change <= self._seen:
            return
        fields = list(self._columns)
        since = {"of_job": self._job_id, "after_change": self._seen}
        rows = connection.execute(_select_changed(tuple(fields)), since).all()
        put = Column.fill if len(rows) >= _REBUILT_FROM else Column.set
        for row in rows:
            self._put_state(row.number, TrialState(row.state))
        for place, field in enumerate(fields):
            _put_all(put, self._columns[field], rows, place)
        self._seen = change

    def _ensure(self, connection: Connection, fields: Iterable[Field], change: int) -> None:
        """Read the columns that are missing."""
        wanted = list(dict.fromkeys(fields))
        missing = [field for field in wanted if field not in self._columns]
        for field in wanted:
            self._columns.setdefault(field, Column())
            self._columns.move_to_end(field)
        if missing:
            statement = select(trials.c.number, trials.c.state, *_expressions(missing))
            of_job = statement.where(trials.c.job_id == self._job_id)
            for rows in connection.execute(of_job, execution_options={"yield_per": _ROWS_AT_ONCE}).partitions():
                for place, field in enumerate(missing):
                    _put_all(Column.fill, self._columns[field], rows, place)
            self._seen = min(self._seen, change)  # others may have gone on; their changes are read once more
        while len(self._columns) > max(_MOST_FIELDS, len(wanted)):
            self._columns.popitem(last=False)

    def _put_state(self, trial: int, state: TrialState) -> None:
        if trial >= len(self._states):
            self._states.extend(bytes(trial + 1 - len(self._states)))
        self._states[trial] = _CODES[state]

    # -- choosing -----------------------------------------------------------------------------------------------------

    def _walk(self, query: TrialQuery, after: list[float | str | None] | None) -> Iterator[int]:
        walk = self._in_order(query, after)
        states = self._states
        if query.state is None:
            walk = filter(states.__getitem__, walk)  # a number that is not recorded yet has none
        else:
            code = _CODES[query.state]
            walk = filter(lambda trial: states[trial] == code, walk)
        for condition in query.conditions:
            walk = filter(_test(condition, self._columns[condition.field]), walk)
        return walk

    def _in_order(self, query: TrialQuery, after: list[float | str | None] | None) -> Iterator[int]:
        last = None if after is None else int(after[-1] or 0)
        if query.sort is not None and query.sort.field != Field("number"):
            key: Key | None = None
            if after is not None:
                number, text = after[0], after[1] if len(after) > 2 else None
                key = (None if number is None else float(number), None if text is None else str(text))
            column = self._columns[query.sort.field]
            place = None if key is None or last is None else (key, last)
            return column.walk(descending=query.sort.descending, after=place)
        n_trials = len(self._states)
        if query.sort is not None and query.sort.descending:
            return iter(range(min(n_trials, n_trials if last is None else last) - 1, -1, -1))
        return iter(range(0 if last is None else last + 1, n_trials))


@lru_cache(maxsize=64)
def _select_changed(fields: tuple[Field, ...]) -> Select[Any]:
    """Return the statement that reads the changed rows, built once: with each page of a busy job it runs again."""
    return select(trials.c.number, trials.c.state, *_expressions(fields)).where(
        trials.c.job_id == bindparam("of_job"), trials.c.change > bindparam("after_change")
    )


def _expressions(fields: Iterable[Field]) -> Iterator[ColumnElement[object]]:
    for place, field in enumerate(fields):
        text = text_of(field)
        yield number_of(field).label(f"number_{place}")
        yield (literal(None) if text is None else text).label(f"text_{place}")


def _put_all(
    put: Callable[[Column, int, float | None, str | None], None],
    column: Column,
    rows: Iterable[Row[Any]],
    place: int,
) -> None:
    number_at, text_at = 2 + 2 * place, 3 + 2 * place
    for row in rows:
        put(column, row[0], row[number_at], row[text_at])
    if put is Column.fill:
        column.forget_orders()


def _test(condition: Condition, column: Column) -> Callable[[int], bool]:
    """Return what a trial must pass: as the condition would be judged in SQL."""
    numbers, texts = column.numbers, column.texts
    number, wanted = condition.number, frozenset(condition.texts)

    def equals(trial: int) -> bool:
        return numbers[trial] == number or texts.get(trial) in wanted

    match condition.comparison:
        case Comparison.EQUAL:
            return equals
        case Comparison.NOT_EQUAL:
            return lambda trial: (numbers[trial] == numbers[trial] or trial in texts) and not equals(trial)
        case comparison:
            compare = _COMPARE[comparison]
            assert number is not None, "an inequality is with a number"
            return lambda trial: compare(numbers[trial], number)
