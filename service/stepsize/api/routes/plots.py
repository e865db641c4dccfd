"""Plots: figures drawn by the analysis process, as SVG and PNG of the same figure."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.api.routes.reports import JobChange, ask
from stepsize.application import catalogue, range_tests
from stepsize.asking.questions import PlotFormat, PlotKind, PlotQuestion, SchedulePlotQuestion, Theme

router = APIRouter(prefix="/v1", tags=["plots"], dependencies=STRICT_QUERY, responses=ALWAYS)
schedule_router = APIRouter(prefix="/v1", tags=["plots"], responses=ALWAYS)
"""Apart, because its query has whatever parameters the schedule has."""

_MEDIA_TYPES: dict[PlotFormat, str] = {"svg": "image/svg+xml", "png": "image/png"}
_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The figure",
        "content": {
            "image/svg+xml": {"schema": {"type": "string"}},
            "image/png": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_SVG_HEADERS = {
    # Opened as a page of its own an SVG is a document: labels hold users' text.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
}

Format = Annotated[PlotFormat, Path(description="Of the same figure; a PNG is 1,600 pixels wide.")]
Themes = Annotated[Theme, Query(description="Colours of the page it stands on.")]


@router.get(
    "/jobs/{job_id}/plots/{kind}.{image_format}",
    response_class=Response,
    responses=_IMAGE | NOT_MODIFIED | problems(404),
    summary="Draw a job",
)
async def draw_job(
    request: Request,
    job_id: JobId,
    kind: Annotated[PlotKind, Path(examples=["heatmap"])],
    image_format: Format,
    changes: JobChange,
    site: AnySite,
    theme: Themes = "light",
) -> Response:
    """A figure with nothing to show yet says so, and what to do."""
    question = PlotQuestion(job_id, kind, image_format, theme)
    media_type = _MEDIA_TYPES[image_format]
    return await ask(request, site, question, changes, media_type=media_type, headers=_SVG_HEADERS)


@schedule_router.get(
    "/schedules/{name}/preview/plot.{image_format}",
    response_class=Response,
    responses=_IMAGE | NOT_MODIFIED | problems(404),
    summary="Draw a schedule",
)
async def draw_schedule(
    request: Request,
    site: AnySite,
    name: Annotated[str, Path(examples=["cosine"])],
    image_format: Format,
    learning_rate: Annotated[float, Query(gt=0, le=1e6, allow_inf_nan=False, description="The highest rate.")] = 0.01,
    steps: Annotated[int, Query(ge=1, le=10_000, description="Length of the training.")] = 100,
    theme: Themes = "light",
) -> Response:
    """The preview as a figure; the schedule's own parameters go into the query as well: `&gamma=0.8`."""
    own = ("learning_rate", "steps", "theme")
    params = {key: value for key, value in request.query_params.items() if key not in own}
    points = catalogue.preview_schedule(name, params, learning_rate=learning_rate, steps=steps)
    described = ", ".join(f"{key} {value}" for key, value in params.items())
    question = SchedulePlotQuestion(
        title=f"{name} schedule" + (f" ({described})" if described else ""),
        steps=tuple(point.step for point in points),
        learning_rates=tuple(point.learning_rate for point in points),
        format=image_format,
        theme=theme,
    )
    return await ask(request, site, question, (), media_type=_MEDIA_TYPES[image_format], headers=_SVG_HEADERS)


def range_test_change(job_id: JobId, site: AnySite) -> tuple[int, ...]:
    """Return the change of a range test that exists."""
    with site.database.read() as connection:
        return (range_tests.read(connection, job_id).job.change,)


@router.get(
    "/range-tests/{job_id}/plot.{image_format}",
    response_class=Response,
    responses=_IMAGE | NOT_MODIFIED | problems(404),
    summary="Draw a range test",
)
async def draw_range_test(
    request: Request,
    job_id: JobId,
    image_format: Format,
    changes: Annotated[tuple[int, ...], Depends(range_test_change)],
    site: AnySite,
    theme: Themes = "light",
) -> Response:
    """Loss over learning rate for each batch size, with the low, suggested and high rates."""
    question = PlotQuestion(job_id, "range_test", image_format, theme)
    media_type = _MEDIA_TYPES[image_format]
    return await ask(request, site, question, changes, media_type=media_type, headers=_SVG_HEADERS)
