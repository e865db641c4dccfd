"""Curves and fronts: answers that need no more than SQL."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from stepsize.api.answer_schemas import CurvesOut, FrontOut
from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, Text, recent_answer
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.application.curves import CurvesQuery, read_curves
from stepsize.application.fronts import read_front
from stepsize.store.database import Connection
from stepsize.store.jobs import get_stage

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], dependencies=STRICT_QUERY, responses=ALWAYS)

Numbers = Annotated[
    list[Annotated[int, Query(ge=0, lt=2**31)]] | None,
    Query(
        alias="trial", max_length=500, description="A trial's number; repeat it for more. Then `pick` and `n` are void."
    ),
]


@router.get(
    "/curves",
    response_model=CurvesOut,
    responses=NOT_MODIFIED | problems(404),
    summary="Read learning curves",
)
def curves(
    job_id: JobId,
    site: AnySite,
    metric: Annotated[Text | None, Query(description="null: the first objective's.", examples=["val_loss"])] = None,
    max_points: Annotated[int, Query(ge=2, le=5000, description="Most points of a curve.")] = 100,
    pick: Annotated[
        Literal["latest", "best"],
        Query(description="Which trials: the `latest` (running ones among them) or the `best`."),
    ] = "latest",
    n: Annotated[int, Query(ge=1, le=500, description="How many trials.")] = 50,
    numbers: Numbers = None,
) -> Response:
    """Down-sampled by the service: every k-th report of a trial and its last. While a job runs, up to 0.5 s old, and
    where they take long to read a little more."""
    chosen = tuple(sorted(set(numbers or ())))
    query = CurvesQuery(metric, max_points, "trials" if chosen else pick, n, chosen)

    def make(connection: Connection) -> tuple[CurvesOut, int]:
        reading = read_curves(connection, job_id, query)
        return CurvesOut.of(reading, query), reading.job.change

    return recent_answer(site, job_id, query, make)


@router.get(
    "/pareto",
    response_model=FrontOut,
    responses=NOT_MODIFIED | problems(404),
    summary="Read the Pareto front",
)
def pareto(job_id: JobId, site: AnySite) -> Response:
    """Completed trials that no other beats in every objective; with one objective the best, equal ones together."""

    def make(connection: Connection) -> tuple[FrontOut, int]:
        stage = get_stage(connection, job_id)
        return FrontOut.of(read_front(connection, job_id)), stage.change

    return recent_answer(site, job_id, "pareto", make)
