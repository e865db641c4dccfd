"""The course of a search: what its trials reached, thinned by the database: a long one is as quick as a short one."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from stepsize.domain.trial import TrialPurpose, TrialState
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import Scalar
from stepsize.store.documents import number_in
from stepsize.store.models import trials


@dataclass(frozen=True)
class Point:
    """One finished trial."""

    number: int
    state: TrialState
    value: float | None
    """The metric's; of a pruned trial the last before it was stopped."""
    best: float | None
    """The best of completed trials up to and with it."""
    improves: bool
    params: dict[str, Scalar]


def count_finished(connection: Connection, job_id: str) -> int:
    """Return how many trials of the search have finished."""
    return connection.scalar(select(func.count()).select_from(trials).where(_is_finished(job_id))) or 0


def load_course(connection: Connection, job_id: str, *, objective: Objective, stride: int) -> list[Point]:
    """Return every `stride`-th finished trial of the search and every improvement, by number."""
    is_completed = trials.c.state == TrialState.COMPLETED
    best = func.max if objective.direction is Direction.MAXIMIZE else func.min
    counted = (
        select(
            trials.c.number,
            best(case((is_completed, trials.c.objective))).over(order_by=trials.c.number).label("best"),
            func.row_number().over(order_by=trials.c.number).label("place"),
        )
        .where(_is_finished(job_id))
        .subquery()
    )
    before = func.lag(counted.c.best).over(order_by=counted.c.number)
    compared = select(counted, counted.c.best.is_distinct_from(before).label("improves")).subquery()
    # Only the rows chosen have their documents read.
    value = case(
        (trials.c.state == TrialState.PRUNED, number_in(trials.c["values"], objective.metric)), else_=trials.c.objective
    )
    statement = (
        select(compared.c.number, trials.c.state, value, compared.c.best, compared.c.improves, trials.c.params)
        .join(trials, and_(trials.c.job_id == job_id, trials.c.number == compared.c.number))
        .where(or_(compared.c.place % stride == 0, compared.c.improves))
        .order_by(compared.c.number)
    )
    return [
        Point(number, TrialState(state), reached, best_so_far, bool(improves), params)
        for number, state, reached, best_so_far, improves, params in connection.execute(statement)
    ]


def _is_finished(job_id: str) -> ColumnElement[bool]:
    unfinished = [TrialState.QUEUED, TrialState.RUNNING]
    return and_(trials.c.job_id == job_id, trials.c.purpose == TrialPurpose.SEARCH, trials.c.state.not_in(unfinished))
