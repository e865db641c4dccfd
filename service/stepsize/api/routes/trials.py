"""Trials: list, read, reports, logs, files, enqueue, cancel, retry."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import FileResponse, PlainTextResponse

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import (
    AnySite,
    ArtifactName,
    JobId,
    Limit,
    PageToken,
    Post,
    Text,
    TrialNumber,
    answer,
)
from stepsize.api.requests import TrialRequest
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, POSTED, problems
from stepsize.api.schemas import PageOut, ReportOut, SingleTrialOut, TrialOut
from stepsize.api.trial_files import FILE, send_file
from stepsize.application import files, trials
from stepsize.application.filters import parse_filter, parse_sort
from stepsize.domain.trial import TrialState
from stepsize.store.database import Connection
from stepsize.store.listing import TrialQuery

router = APIRouter(prefix="/v1", tags=["trials"], dependencies=STRICT_QUERY, responses=ALWAYS)

MOST_FILTERS = 50
"""Each is a condition in one SQL statement, whose size databases limit."""

Filters = Annotated[
    list[Text] | None,
    Query(
        alias="filter",
        max_length=MOST_FILTERS,
        description="`params.NAME`, `values.NAME`, number, duration_s, step, attempt, losses_of_worker or gpu_seconds, "
        "then =, !=, <, <=, > or >=, then a value. Repeated ones are AND-ed; a trial without the field matches none. "
        "A name with signs of comparison stands in backticks, a value in double quotes is a string.",
        examples=["params.learning_rate>=1e-3"],
    ),
]
SortBy = Annotated[
    Text | None,
    Query(
        description="One of a filter's fields; `-` for descending. Trials without it come last.",
        examples=["-values.val_accuracy"],
    ),
]

_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"description": "The trial's path", "schema": {"type": "string"}}}}
}


async def _wanted(
    state: TrialState | None = None,
    filters: Filters = None,
    sort: SortBy = None,
    limit: Limit = 50,
    page_token: PageToken = None,
) -> TrialQuery:
    return TrialQuery(
        job_id=None,
        state=state,
        conditions=[parse_filter(text) for text in filters or []],
        sort=parse_sort(sort) if sort is not None else None,
        limit=limit,
        page_token=page_token,
    )


Wanted = Annotated[TrialQuery, Depends(_wanted)]


@router.get("/trials", response_model=PageOut[TrialOut], responses=NOT_MODIFIED, summary="List trials of all jobs")
def list_all_trials(site: AnySite, query: Wanted) -> Response:
    """Newest first, unless sorted."""
    return _list(site, query)


@router.get(
    "/jobs/{job_id}/trials",
    response_model=PageOut[TrialOut],
    responses=NOT_MODIFIED | problems(404),
    summary="List a job's trials",
)
def list_trials(job_id: JobId, site: AnySite, query: Wanted) -> Response:
    """By number, unless sorted."""
    return _list(site, replace(query, job_id=job_id))


@router.post(
    "/jobs/{job_id}/trials",
    status_code=HTTPStatus.CREATED,
    response_model=TrialOut,
    responses=_CREATED | POSTED,
    summary="Enqueue a configuration of your own",
)
def enqueue_trial(job_id: JobId, wanted: TrialRequest, post: Post) -> Response:
    return post.run(
        lambda connection: f"{job_id}/trials/{trials.enqueue(connection, job_id, wanted.params)}",
        show=_show,
        status=HTTPStatus.CREATED,
    )


@router.get(
    "/jobs/{job_id}/trials/{number}",
    response_model=SingleTrialOut,
    responses=NOT_MODIFIED | problems(404),
    summary="Read a trial",
)
def read_trial(job_id: JobId, number: TrialNumber, site: AnySite) -> Response:
    with site.database.read() as connection:
        return answer(SingleTrialOut.of_trial(*trials.read_with_fixed(connection, job_id, number)))


@router.get(
    "/jobs/{job_id}/trials/{number}/reports",
    response_model=PageOut[ReportOut],
    responses=NOT_MODIFIED | problems(404),
    summary="List a trial's reports, by step",
)
def list_reports(
    job_id: JobId, number: TrialNumber, site: AnySite, limit: Limit = 50, page_token: PageToken = None
) -> Response:
    with site.database.read() as connection:
        page = trials.list_reports(connection, job_id, number, limit=limit, page_token=page_token)
    return answer(PageOut(items=[ReportOut.of(report) for report in page.items], next_page_token=page.next_token))


@router.get(
    "/jobs/{job_id}/trials/{number}/log",
    response_class=PlainTextResponse,
    responses=_TEXT | problems(404),
    summary="Read what a trial printed",
)
def read_log(
    job_id: JobId,
    number: TrialNumber,
    site: AnySite,
    tail: Annotated[int | None, Query(ge=1, le=1_000_000, description="Only this many of the last lines.")] = None,
) -> Response:
    """Its stdout and stderr with the traceback, at most the last MiB."""
    with site.database.read() as connection:
        trials.read_trial(connection, job_id, number)
    return PlainTextResponse(files.read_log(site.settings.data_dir, job_id, number, n_lines=tail))


@router.get(
    "/jobs/{job_id}/trials/{number}/artifacts/{name:path}",
    response_class=FileResponse,
    responses=FILE | problems(404),
    summary="Download a trial's artifact",
)
def read_artifact(job_id: JobId, number: TrialNumber, name: ArtifactName, site: AnySite) -> Response:
    """Pictures that a trainer drew (`….figure.svg`, `….figure.png`) are to be looked at, all else is a download."""
    with site.database.read() as connection:
        path = files.find_artifact(connection, site.settings.data_dir, job_id, number, name)
    return send_file(path, name)


@router.post("/jobs/{job_id}/trials/{number}/cancel", response_model=TrialOut, responses=POSTED, summary="End a trial")
def cancel_trial(job_id: JobId, number: TrialNumber, post: Post) -> Response:
    """A running trial is ended by its worker a moment later."""
    return _control(post, job_id, number, trials.cancel_trial)


@router.post(
    "/jobs/{job_id}/trials/{number}/retry",
    response_model=TrialOut,
    responses=POSTED,
    summary="Run an unsuccessful trial again",
)
def retry_trial(job_id: JobId, number: TrialNumber, post: Post) -> Response:
    """From its first step, with its parameters; a finished job is queued with it."""
    return _control(post, job_id, number, trials.retry_trial)


def _list(site: AnySite, query: TrialQuery) -> Response:
    with site.computing:
        with site.database.read() as connection:
            page = trials.list_trials(connection, query, site.index, lease_s=site.settings.lease_s)
        return answer(PageOut(items=[TrialOut.of(trial) for trial in page.items], next_page_token=page.next_token))


def _control(post: Post, job_id: str, number: int, act: trials.Control) -> Response:
    def effect(connection: Connection) -> str:
        act(connection, job_id, number)
        return f"{job_id}/trials/{number}"

    return post.run(effect, show=_show)


def _show(connection: Connection, name: str, status: int) -> Response:
    job_id, _, number = name.split("/")
    trial = trials.read_trial(connection, job_id, int(number))
    headers = {"Location": f"/v1/jobs/{name}"} if status == HTTPStatus.CREATED else None
    return answer(TrialOut.of(trial), status, headers)
