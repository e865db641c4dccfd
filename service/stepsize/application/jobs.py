"""Jobs: submit, read, list, change, delete."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stepsize.application import range_tests
from stepsize.application.advice import advise
from stepsize.application.catalogue import Catalogue, can_run, load_catalogue
from stepsize.application.pointers import pointer
from stepsize.application.progress import Progress, progress_of
from stepsize.application.submission import Resolution, resolve
from stepsize.application.warm_start import find_sources
from stepsize.clock import new_id
from stepsize.domain.answer import Answer
from stepsize.domain.job import Desired, Job, JobReason, JobState
from stepsize.domain.seeds import training_seed
from stepsize.domain.trial import TrialBrief, TrialState
from stepsize.domain.tuning import TuningDetails, WarmStartSource
from stepsize.errors import FieldError, InvalidRequestError, StateConflictError, checked_beside
from stepsize.spec.budget import Budget
from stepsize.spec.hints import nearest
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec
from stepsize.store import jobs as job_store
from stepsize.store.database import Connection
from stepsize.store.keyset import Page
from stepsize.store.ledger import Ledger, NewTrial, open_ledger
from stepsize.store.listing import JobQuery
from stepsize.store.listing import list_jobs as list_job_rows
from stepsize.store.readings import JobRecord, add_to_jobs, read_record, read_records
from stepsize.store.workers import Worker, list_workers


@dataclass(frozen=True)
class JobVersion:
    """What tells one reading of a job from another: as long as it holds, so does what was read, but for the clock."""

    revision: int
    lacks_worker: bool = False
    """Whether nobody alive can run it, which comes and goes without any write to the job."""
    is_orphaned: bool = False
    """Whether its worker is gone, and another has yet to take it."""


@dataclass(frozen=True)
class JobReading:
    """A job as clients see it: the record and what follows from it now."""

    job: Job
    reason: JobReason | None
    """As recorded, or `no_worker` for an unfinished job that nobody has and nobody alive can run."""
    advice: str | None
    """What stands in the job's way and what to do about it; None: nothing does."""
    answer: Answer | None
    """As its worker last stored it; None: it has not come to one."""
    best: TrialBrief | None
    progress: Progress

    @property
    def version(self) -> JobVersion:
        return JobVersion(self.job.revision, self.reason is JobReason.NO_WORKER, self.job.is_orphaned)


@dataclass(frozen=True)
class JobChanges:
    """What a client wants changed; None: as it is."""

    labels: dict[str, str] | None = None
    priority: int | None = None
    budget: dict[str, float | None] | None = None
    """Limit → its new value, None for no limit; a limit may only grow."""


_ENDED_BY: dict[JobReason, str] = {
    JobReason.MAX_TRIALS: "max_trials",
    JobReason.TIMEOUT: "timeout_s",
    JobReason.MAX_GPU_SECONDS: "max_gpu_seconds",
    JobReason.MAX_FAILED_TRIALS: "max_failed_trials",
}
"""Which limit a larger value of lifts the reason a job ended for."""
_WHY_OVER: dict[JobReason, str] = {
    JobReason.TARGET: "its target was met",
    JobReason.NO_IMPROVEMENT: "it no longer improved",
    JobReason.TERMINATOR: "a further trial was expected to gain nothing",
    JobReason.SPACE_EXHAUSTED: "every configuration has been tried",
    JobReason.ERROR: "it could not be run",
    JobReason.USER: "a user ended it",
}
"""What ended a job where no limit did."""


