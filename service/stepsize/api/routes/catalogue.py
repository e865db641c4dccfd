"""The catalogue: what a job may name."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, answer
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.api.schemas import PageOut, PreviewOut, SamplerOut, SpecEntryOut, TrainerOut
from stepsize.application import catalogue

router = APIRouter(prefix="/v1", tags=["catalogue"], dependencies=STRICT_QUERY, responses=ALWAYS)
preview_router = APIRouter(prefix="/v1", tags=["catalogue"], responses=ALWAYS)
"""Apart, because its query has whatever parameters the schedule has."""


@router.get("/trainers", response_model=PageOut[TrainerOut], responses=NOT_MODIFIED, summary="List trainers")
def list_trainers(site: AnySite) -> Response:
    """The built-in ones and those that living workers offer."""
    with site.database.read() as connection:
        found = catalogue.load_catalogue(connection, lease_s=site.settings.lease_s)
    return answer(PageOut(items=[TrainerOut.of(entry) for entry in found.trainers]))


@router.get("/samplers", response_model=PageOut[SamplerOut], responses=NOT_MODIFIED, summary="List samplers")
def list_samplers() -> Response:
    return answer(PageOut(items=[SamplerOut.of(entry) for entry in catalogue.samplers()]))


@router.get("/pruners", response_model=PageOut[SpecEntryOut], responses=NOT_MODIFIED, summary="List pruners")
def list_pruners() -> Response:
    return answer(PageOut(items=[SpecEntryOut.of(entry) for entry in catalogue.pruners()]))


@router.get("/optimizers", response_model=PageOut[SpecEntryOut], responses=NOT_MODIFIED, summary="List optimizers")
def list_optimizers() -> Response:
    return answer(PageOut(items=[SpecEntryOut.of(entry) for entry in catalogue.optimizers()]))


@router.get("/schedules", response_model=PageOut[SpecEntryOut], responses=NOT_MODIFIED, summary="List schedules")
def list_schedules() -> Response:
    return answer(PageOut(items=[SpecEntryOut.of(entry) for entry in catalogue.schedules()]))


@preview_router.get(
    "/schedules/{name}/preview",
    response_model=PreviewOut,
    responses=NOT_MODIFIED | problems(404),
    summary="Preview a schedule",
)
def preview_schedule(
    request: Request,
    name: Annotated[str, Path(examples=["exponential"])],
    learning_rate: Annotated[float, Query(gt=0, le=1e6, allow_inf_nan=False, description="The highest rate.")] = 0.01,
    steps: Annotated[int, Query(ge=1, le=10_000, description="Length of the training.")] = 100,
) -> Response:
    """The rate at each step. The schedule's own parameters go into the query as well: `&gamma=0.8`."""
    params = {key: value for key, value in request.query_params.items() if key not in ("learning_rate", "steps")}
    points = catalogue.preview_schedule(name, params, learning_rate=learning_rate, steps=steps)
    return answer(PreviewOut(points=points))
