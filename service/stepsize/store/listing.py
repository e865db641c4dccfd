"""Lists of jobs, trials and reports: filtered, sorted, a page at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, and_, bindparam, case, false, null, or_, select

from stepsize.domain.job import Job, JobState
from stepsize.domain.trial import Report, Trial, TrialPurpose, TrialState
from stepsize.store.documents import number_in, text_in
from stepsize.store.keyset import Page, SortKey, fetch_page
from stepsize.store.models import jobs, reports, trials
from stepsize.store.rows import (
    JOB_COLUMNS,
    REPORT_COLUMNS,
    TRIAL_COLUMNS,
    job_from_row,
    report_from_row,
    trial_from_row,
)


class Comparison(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True)
class Field:
    """A number or string of a trial: one of its own columns, or an entry of its params or values."""

    column: str
    entry: str | None = None


@dataclass(frozen=True)
class Condition:
    """What a trial must satisfy to be listed; a trial without the field satisfies none."""

    field: Field
    comparison: Comparison
    number: float | None = None
    """The number that it is compared with; None: no number equals the operand."""
    texts: tuple[str, ...] = ()
    """The strings, and booleans as `boolean_text` has them, that equal the operand."""


@dataclass(frozen=True)
class Sort:
    """An order of trials."""

    field: Field
    descending: bool = False


@dataclass(frozen=True)
class TrialQuery:
    """Which trials to list; None: of all jobs."""

    job_id: str | None = None
    state: TrialState | None = None
    conditions: Sequence[Condition] = ()
    sort: Sort | None = None
    limit: int = 50
    page_token: str | None = None
    project: str = "default"

    @property
    def is_selective(self) -> bool:
        """Whether the primary key's order doesn't answer it."""
        is_sorted = self.sort is not None and self.sort.field != Field("number")
        return is_sorted or self.state is not None or bool(self.conditions)


@dataclass(frozen=True)
class JobQuery:
    """Which jobs to list, newest first unless sorted."""

    state: JobState | None = None
    name: str | None = None
    trainer: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    sort: str = "created_at"
    descending: bool = True
    limit: int = 50
    page_token: str | None = None
    project: str = "default"


JOB_SORTS = ("created_at", "started_at", "finished_at", "name", "priority", "state")
TRIAL_COLUMN_FIELDS = ("number", "duration_s", "step", "attempt", "losses_of_worker", "gpu_seconds")
"""A trial's own numbers that lists filter and sort by."""
TRIAL_DOCUMENT_FIELDS = ("params", "values")
"""Documents whose entries lists filter and sort by."""
_LATEST = 100
"""Trials whose names of entries are looked at for what a misspelt one may have meant."""


def list_jobs(connection: Connection, query: JobQuery) -> Page[Job]:
    """Return one page of jobs.

    Raises:
        PageTokenError: the token is none of this list's.
    """
    statement = select(*JOB_COLUMNS).where(jobs.c.project == query.project)
    if query.state is not None:
        statement = statement.where(jobs.c.state == query.state)
    if query.name is not None:
        statement = statement.where(jobs.c.name == query.name)
    if query.trainer is not None:
        statement = statement.where(jobs.c.trainer_name == query.trainer)
    for key, value in query.labels.items():
        statement = statement.where(text_in(jobs.c.labels, key) == value)
    column = jobs.c[query.sort]
    kind: type[str] | type[float] = str if isinstance(column.type, String) else float
    keys = [SortKey(column, kind, query.descending), SortKey(jobs.c.id, str, query.descending)]
    listing = f"jobs {'-' if query.descending else ''}{query.sort}"
    return fetch_page(
        connection, statement, keys, make=job_from_row, listing=listing, limit=query.limit, token=query.page_token
    )


def list_trials(connection: Connection, query: TrialQuery) -> Page[Trial]:
    """Return one page of trials: by number within a job, newest first across jobs, unless sorted.

    Raises:
        PageTokenError: the token is none of this list's.
    """
    statement = select(*TRIAL_COLUMNS).where(trials.c.project == query.project)
    if query.job_id is not None:
        statement = statement.where(trials.c.job_id == query.job_id)
    if query.state is not None:
        statement = statement.where(trials.c.state == query.state)
    statement = statement.where(*(_holds(condition) for condition in query.conditions))
    return fetch_page(
        connection,
        statement,
        _trial_keys(query),
        make=trial_from_row,
        listing=f"trials {query.sort}",
        limit=query.limit,
        token=query.page_token,
    )


def list_reports(
    connection: Connection, job_id: str, number: int, *, limit: int, page_token: str | None
) -> Page[Report]:
    """Return one page of a trial's reports, by step.

    Raises:
        PageTokenError: the token is none of this list's.
    """
    statement = select(*REPORT_COLUMNS).where(reports.c.job_id == job_id, reports.c.number == number)
    keys = [SortKey(reports.c.step, int)]
    return fetch_page(
        connection, statement, keys, make=report_from_row, listing="reports", limit=limit, token=page_token
    )


def best_trials(connection: Connection, job_id: str, *, descending: bool, limit: int) -> list[Trial]:
    """Return a job's completed trials of the search by their first objective."""
    order = trials.c.objective.desc() if descending else trials.c.objective.asc()
    statement = (
        select(*TRIAL_COLUMNS)
        .where(
            trials.c.job_id == job_id,
            trials.c.state == TrialState.COMPLETED,
            trials.c.objective.is_not(None),
            trials.c.purpose == TrialPurpose.SEARCH,
        )
        .order_by(order, trials.c.number)
        .limit(limit)
    )
    return [trial_from_row(row) for row in connection.execute(statement)]


