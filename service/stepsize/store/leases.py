"""Leases on jobs: claim, renew. Expiry is judged by the database's clock alone, and tokens only ever rise."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, or_, select, tuple_, update

from stepsize.clock import now
from stepsize.domain.job import FINISHED_JOB_STATES, Job, JobState
from stepsize.domain.lease import Lease
from stepsize.spec.job import EXTERNAL
from stepsize.store.database import db_now
from stepsize.store.ledger import announce
from stepsize.store.models import jobs
from stepsize.store.rows import JOB_COLUMNS, job_from_row

_CLAIMABLE_STATES = (JobState.QUEUED, JobState.RUNNING, JobState.STOPPING)


@dataclass(frozen=True)
class Offer:
    """What a worker can run: trainers by (name, version), and what its largest slot has."""

    trainers: tuple[tuple[str, str], ...]
    gpus: float
    cpus: int


@dataclass(frozen=True, order=True)
class Precedence:
    """Sorts jobs by who gets the next free slot: highest priority, then fewest running trials, then oldest."""

    minus_priority: int
    n_running: int
    created_at: float
    job_id: str


def find_claimable(connection: Connection, offer: Offer) -> Precedence | None:
    """Return where the best claimable job stands, without claiming it.

    It runs nothing: trials still recorded as running went away with the worker that had it, and must not set it back.
    """
    row = connection.execute(_claimable(offer)).one_or_none()
    return row and Precedence(-row.priority, 0, row.created_at, row.id)


def find_claimable_external(connection: Connection) -> str | None:
    """Return the id of a claimable job whose trials run elsewhere: any worker can run its search, and no slot does."""
    return connection.scalar(_claimable_external())


def claim_job(connection: Connection, job_id: str, *, owner: str, lease_s: float) -> tuple[Lease, Job] | None:
    """Take the lease on a job; None: another worker was faster."""
    row = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, _is_claimable())
        .values(
            lease_owner=owner,
            lease_token=jobs.c.lease_token + 1,
            lease_expires_at=db_now() + lease_s,
            state=_running_unless_stopping(),
            reason=_reason_if_stopping(),
            started_at=func.coalesce(jobs.c.started_at, now()),
            change=jobs.c.change + 1,
            revision=jobs.c.change + 1,
        )
        .returning(*JOB_COLUMNS)
    ).one_or_none()
    if row is None:
        return None
    announce(connection, job_id)
    job = job_from_row(row)
    return Lease(job.id, owner, job.lease_token), job


def renew_leases(connection: Connection, leases: Sequence[Lease], *, lease_s: float) -> set[str]:
    """Renew what is still held; return the ids of those jobs. An expired lease is gone even if nobody took it."""
    held: set[str] = set()
    for lease in leases:
        renewed = connection.execute(
            update(jobs)
            .where(jobs.c.id == lease.job_id, jobs.c.lease_token == lease.token, jobs.c.lease_expires_at > db_now())
            .values(lease_expires_at=db_now() + lease_s)
        ).rowcount
        if renewed:
            held.add(lease.job_id)
    return held


def give_up_leases(connection: Connection, owner: str) -> None:
    """Let every lease of an owner run out now: its process is known to be dead."""
    rows = connection.execute(
        update(jobs).where(jobs.c.lease_owner == owner).values(lease_expires_at=db_now()).returning(jobs.c.id)
    )
    for (job_id,) in rows.all():
        announce(connection, job_id)


# A worker asks many times a second, and to build these takes longer than to run them.
@cache
def _claimable(offer: Offer) -> Select[str, int, float]:
    return (
        select(jobs.c.id, jobs.c.priority, jobs.c.created_at)
        .where(
            _is_claimable(),
            jobs.c.engine.is_(None),
            tuple_(jobs.c.trainer_name, jobs.c.trainer_version).in_(offer.trainers),
            jobs.c.gpus <= offer.gpus,
            jobs.c.cpus <= offer.cpus,
        )
        .order_by(jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
        .limit(1)
    )


@cache
def _claimable_external() -> Select[str]:
    return (
        select(jobs.c.id)
        .where(_is_claimable(), jobs.c.engine == EXTERNAL)
        .order_by(jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
        .limit(1)
    )


def _is_claimable() -> ColumnElement[bool]:
    free = or_(jobs.c.lease_expires_at.is_(None), jobs.c.lease_expires_at <= db_now())
    return and_(jobs.c.state.in_(_CLAIMABLE_STATES), free, ~_has_to_wait())


def _has_to_wait() -> ColumnElement[bool]:
    """Tell whether the job that a job waits for is there and has not finished: a look at the primary key, if at all."""
    first = jobs.alias("first")
    unfinished = exists().where(first.c.id == jobs.c.waits_for, first.c.state.not_in(sorted(FINISHED_JOB_STATES)))
    return and_(jobs.c.waits_for.is_not(None), unfinished)


def _reason_if_stopping() -> ColumnElement[str | None]:
    return case((jobs.c.state == JobState.STOPPING, jobs.c.reason), else_=None)


def _running_unless_stopping() -> ColumnElement[str]:
    return func.replace(jobs.c.state, JobState.QUEUED, JobState.RUNNING)
