"""Warm start at submission: which earlier jobs a job learns from, settled once and for all."""

from contextlib import suppress

from stepsize.application.catalogue import Catalogue
from stepsize.application.parameters import ParamsSchema
from stepsize.application.pointers import pointer
from stepsize.domain.job import Job, JobKind
from stepsize.domain.tuning import WarmStartSource
from stepsize.errors import FieldError, InvalidRequestError, JobNotFoundError
from stepsize.spec.job import JobSpec
from stepsize.spec.space import SearchSpace
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.listing import JobQuery, list_jobs

_MOST_LABELLED = 100
"""Jobs that are found by their labels, the newest first."""


def find_sources(connection: Connection, spec: JobSpec, catalogue: Catalogue) -> list[WarmStartSource]:
    """Return the tuning jobs that a resolved spec's warm start names, the oldest first.

    Raises:
        InvalidRequestError: a job named by its id is not there, or nothing is named.
    """
    if spec.warm_start is None:
        return []
    named = [*_named(connection, spec.warm_start.jobs), *_labelled(connection, spec.warm_start.labels)]
    if spec.warm_start.labels is None and not spec.warm_start.jobs:
        raise InvalidRequestError([FieldError(pointer("warm_start"), "name jobs or labels")])
    once = {job.id: job for job in named if job.kind is JobKind.TUNE}
    oldest_first = sorted(once.values(), key=lambda job: (job.created_at, job.id))
    return [_source(job, spec.search_space or {}, catalogue) for job in oldest_first]


def _named(connection: Connection, ids: list[str]) -> list[Job]:
    found, errors = [], []
    for index, job_id in enumerate(ids):
        at = pointer("warm_start", "jobs", index)
        try:
            job = get_job(connection, job_id)
        except JobNotFoundError as error:
            errors.append(FieldError(at, str(error)))
            continue
        if job.kind is not JobKind.TUNE:
            errors.append(FieldError(at, f"{job_id!r} is a {job.kind} job; a search learns from tuning jobs only"))
        found.append(job)
    if errors:
        raise InvalidRequestError(errors)
    return found


def _labelled(connection: Connection, labels: dict[str, str] | None) -> list[Job]:
    if labels is None:
        return []
    if not labels:
        raise InvalidRequestError([FieldError(pointer("warm_start", "labels"), "name at least one label")])
    query = JobQuery(labels=labels, sort="created_at", descending=True, limit=_MOST_LABELLED)
    return list(list_jobs(connection, query).items)


def _source(job: Job, space: SearchSpace, catalogue: Catalogue) -> WarmStartSource:
    with suppress(InvalidRequestError):  # its trainer is known no more: it says nothing about defaults
        schema = ParamsSchema(catalogue.find_trainer(job.spec.trainer.name, job.spec.trainer.version))
        defaults = {name: schema.default(name) for name in space if name in schema.names}
        known = {name: value for name, value in defaults.items() if value is not None}
        return WarmStartSource(job_id=job.id, defaults=known)
    return WarmStartSource(job_id=job.id)