def dry_run(connection: Connection, spec: JobSpec, *, lease_s: float) -> Resolution:
    """Return what would be submitted; nothing is stored.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    return _plan(connection, spec, load_catalogue(connection, lease_s=lease_s)).resolution


def submit(connection: Connection, spec: JobSpec, *, lease_s: float) -> str:
    """Record a job with the trials a client enqueued with it and return its id.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    plan = _plan(connection, spec, load_catalogue(connection, lease_s=lease_s))
    resolution, resolved = plan.resolution, plan.resolution.spec
    new = job_store.NewJob(
        new_id("job"),
        resolved,
        resolution.warnings,
        resolution.total_cells,
        details=plan.details.model_dump(mode="json") if plan.details else None,
        waits_for=range_tests.insert(connection, plan.range_test) if plan.range_test else None,
    )
    job_store.insert_job(connection, new)
    if resolved.enqueue:
        with open_ledger(connection, new.id) as ledger:
            ledger.insert_trials(
                [
                    NewTrial(
                        number=number,
                        state=TrialState.QUEUED,
                        params=params,
                        seed=training_seed(resolved.seed, resolved.seeds, number),
                        enqueued=True,
                    )
                    for number, params in enumerate(resolved.enqueue)
                ]
            )
    return new.id


def read_job(connection: Connection, job_id: str, *, lease_s: float) -> JobReading:
    """Return a job; the cost doesn't grow with the job.

    Raises:
        JobNotFoundError: no such job.
    """
    return _read(connection, [read_record(connection, job_id)], lease_s=lease_s)[0]


def read_jobs(connection: Connection, job_ids: Sequence[str], *, lease_s: float) -> list[JobReading]:
    """Return those of these jobs that exist, in no order."""
    return _read(connection, read_records(connection, job_ids), lease_s=lease_s) if job_ids else []


def list_jobs(connection: Connection, query: JobQuery, *, lease_s: float) -> Page[JobReading]:
    """Return one page of jobs.

    Raises:
        InvalidRequestError: it asks for the jobs of a trainer that there is not, and means another.
        PageTokenError: the token is none of this list's.
    """
    page = list_job_rows(connection, query)
    if query.trainer is not None and not page.items:
        _check_trainer(connection, query.trainer, lease_s=lease_s)
    return Page(_read(connection, add_to_jobs(connection, page.items), lease_s=lease_s), page.next_token)


def _check_trainer(connection: Connection, name: str, *, lease_s: float) -> None:
    known = {entry.card.name for entry in load_catalogue(connection, lease_s=lease_s).trainers}
    if name in known or list_job_rows(connection, JobQuery(trainer=name, limit=1)).items:
        return
    if meant := nearest(name, known):
        said = f"there is no trainer {name!r}, and no job of one; did you mean {meant!r}?"
        raise InvalidRequestError([FieldError("?trainer", said)])


def change_job(connection: Connection, job_id: str, changes: JobChanges) -> None:
    """Change a job; a larger budget reopens one that ended for want of it.

    Raises:
        JobNotFoundError: no such job.
        InvalidRequestError: a limit would shrink.
        StateConflictError: the job has ended for something that the larger budget doesn't lift.
    """
    with open_ledger(connection, job_id) as ledger:
        job = ledger.job
        budget = _grown(job.spec.budget, changes.budget or {})
        grown = {name for name in Budget.model_fields if getattr(budget, name) != getattr(job.spec.budget, name)}
        reopens = _reopens(job, grown)
        labels = job.labels if changes.labels is None else changes.labels
        priority = job.priority if changes.priority is None else changes.priority
        spec = job.spec.model_copy(update={"labels": labels, "priority": priority, "budget": budget})
        ledger.set_job(labels=labels, priority=priority, spec=spec.model_dump(mode="json"))
        if reopens:
            reopen(ledger)


def delete_job(connection: Connection, job_id: str) -> None:
    """Remove a finished job with its trials and reports; its files are the caller's to remove.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: it is not finished.
    """
    with open_ledger(connection, job_id) as ledger:
        state = ledger.job.state
        if not state.is_finished:
            raise StateConflictError(f"a {state} job can't be deleted; cancel it first", state=state)
        job_store.delete_job(connection, job_id)


