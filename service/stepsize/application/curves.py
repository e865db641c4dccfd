"""Learning curves of a job's trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stepsize.application.catalogue import card_of
from stepsize.domain.job import Job, JobKind
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import TrialState
from stepsize.errors import FieldError, InvalidRequestError, TrialNotFoundError
from stepsize.spec.hints import hint
from stepsize.spec.objective import Direction
from stepsize.store import curves
from stepsize.store.curves import CurveTrial, Points
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job

Pick = Literal["latest", "best", "trials"]


@dataclass(frozen=True)
class CurvesQuery:
    """Which curves to read.

    Attributes:
        metric: None: the first objective's.
        numbers: these trials; empty: `n` trials as `pick` says.
    """

    metric: str | None
    max_points: int
    pick: Pick
    n: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class CurvesReading:
    """Some trials' curves and what a client needs to label them."""

    job: Job
    metric: str
    direction: Direction | None
    step_unit: str | None
    n_trials: int
    curves: list[tuple[CurveTrial, Points]]


def read_curves(connection: Connection, job_id: str, query: CurvesQuery) -> CurvesReading:
    """Return the curves of the trials that have reported the metric.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job, or a trial that is asked for isn't there.
        InvalidRequestError: no trial looked at has such a metric.
    """
    job = get_job(connection, job_id)
    found = sorted(_find_trials(connection, job, query), key=lambda trial: trial.number)
    metric = query.metric or _first_metric(job)
    _check_metric(job, metric, found)
    points = curves.load_points(
        connection, job_id, [trial.number for trial in found], metric=metric, max_points=query.max_points
    )
    card = card_of(connection, job.spec)
    return CurvesReading(
        job=job,
        metric=metric,
        direction=next((one.direction for one in job.spec.objectives if one.metric == metric), None),
        step_unit=_step_unit(job, card),
        n_trials=sum(n for state, n in job.counts.items() if state is not TrialState.QUEUED),
        curves=[(trial, points[trial.number]) for trial in found if trial.number in points],
    )


def _step_unit(job: Job, card: TrainerCard | None) -> str | None:
    if job.kind is JobKind.RANGE_TEST:
        return "update"
    return card.step_unit if card else None


def _find_trials(connection: Connection, job: Job, query: CurvesQuery) -> list[CurveTrial]:
    if query.numbers:
        found = curves.chosen_trials(connection, job.id, query.numbers)
        missing = set(query.numbers).difference(trial.number for trial in found)
        if missing:
            raise TrialNotFoundError(job.id, min(missing))
        return found
    if query.pick == "best":
        first = job.spec.objectives[0]
        descending = first.direction is Direction.MAXIMIZE
        return curves.best_trials(connection, job.id, descending=descending, limit=query.n)
    return curves.latest_trials(connection, job.id, limit=query.n)


def _first_metric(job: Job) -> str:
    return job.spec.objectives[0].metric


def _check_metric(job: Job, metric: str, found: Sequence[CurveTrial]) -> None:
    known = {objective.metric for objective in job.spec.objectives}.union(*(trial.metrics for trial in found))
    if metric not in known:
        raise InvalidRequestError(
            [FieldError("?metric", f"there is no metric {metric!r}; {hint(metric, sorted(known))}")]
        )
