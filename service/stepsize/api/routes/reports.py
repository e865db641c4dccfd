"""Reports: what jobs teach about the learning rate. Computed in the analysis process, awaited without a thread."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import AfterValidator, StringConstraints

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, Site
from stepsize.api.negotiation import is_current, not_modified, preferred_type, tag_of
from stepsize.api.report_page import PAGE_HEADERS, report_page
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.asking.questions import ImportancesQuestion, Question, Rendering, ReportQuestion
from stepsize.domain.jobs_report import JobsReport
from stepsize.domain.report import Importances, Report
from stepsize.store.answers import load_current_report
from stepsize.store.changes import changes_of
from stepsize.store.jobs import get_stage

router = APIRouter(prefix="/v1", tags=["reports"], dependencies=STRICT_QUERY, responses=ALWAYS)

_MOST_JOBS = 50
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_FORMS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/markdown": _TEXT, "text/html": _TEXT}}}
_VARY = {"Vary": "Accept"}

Accept = Annotated[
    str,
    Header(description="`application/json` (the default), `text/markdown` or `text/html`.", include_in_schema=False),
]


def _once_each(job_ids: list[str]) -> list[str]:
    """Return the ids in order; a job named twice would be told twice, as if its trials were more."""
    return list(dict.fromkeys(job_ids))


JobIds = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]],
    AfterValidator(_once_each),
    Query(alias="job", min_length=1, max_length=_MOST_JOBS, description="A job's id; repeat it for more jobs."),
]


def job_change(job_id: JobId, site: AnySite) -> tuple[int, ...]:
    """Return the change of a job that exists."""
    with site.database.read() as connection:
        return changes_of(connection, [job_id])


def jobs_changes(job_ids: JobIds, site: AnySite) -> tuple[int, ...]:
    """Return the changes of jobs that all exist."""
    with site.database.read() as connection:
        return changes_of(connection, job_ids)


JobChange = Annotated[tuple[int, ...], Depends(job_change)]


@dataclass(frozen=True)
class ReportSource:
    """What there is of a job's report."""

    changes: tuple[int, ...]
    stored: str | None
    """As JSON, where the job's worker has stored it and nothing has happened since; None: it is to be computed."""


def report_source(job_id: JobId, site: AnySite) -> ReportSource:
    """Return what there is of the report of a job that exists."""
    with site.database.read() as connection:
        stage = get_stage(connection, job_id)
        stored = load_current_report(connection, job_id, is_finished=stage.state.is_finished)
        return ReportSource((stage.change,), stored)


@router.get(
    "/jobs/{job_id}/report",
    response_model=Report,
    responses=_FORMS | NOT_MODIFIED | problems(404, 406),
    summary="Read a job's learning-rate report",
)
async def read_report(
    request: Request,
    job_id: JobId,
    source: Annotated[ReportSource, Depends(report_source)],
    site: AnySite,
    accept: Accept = "",
) -> Response:
    """The best learning rate and how sure that is, how it moves with the batch size, where training diverges.

    A number with uncertainty has its 95 % interval, or a caveat that says why it has none. `Accept: text/markdown` and
    `text/html` give the same report for people.
    """
    if source.stored is None or preferred_type(accept, list(Rendering)) != Rendering.JSON:
        return await _report(request, site, (job_id,), source.changes, accept, compare=False)
    tag = tag_of(ReportQuestion((job_id,)), source.changes)
    if is_current(request, tag):
        return not_modified(tag, _VARY)
    headers = {**_VARY, "ETag": tag, "Cache-Control": "no-cache"}
    return Response(source.stored, headers=headers, media_type=Rendering.JSON.value)


@router.get(
    "/reports",
    response_model=JobsReport,
    responses=_FORMS | NOT_MODIFIED | problems(404, 406),
    summary="Compare the learning rates of several jobs",
)
async def compare_jobs(
    request: Request,
    job_ids: JobIds,
    changes: Annotated[tuple[int, ...], Depends(jobs_changes)],
    site: AnySite,
    accept: Accept = "",
) -> Response:
    """The best rate of each job, and of each choice in which they differ: task, data set, model, activation, …

    Two choices are compared where the jobs differ in nothing else, fixed or searched, with intervals that hold for all
    pairs together. Values of another metric, direction, data set or trainer are not compared.
    """
    return await _report(request, site, tuple(job_ids), changes, accept, compare=True)


@router.get(
    "/jobs/{job_id}/importances",
    response_model=Importances,
    responses=NOT_MODIFIED | problems(404),
    summary="Read which parameters matter",
)
async def read_importances(request: Request, job_id: JobId, changes: JobChange, site: AnySite) -> Response:
    """PED-ANOVA: each parameter's share in what tells the best tenth of the trials from the rest."""
    return await ask(request, site, ImportancesQuestion(job_id), changes, media_type="application/json")


async def ask(
    request: Request,
    site: Site,
    question: Question,
    changes: tuple[int, ...],
    *,
    media_type: str,
    headers: dict[str, str] | None = None,
) -> Response:
    """Answer with what the analysis process says, or with 304 where the client has it."""
    headers = headers or {}
    tag = tag_of(question, changes)
    if is_current(request, tag):
        return not_modified(tag, headers)
    reply = await site.analyst.ask(question, changes)
    is_page = media_type == Rendering.HTML
    return Response(
        report_page(reply.body) if is_page else reply.body,
        headers={**headers, "ETag": tag_of(question, reply.changes), "Cache-Control": "no-cache"}
        | (PAGE_HEADERS if is_page else {}),
        media_type=media_type,
    )


async def _report(
    request: Request, site: Site, job_ids: tuple[str, ...], changes: tuple[int, ...], accept: str, *, compare: bool
) -> Response:
    rendering = Rendering(preferred_type(accept, list(Rendering)))
    question = ReportQuestion(job_ids, rendering, compare)
    return await ask(request, site, question, changes, media_type=rendering.value, headers=_VARY)