def why_over(job: Job) -> str:
    """Say why a job has ended, for people."""
    assert job.reason is not None, "a finished job has a reason"
    limit = _ENDED_BY.get(job.reason)
    return f"the job is {job.state} because {f'it reached its {limit}' if limit else _WHY_OVER[job.reason]}"


def reopen(ledger: Ledger) -> None:
    """Queue a finished job again; whoever held it writes nothing any more."""
    ledger.move_job(JobState.QUEUED)
    ledger.set_job(desired=Desired.RUN, error=None)
    ledger.release_lease()


@dataclass(frozen=True)
class _Plan:
    """What is recorded when a job is submitted."""

    resolution: Resolution
    details: TuningDetails | None
    range_test: RangeTestSpec | None
    """A range test that is to finish first."""


def _plan(connection: Connection, spec: JobSpec, catalogue: Catalogue) -> _Plan:
    resolution, sources = _resolve(connection, spec, catalogue)
    resolved = resolution.spec
    warnings = list(resolution.warnings)
    if resolved.warm_start and not sources:
        warnings.append("warm start found no job with these labels: the search starts from nothing")
    range_test = range_tests.plan_for(resolved, catalogue)
    if range_test is None:
        details = TuningDetails(warm_start=sources) if sources else None
        return _Plan(replace(resolution, warnings=tuple(warnings)), details, None)
    warnings += range_tests.plan_warnings(resolved, range_test)
    card = catalogue.find_trainer(resolved.trainer.name, resolved.trainer.version)
    default = card.default_search_space.get(range_tests.LEARNING_RATE)
    details = TuningDetails(warm_start=sources, default_learning_rate=default)
    return _Plan(replace(resolution, warnings=tuple(warnings)), details, range_test)


def _resolve(connection: Connection, spec: JobSpec, catalogue: Catalogue) -> tuple[Resolution, list[WarmStartSource]]:
    resolution = checked_beside(lambda: resolve(spec, catalogue), lambda: find_sources(connection, spec, catalogue))
    return resolution, find_sources(connection, resolution.spec, catalogue)


def _read(connection: Connection, found: Sequence[JobRecord], *, lease_s: float) -> list[JobReading]:
    waits = any(record.job.awaits_worker for record in found)
    workers = list_workers(connection, lease_s=lease_s) if waits else []
    return [
        JobReading(
            record.job,
            _reason(record.job, workers),
            advise(record.job, workers),
            record.answer,
            record.best,
            progress_of(record.job),
        )
        for record in found
    ]


def _reason(job: Job, workers: Iterable[Worker]) -> JobReason | None:
    if job.awaits_worker and not any(can_run(worker, job.spec) for worker in workers):
        return JobReason.NO_WORKER
    return job.reason


def _reopens(job: Job, grown: set[str]) -> bool:
    """Tell whether it reopens a job that these limits have grown.

    Raises:
        StateConflictError: the job has ended for something else, so that they change nothing.
    """
    if not job.state.is_finished or not grown:
        return False
    if job.reason is JobReason.USER or (job.reason and _ENDED_BY.get(job.reason) in grown):
        return True
    limits = " and ".join(sorted(grown))
    raise StateConflictError(f"{why_over(job)}, which a larger {limits} does not change", state=job.state)


def _grown(budget: Budget, wanted: dict[str, float | None]) -> Budget:
    errors = [
        FieldError(pointer("budget", name), message)
        for name, value in wanted.items()
        if (message := _why_not_grown(name, getattr(budget, name), value))
    ]
    if errors:
        raise InvalidRequestError(errors)
    return budget.model_copy(update=wanted)


def _why_not_grown(name: str, have: float | None, wanted: float | None) -> str | None:
    if wanted is None:
        return "a job always has a number of trials" if name in ("max_trials", "max_attempts") else None
    if have is None:
        return "a budget may only grow, and there is no limit now"
    return f"a budget may only grow, and it is {have:g} now" if wanted < have else None