def last_failed(connection: Connection, job_id: str) -> Trial | None:
    """Return the job's failed trial that ended last."""
    statement = select(*TRIAL_COLUMNS).where(trials.c.job_id == job_id, trials.c.state == TrialState.FAILED)
    row = connection.execute(statement.order_by(trials.c.finished_at.desc(), trials.c.number.desc()).limit(1)).first()
    return None if row is None else trial_from_row(row)


def completed_replicates(connection: Connection, job_id: str) -> list[Trial]:
    """Return a job's replicates that have completed, by number."""
    statement = select(*TRIAL_COLUMNS).where(
        trials.c.job_id == job_id, trials.c.state == TrialState.COMPLETED, trials.c.replicate_of.is_not(None)
    )
    return [trial_from_row(row) for row in connection.execute(statement.order_by(trials.c.number))]


def confirming_trials(connection: Connection, job_id: str) -> list[Trial]:
    """Return a job's checks that have ended, by number; cancelled ones are none."""
    ended = [state for state in TrialState if state.is_finished and state is not TrialState.CANCELLED]
    statement = select(*TRIAL_COLUMNS).where(
        trials.c.job_id == job_id, trials.c.purpose == TrialPurpose.CONFIRM, trials.c.state.in_(ended)
    )
    return [trial_from_row(row) for row in connection.execute(statement.order_by(trials.c.number))]


def find_trials(connection: Connection, job_id: str, numbers: Iterable[int]) -> list[Trial]:
    """Return the trials of a job that have these numbers, in no order."""
    wanted = {"of_job": job_id, "of_numbers": list(numbers)}
    return [trial_from_row(row) for row in connection.execute(_TRIALS_OF_JOB, wanted)] if wanted["of_numbers"] else []


_TRIALS_OF_JOB = select(*TRIAL_COLUMNS).where(
    trials.c.job_id == bindparam("of_job"), trials.c.number.in_(bindparam("of_numbers", expanding=True))
)


def running_trials(connection: Connection, *, project: str = "default") -> list[Trial]:
    """Return every trial that runs now."""
    statement = (
        select(*TRIAL_COLUMNS)
        .where(trials.c.project == project, trials.c.state == TrialState.RUNNING)
        .order_by(trials.c.job_id, trials.c.number)
    )
    return [trial_from_row(row) for row in connection.execute(statement)]


def _trial_keys(query: TrialQuery) -> list[SortKey]:
    number = SortKey(trials.c.number, int)
    total = [number] if query.job_id is not None else [SortKey(trials.c.job_id, str), number]
    if query.sort is None:
        return total if query.job_id is not None else [SortKey(trials.c.created_at, float, True), *total]
    descending = query.sort.descending
    if query.sort.field == Field("number"):
        return [SortKey(trials.c.number, int, descending), *total[:-1]]
    keys = [SortKey(number_of(query.sort.field), float, descending)]
    if (text := text_of(query.sort.field)) is not None:
        keys.append(SortKey(text, str, descending))
    return keys + total


def has_entry(connection: Connection, chosen: Field, *, job_id: str | None, project: str = "default") -> bool:
    """Tell whether any trial, of this job or of all, has an entry of its params or values."""
    text = text_of(chosen)
    assert text is not None, "a trial's own columns are there always"
    statement = select(trials.c.number).where(
        trials.c.project == project, or_(number_of(chosen).is_not(null()), text.is_not(null()))
    )
    if job_id is not None:
        statement = statement.where(trials.c.job_id == job_id)
    return connection.execute(statement.limit(1)).first() is not None


def entry_names(connection: Connection, document: str, *, job_id: str | None, project: str = "default") -> set[str]:
    """Return the names of entries that the latest trials have, of this job or of all."""
    statement = select(trials.c[document]).where(trials.c.project == project)
    if job_id is not None:
        statement = statement.where(trials.c.job_id == job_id)
    latest = statement.order_by(trials.c.created_at.desc()).limit(_LATEST)
    return {name for (entries,) in connection.execute(latest) for name in entries or ()}


def number_of(chosen: Field) -> ColumnElement[Any]:
    """Return a trial's field as a number; NULL where it is none."""
    if chosen.entry is not None:
        return number_in(trials.c[chosen.column], chosen.entry)
    if chosen.column == "duration_s":
        return trials.c.finished_at - trials.c.started_at
    return trials.c[chosen.column]


def text_of(chosen: Field) -> ColumnElement[Any] | None:
    """Return a trial's field as a string, NULL where it is none; None: a field that is always a number."""
    return None if chosen.entry is None else text_in(trials.c[chosen.column], chosen.entry)


def _holds(condition: Condition) -> ColumnElement[bool]:
    equal = [number_of(condition.field) == condition.number] if condition.number is not None else []
    present = [number_of(condition.field).is_not(null())]
    if (text := text_of(condition.field)) is not None:
        equal.append(text.in_(condition.texts))
        present.append(text.is_not(null()))
    number = number_of(condition.field)
    match condition.comparison:
        case Comparison.EQUAL:
            return or_(false(), *equal)
        case Comparison.NOT_EQUAL:
            # Equality is NULL where the value is of the other type: it is different then, not unknown.
            return and_(or_(*present), case((or_(false(), *equal), False), else_=True))
        case Comparison.LESS:
            return number < condition.number
        case Comparison.LESS_OR_EQUAL:
            return number <= condition.number
        case Comparison.GREATER:
            return number > condition.number
        case Comparison.GREATER_OR_EQUAL:
            return number >= condition.number
