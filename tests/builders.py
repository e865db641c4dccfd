"""Builders: each makes one valid thing; a test names only what matters to it.

What they record goes through the store's own functions, so counters, changes and best trials are as in real life.
"""

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, func, select, update

from stepsize.clock import new_id
from stepsize.domain.job import Job, JobReason, JobState
from stepsize.domain.lease import Lease
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import Report, Trial, TrialPurpose, TrialReason, TrialState
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize.store.jobs import NewJob, get_job, insert_job
from stepsize.store.leases import claim_job
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.models import jobs, trials
from stepsize.store.trials import get_trial
from stepsize.store.workers import SlotRecord, Worker

_WAY_TO: dict[JobState, tuple[JobState, ...]] = {
    JobState.QUEUED: (),
    JobState.RUNNING: (JobState.RUNNING,),
    JobState.PAUSED: (JobState.PAUSED,),
    JobState.STOPPING: (JobState.RUNNING, JobState.STOPPING),
    JobState.COMPLETED: (JobState.RUNNING, JobState.COMPLETED),
    JobState.FAILED: (JobState.RUNNING, JobState.FAILED),
    JobState.CANCELLED: (JobState.CANCELLED,),
}


def make_spec(**changes: Any) -> ResolvedJobSpec:
    """Return a valid, resolved spec of the `synthetic` trainer; `changes` replace its top-level fields, as in JSON."""
    body = {
        "trainer": {"name": "synthetic", "version": "1"},
        "search_space": {"learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}},
        "objectives": [{"metric": "loss", "direction": "minimize"}],
        "sampler": {"name": "random", "seed": 0},
        "budget": {"max_trials": 40},
    }
    return ResolvedJobSpec.model_validate(body | changes)


def bare_trial(number: int, **known: Any) -> Trial:
    """Return a trial of a search as the record would have it; whatever is not known is None."""
    unknown: dict[str, Any] = dict.fromkeys(field.name for field in fields(Trial))
    usual = {
        "number": number,
        "attempt": 1,
        "params": {},
        "values": {},
        "study_attrs": {},
        "purpose": TrialPurpose.SEARCH,
    }
    return Trial(**unknown | usual | known)


def make_card(name: str = "synthetic", **changes: Any) -> TrainerCard:
    """Return a valid card of a trainer with two parameters and one metric."""
    body = {
        "name": name,
        "version": "1",
        "help": "A trainer for tests.",
        "params_schema": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.01},
                "batch_size": {"type": "integer", "minimum": 1, "default": 32},
            },
        },
        "metrics": [{"name": "loss", "direction": "minimize"}],
        "step_unit": "report",
        "default_search_space": {"learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}},
        "default_objectives": [{"metric": "loss", "direction": "minimize"}],
    }
    return TrainerCard.model_validate(body | changes)


def make_worker(worker_id: str = "worker-1", **changes: Any) -> Worker:
    """Return a worker with one CPU slot and the `synthetic` trainer; not yet registered."""
    fields: dict[str, Any] = {
        "id": worker_id,
        "host": "localhost",
        "pid": 1,
        "version": "0",
        "slots": (SlotRecord(index=0, device="cpu", gpus=0.0, cpus=1),),
        "trainers": (make_card(),),
        "started_at": 0.0,
        "last_seen": 0.0,
        "alive": True,
    }
    return Worker(**fields | changes)


def make_job(
    connection: Connection,
    *,
    state: JobState = JobState.QUEUED,
    reason: JobReason | None = None,
    spec: ResolvedJobSpec | None = None,
    created_at: float | None = None,
    **new: Any,
) -> Job:
    """Record a job in some state, not held by any worker (see `take_lease`); `new` are fields of NewJob."""
    fields: dict[str, Any] = {"id": new_id("job"), "spec": spec or make_spec(), "warnings": (), "total_cells": None}
    job = insert_job(connection, NewJob(**fields | new))
    if _WAY_TO[state]:
        with open_ledger(connection, job.id, project=job.project) as ledger:
            for step in _WAY_TO[state]:
                ledger.move_job(step, reason if step is state else None)
    if created_at is not None:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(created_at=created_at))
    return get_job(connection, job.id, project=job.project)


def take_lease(connection: Connection, job_id: str, *, owner: str = "worker-1", lease_s: float = 60.0) -> Lease:
    """Claim a job for a worker; the job must be claimable."""
    claimed = claim_job(connection, job_id, owner=owner, lease_s=lease_s)
    assert claimed is not None, f"job {job_id} is not claimable"
    return claimed[0]


def expire_lease(connection: Connection, job_id: str) -> None:
    """Let the lease on a job have run out long ago, as if its worker had been silent."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(lease_expires_at=1.0))


def make_trial(
    connection: Connection,
    job_id: str,
    *,
    state: TrialState = TrialState.QUEUED,
    reason: TrialReason | None = None,
    objective: float | None = None,
    number: int | None = None,
    params: dict[str, Scalar] | None = None,
    **columns: Any,
) -> Trial:
    """Record a trial in some state; `columns` are set as they are. `number` defaults to the job's next."""
    if number is None:
        highest = connection.scalar(select(func.max(trials.c.number)).where(trials.c.job_id == job_id))
        number = 0 if highest is None else highest + 1
    inserted = TrialState.QUEUED if state in (TrialState.QUEUED, TrialState.CANCELLED) else TrialState.RUNNING
    columns |= {"objective": objective} if objective is not None else {}
    columns |= {"reason": reason} if reason is not None else {}
    with open_ledger(connection, job_id) as ledger:
        ledger.insert_trials(
            [NewTrial(number=number, state=inserted, params=params or {"learning_rate": 0.01}, seed=number)]
        )
        if state is not inserted:
            ledger.move_trial(number, inserted, state, **columns)
        elif columns:
            ledger.touch_trial(number, **columns)
    return get_trial(connection, job_id, number)


def make_report(number: int = 0, step: int = 1, *, elapsed_s: float = 0.1, **values: float) -> Report:
    """Return a report of `loss` (or the `values` given); not yet recorded."""
    return Report(number=number, step=step, values=values or {"loss": 1.0}, elapsed_s=elapsed_s)
