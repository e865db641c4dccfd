"""History: the course of a search, for pictures of jobs of any size."""

from typing import Annotated, Self

from fastapi import APIRouter, Query, Response

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, recent_answer
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.api.schemas import Answer
from stepsize.application.history import History, read_history
from stepsize.domain.trial import TrialState
from stepsize.spec.objective import Direction
from stepsize.spec.space import Scalar
from stepsize.store.database import Connection

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], dependencies=STRICT_QUERY, responses=ALWAYS)


class HistoryOut(Answer):
    """What finished trials reached, by number, as columns of equal length."""

    job_id: str
    change: int
    metric: str
    direction: Direction
    n_trials: int
    """Finished trials, those left out of the columns too."""
    numbers: list[int]
    states: list[TrialState]
    values: list[float | None]
    """The first objective's, of pruned trials the last before they were stopped; null: the trial has none."""
    best: list[float | None]
    """Best value of completed trials so far."""
    params: dict[str, list[Scalar | None]]
    """Parameter → its value in each trial; null where it doesn't apply."""

    @classmethod
    def of(cls, history: History) -> Self:
        points = history.points
        names = dict.fromkeys(name for point in points for name in point.params)
        return cls(
            job_id=history.job_id,
            change=history.change,
            metric=history.objective.metric,
            direction=history.objective.direction,
            n_trials=history.n_trials,
            numbers=[point.number for point in points],
            states=[point.state for point in points],
            values=[point.value for point in points],
            best=[point.best for point in points],
            params={name: [point.params.get(name) for point in points] for name in names},
        )


@router.get(
    "/history",
    response_model=HistoryOut,
    responses=NOT_MODIFIED | problems(404),
    summary="Read the course of the search",
)
def history(
    job_id: JobId,
    site: AnySite,
    max_points: Annotated[int, Query(ge=1, le=5000, description="Most trials in the answer.")] = 1000,
) -> Response:
    """All finished trials, or of more than `max_points` every improvement and a spread of the others. While a job runs,
    up to some seconds old."""

    def make(connection: Connection) -> tuple[HistoryOut, int]:
        found = read_history(connection, job_id, max_points=max_points)
        return HistoryOut.of(found), found.change

    return recent_answer(site, job_id, ("history", max_points), make)
