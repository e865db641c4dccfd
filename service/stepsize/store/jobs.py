"""Jobs: insert, read, delete. States change only through a ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from stepsize.clock import now
from stepsize.domain.job import HELD_JOB_STATES, Desired, Job, JobKind, JobState
from stepsize.errors import JobNotFoundError
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.store.database import Database
from stepsize.store.ledger import announce
from stepsize.store.models import jobs, reports
from stepsize.store.rows import JOB_COLUMNS, LEASE_LIVE, job_from_row


@dataclass(frozen=True)
class NewJob:
    """A job about to be recorded; `spec` has every default written back."""

    id: str
    spec: ResolvedJobSpec
    warnings: tuple[str, ...]
    total_cells: int | None
    project: str = "default"
    kind: JobKind = JobKind.TUNE
    details: Mapping[str, object] | None = None
    """See `Job.details`."""
    waits_for: str | None = None
    """The id of a job that must finish first."""


@dataclass(frozen=True)
class Stage:
    """How far a job has come: enough to tell whether what a client has of it is still so."""

    state: JobState
    revision: int
    change: int
    awaits_worker: bool
    """See `Job.awaits_worker`."""


# Built once: polls ask nothing as often as this, and to build a statement takes longer than to run it.
ONE_JOB = (jobs.c.id == bindparam("of_job"), jobs.c.project == bindparam("of_project"))
_SELECT_JOB = select(*JOB_COLUMNS).where(*ONE_JOB)
_SELECT_STAGE = select(jobs.c.state, jobs.c.revision, jobs.c.change, jobs.c.lease_expires_at, LEASE_LIVE).where(
    *ONE_JOB
)


def insert_job(connection: Connection, new: NewJob) -> Job:
    """Record a queued job and return it."""
    spec = new.spec
    connection.execute(
        jobs.insert().values(
            id=new.id,
            project=new.project,
            kind=new.kind,
            name=spec.name,
            labels=dict(spec.labels),
            priority=spec.priority,
            state=JobState.QUEUED,
            desired=Desired.RUN,
            spec=spec.model_dump(mode="json"),
            warnings=list(new.warnings),
            trainer_name=spec.trainer.name,
            trainer_version=spec.trainer.version,
            gpus=spec.resources.gpus,
            cpus=spec.resources.cpus,
            engine=spec.engine,
            details=None if new.details is None else dict(new.details),
            waits_for=new.waits_for,
            total_cells=new.total_cells,
            created_at=now(),
            revision=1,
            change=1,
        )
    )
    announce(connection, new.id)
    return get_job(connection, new.id, project=new.project)


def get_job(connection: Connection, job_id: str, *, project: str = "default") -> Job:
    """Return a job.

    Raises:
        JobNotFoundError: no such job in the project.
    """
    row = connection.execute(_SELECT_JOB, {"of_job": job_id, "of_project": project}).one_or_none()
    if row is None:
        raise JobNotFoundError(job_id)
    return job_from_row(row)


def get_stage(connection: Connection, job_id: str, *, project: str = "default") -> Stage:
    """Return how far a job has come, without reading the rest of it.

    Raises:
        JobNotFoundError: no such job in the project.
    """
    row = connection.execute(_SELECT_STAGE, {"of_job": job_id, "of_project": project}).one_or_none()
    return _stage_of(job_id, row)


def pick_stage(database: Database, job_id: str, *, project: str = "default") -> Stage:
    """Return how far a job has come, where nothing else is read with it: what polls ask for most.

    Raises:
        JobNotFoundError: no such job in the project.
    """
    return _stage_of(job_id, database.pick(_SELECT_STAGE, {"of_job": job_id, "of_project": project}))


def _stage_of(job_id: str, row: Sequence[Any] | None) -> Stage:
    if row is None:
        raise JobNotFoundError(job_id)
    state, revision, change, expires_at, is_live = row
    is_orphaned = expires_at is not None and not is_live and state in HELD_JOB_STATES
    return Stage(JobState(state), revision, change, awaits_worker=state == JobState.QUEUED or is_orphaned)


def delete_job(connection: Connection, job_id: str) -> None:
    """Remove a job with its trials and reports."""
    connection.execute(delete(reports).where(reports.c.job_id == job_id))
    connection.execute(delete(jobs).where(jobs.c.id == job_id))
    announce(connection, job_id)
