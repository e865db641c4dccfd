"""Jobs as clients read them: each with its answer and its best trial, as the job's row names it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, Select, and_, bindparam, select

from stepsize.domain.answer import Answer
from stepsize.domain.job import Job
from stepsize.domain.trial import TrialBrief
from stepsize.errors import JobNotFoundError
from stepsize.spec.resolved import recall
from stepsize.store.jobs import ONE_JOB
from stepsize.store.models import answers, jobs, trials
from stepsize.store.rows import JOB_COLUMNS, job_from_row


@dataclass(frozen=True)
class JobRecord:
    """What the record says of a job, its trials aside."""

    job: Job
    answer: Answer | None
    best: TrialBrief | None


def read_record(connection: Connection, job_id: str, *, project: str = "default") -> JobRecord:
    """Return a job with what belongs to it: one statement, whose cost doesn't grow with the job.

    Raises:
        JobNotFoundError: no such job in the project.
    """
    row = connection.execute(_SELECT_RECORD, {"of_job": job_id, "of_project": project}).one_or_none()
    if row is None:
        raise JobNotFoundError(job_id)
    return _record_in(row)


def read_records(connection: Connection, job_ids: Iterable[str]) -> list[JobRecord]:
    """Return those of these jobs that exist, in no order."""
    rows = connection.execute(_SELECT_RECORDS, {"of_jobs": list(job_ids)})
    return [_record_in(row) for row in rows]


def add_to_jobs(connection: Connection, found: Iterable[Job]) -> list[JobRecord]:
    """Return jobs with what belongs to them, in the same order."""
    found = list(found)
    rows = connection.execute(_SELECT_BESIDE, {"of_jobs": [job.id for job in found]}).mappings()
    beside = {row["id"]: row for row in rows}
    return [_record_of(job, beside[job.id]) for job in found]


def _record_in(row: Row[Any]) -> JobRecord:
    return _record_of(job_from_row(row, without=_BESIDE), row._mapping)


def _record_of(job: Job, beside: RowMapping) -> JobRecord:
    best = None
    if beside["best_params"] is not None and job.best_trial is not None:
        best = TrialBrief(job.id, job.best_trial, beside["best_params"], beside["best_values"])
    answer = beside["answer"]
    return JobRecord(job, None if answer is None else recall(Answer, answer), best)


_BESIDE_COLUMNS = (
    answers.c.answer,
    trials.c.params.label("best_params"),
    trials.c["values"].label("best_values"),
)
_BESIDE = frozenset(column.name for column in _BESIDE_COLUMNS)


def _joined(*columns: Any) -> Select[Any]:
    # Not `(job_id, number) IN (…)` for the best trial: SQLite reads all trials for that.
    is_best = and_(trials.c.job_id == jobs.c.id, trials.c.number == jobs.c.best_trial)
    beside = jobs.outerjoin(answers, answers.c.job_id == jobs.c.id).outerjoin(trials, is_best)
    return select(*columns, *_BESIDE_COLUMNS).select_from(beside)


_SELECT_RECORD = _joined(*JOB_COLUMNS).where(*ONE_JOB)
_SELECT_RECORDS = _joined(*JOB_COLUMNS).where(jobs.c.id.in_(bindparam("of_jobs", expanding=True)))
_SELECT_BESIDE = _joined(jobs.c.id).where(jobs.c.id.in_(bindparam("of_jobs", expanding=True)))
