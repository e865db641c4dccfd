"""Jobs: submit, list, read, change, delete, control."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, Limit, PageToken, Post, Text, answer
from stepsize.api.examples import JOB_BODIES
from stepsize.api.negotiation import is_current, not_modified
from stepsize.api.requests import JobPatch
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, POSTED, problems
from stepsize.api.schemas import DryRunOut, JobOut, PageOut
from stepsize.application import controls, datasets, files, jobs
from stepsize.application.filters import parse_job_sort, parse_labels
from stepsize.application.jobs import JobVersion
from stepsize.application.starts import settle_starts
from stepsize.domain.job import JobState
from stepsize.errors import checked_beside
from stepsize.spec.job import JobSpec
from stepsize.store.database import Connection
from stepsize.store.jobs import pick_stage
from stepsize.store.listing import JobQuery

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=STRICT_QUERY, responses=ALWAYS)

_CREATED: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRunOut, "description": "With dry_run: what would be recorded"},
    201: {
        "model": JobOut,
        "description": "The job",
        "headers": {"Location": {"description": "The job's path", "schema": {"type": "string"}}},
    },
}


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=JobOut,
    responses=_CREATED | problems(404, 409, 413),
    summary="Submit a job",
)
def submit(
    spec: Annotated[JobSpec, Body(openapi_examples=JOB_BODIES)],
    post: Post,
    dry_run: Annotated[bool, Query(description="Only say what would be recorded.")] = False,
) -> Response:
    settings = post.site.settings
    lease_s = settings.lease_s

    def check_datasets(connection: Connection) -> None:
        most = settings.max_dataset_bytes
        datasets.check_named(connection, spec, settings.data_dir, lease_s=lease_s, max_bytes=most)

    def settled(connection: Connection) -> JobSpec:
        return settle_starts(connection, spec, lease_s=lease_s)

    def effect(connection: Connection) -> str:
        return checked_beside(
            lambda: jobs.submit(connection, settled(connection), lease_s=lease_s), lambda: check_datasets(connection)
        )

    if dry_run:
        with post.site.database.read() as connection:
            resolution = checked_beside(
                lambda: jobs.dry_run(connection, settled(connection), lease_s=lease_s),
                lambda: check_datasets(connection),
            )
            return answer(DryRunOut.of(resolution))
    return post.run(
        effect,
        show=lambda connection, job_id, status: _show(post.site, connection, job_id, status),
        status=HTTPStatus.CREATED,
    )


@router.get("", response_model=PageOut[JobOut], responses=NOT_MODIFIED, summary="List jobs, newest first")
def list_jobs(
    site: AnySite,
    state: JobState | None = None,
    name: Annotated[Text | None, Query(description="Exactly this name.")] = None,
    label: Annotated[list[Text] | None, Query(description="`key:value`; repeated ones are AND-ed.")] = None,
    trainer: Text | None = None,
    sort: Annotated[
        Text, Query(description="created_at, started_at, finished_at, name, priority or state; `-` for descending.")
    ] = "-created_at",
    limit: Limit = 50,
    page_token: PageToken = None,
) -> Response:
    column, descending = parse_job_sort(sort)
    query = JobQuery(
        state=state,
        name=name,
        trainer=trainer,
        labels=parse_labels(label or []),
        sort=column,
        descending=descending,
        limit=limit,
        page_token=page_token,
    )
    with site.database.read() as connection:
        page = jobs.list_jobs(connection, query, lease_s=site.settings.lease_s)
    return answer(PageOut(items=[JobOut.of(reading) for reading in page.items], next_page_token=page.next_token))


@router.get("/{job_id}", response_model=JobOut, responses=NOT_MODIFIED | problems(404), summary="Read a job")
def read_job(job_id: JobId, site: AnySite, request: Request) -> Response:
    """The ETag follows `revision`: reports alone leave it, and the answer, at 304."""
    stage = pick_stage(site.database, job_id)
    tag = _etag(JobVersion(stage.revision))
    if not stage.awaits_worker:  # no change of the job tells that workers come and go
        if is_current(request, tag):
            return not_modified(tag)
        if body := site.rendered.find(job_id, stage.change):
            return Response(body, headers={"ETag": tag}, media_type="application/json")
    with site.database.glance() as connection:
        reading = jobs.read_job(connection, job_id, lease_s=site.settings.lease_s)
    tag, body = _etag(reading.version), JobOut.of(reading).model_dump_json().encode()
    if not reading.job.awaits_worker:
        site.rendered.keep(job_id, reading.job.change, body)
    return Response(body, headers={"ETag": tag}, media_type="application/json")


@router.patch(
    "/{job_id}",
    response_model=JobOut,
    responses=problems(404, 409, 413),
    summary="Change labels, priority or the budget",
)
def change_job(job_id: JobId, patch: JobPatch, site: AnySite) -> Response:
    """A limit of the budget may only grow. If it ended the job, or you stopped the job, the job is reopened; on a job
    that something else has ended (its target, another limit, the end of its space) a larger budget is a conflict."""
    with site.database.write() as connection:
        jobs.change_job(connection, job_id, patch.changes())
        return _show(site, connection, job_id, HTTPStatus.OK)


@router.delete(
    "/{job_id}",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    responses=problems(404, 409),
    summary="Delete a finished job, its trials and files",
)
def delete_job(job_id: JobId, site: AnySite) -> Response:
    with site.database.write() as connection:
        jobs.delete_job(connection, job_id)
    files.remove_job_files(site.settings.data_dir, job_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/{job_id}/pause", response_model=JobOut, responses=POSTED, summary="Start no new trial")
def pause(job_id: JobId, post: Post) -> Response:
    """Running trials finish; `resume` goes on."""
    return _control(post, job_id, controls.pause)


@router.post("/{job_id}/resume", response_model=JobOut, responses=POSTED, summary="Go on with a paused job")
def resume(job_id: JobId, post: Post) -> Response:
    return _control(post, job_id, controls.resume)


@router.post("/{job_id}/stop", response_model=JobOut, responses=POSTED, summary="Finish running trials, then complete")
def stop(job_id: JobId, post: Post) -> Response:
    return _control(post, job_id, controls.stop)


@router.post("/{job_id}/cancel", response_model=JobOut, responses=POSTED, summary="End running trials, keep results")
def cancel(job_id: JobId, post: Post) -> Response:
    return _control(post, job_id, controls.cancel)


@router.post("/{job_id}/retry-failed", response_model=JobOut, responses=POSTED, summary="Run failed trials again")
def retry_failed(job_id: JobId, post: Post) -> Response:
    return _control(post, job_id, controls.retry_failed)


def _control(post: Post, job_id: str, act: controls.Control) -> Response:
    def effect(connection: Connection) -> str:
        act(connection, job_id)
        return job_id

    return post.run(effect, show=lambda connection, name, status: _show(post.site, connection, name, status))


def _show(site: AnySite, connection: Connection, job_id: str, status: int) -> Response:
    reading = jobs.read_job(connection, job_id, lease_s=site.settings.lease_s)
    headers = {"ETag": _etag(reading.version)}
    if status == HTTPStatus.CREATED:
        headers["Location"] = f"/v1/jobs/{job_id}"
    return answer(JobOut.of(reading), status, headers)


def _etag(version: JobVersion) -> str:
    # Weak: `change` and `eta_s` move on without it.
    waits = "-no-worker" if version.lacks_worker else ""
    orphaned = "-orphaned" if version.is_orphaned else ""
    return f'W/"{version.revision}{waits}{orphaned}"'
