"""The statements of a ledger, built once: to build and to hash them took longer than to run them, in every transaction
of every trial. Values for the columns they set are bound under `as_new` names.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Double, Update, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from stepsize.domain.trial import TrialState
from stepsize.store.database import db_now
from stepsize.store.models import answers, jobs, reports, trials
from stepsize.store.rows import JOB_COLUMNS

CHANNEL = "stepsize"
"""PostgreSQL NOTIFY channel; the payload is the job's id."""

TAKE = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_job"), jobs.c.project == bindparam("of_project"))
    .values(change=jobs.c.change + 1)
    .returning(*JOB_COLUMNS)
)
TAKE_LEASED = (
    update(jobs)
    .where(
        jobs.c.id == bindparam("of_job"),
        jobs.c.lease_token == bindparam("of_token"),
        jobs.c.lease_expires_at > db_now(),
    )
    .values(change=jobs.c.change + 1, work_s=func.coalesce(bindparam("of_work_s", type_=Double()), jobs.c.work_s))
    .returning(*JOB_COLUMNS)
)
COUNT_TRIALS = (
    select(trials.c.purpose, func.count())
    .where(trials.c.job_id == bindparam("of_job"), trials.c.state != TrialState.CANCELLED)
    .group_by(trials.c.purpose)
)


@cache
def update_job(columns: frozenset[str]) -> Update:
    return update(jobs).where(jobs.c.id == bindparam("of_job")).values({name: _new(name) for name in columns})


@cache
def update_trial(columns: frozenset[str], *, guarded: bool) -> Update:
    """Return the statement that sets these columns of a trial, if guarded only where its state is `of_state`."""
    of_trial = [trials.c.job_id == bindparam("of_job"), trials.c.number == bindparam("of_number")]
    if guarded:
        of_trial.append(trials.c.state == bindparam("of_state"))
    values: dict[str, ColumnElement[Any]] = {name: _new(name) for name in columns}
    if guarded:
        values["gpu_seconds"] = trials.c.gpu_seconds + bindparam("more_gpu_seconds")
    return update(trials).where(*of_trial).values(values)


def _new(column: str) -> BindParameter[Any]:
    return bindparam(f"new_{column}")


def as_new(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in columns.items()}


NOTIFY = select(func.pg_notify(CHANNEL, bindparam("of_job")))


def _upsert(dialect_insert: Any) -> Any:
    statement = dialect_insert(reports)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[reports.c.job_id, reports.c.number, reports.c.step],
        set_={"values": new["values"], "elapsed_s": new.elapsed_s, "change": new.change},
    )


def _upsert_answer(dialect_insert: Any) -> Any:
    statement = dialect_insert(answers)
    new = statement.excluded
    told = ("speaks_of", "is_final", "answer", "report")
    return statement.on_conflict_do_update(index_elements=[answers.c.job_id], set_={name: new[name] for name in told})


UPSERT_ANSWER = {"sqlite": _upsert_answer(sqlite.insert), "postgresql": _upsert_answer(postgresql.insert)}
UPSERT_REPORT = {"sqlite": _upsert(sqlite.insert), "postgresql": _upsert(postgresql.insert)}
