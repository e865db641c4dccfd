"""Learning curves: which trials to show, and their reports thinned out by the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, bindparam, func, or_, select

from stepsize.domain.trial import TrialPurpose, TrialReason, TrialState
from stepsize.spec.space import Scalar
from stepsize.store.documents import number_in
from stepsize.store.models import reports, trials

_STARTED = trials.c.state.in_([state for state in TrialState if state is not TrialState.QUEUED])


@dataclass(frozen=True)
class CurveTrial:
    """A trial as a curve's label."""

    number: int
    state: TrialState
    reason: TrialReason | None
    params: dict[str, Scalar]
    metrics: frozenset[str]
    """Metrics it has reported."""


@dataclass(frozen=True)
class Points:
    """One trial's curve, thinned out; `n_reports` counts before that."""

    n_reports: int
    steps: tuple[int, ...]
    values: tuple[float, ...]


def latest_trials(connection: Connection, job_id: str, *, limit: int) -> list[CurveTrial]:
    """Return the trials with the highest numbers that have started."""
    return _find(connection, _trials(job_id).where(_STARTED).order_by(trials.c.number.desc()).limit(limit))


def best_trials(connection: Connection, job_id: str, *, descending: bool, limit: int) -> list[CurveTrial]:
    """Return the completed trials of the search with the best first objectives."""
    order = trials.c.objective.desc() if descending else trials.c.objective.asc()
    statement = _trials(job_id).where(
        trials.c.state == TrialState.COMPLETED, trials.c.objective.is_not(None), trials.c.purpose == TrialPurpose.SEARCH
    )
    return _find(connection, statement.order_by(order, trials.c.number).limit(limit))


def chosen_trials(connection: Connection, job_id: str, numbers: Sequence[int]) -> list[CurveTrial]:
    """Return the trials with these numbers, as far as there are such."""
    return _find(connection, _trials(job_id).where(trials.c.number.in_(numbers)))


def load_points(
    connection: Connection, job_id: str, numbers: Sequence[int], *, metric: str, max_points: int
) -> dict[int, Points]:
    """Return curves of a metric by trial number: every k-th report of each trial, its last always among them."""
    wanted = {"of_job": job_id, "of_numbers": list(numbers), "most": max_points}
    return _gather(connection.execute(_select_points(metric), wanted).all())


@lru_cache(maxsize=64)
def _select_points(metric: str) -> Select[Any]:
    """Return the statement: an open page asks for the same curves again and again, and to build it takes longest."""
    most = bindparam("most", type_=Integer())
    measured = (
        select(reports.c.number, reports.c.step, number_in(reports.c["values"], metric).label("value"))
        .where(reports.c.job_id == bindparam("of_job"), reports.c.number.in_(bindparam("of_numbers", expanding=True)))
        .subquery()
    )
    position = func.row_number().over(partition_by=measured.c.number, order_by=measured.c.step)
    total = func.count().over(partition_by=measured.c.number)
    ranked = (
        select(measured, position.label("position"), total.label("total"))
        .where(measured.c.value.is_not(None))
        .subquery()
    )
    # Rounded up: with the last report there are at most `max_points`.
    stride = (ranked.c.total + (most - 2)) // (most - 1)
    kept = or_(
        ranked.c.total <= most,
        (ranked.c.position - 1) % stride == 0,
        ranked.c.position == ranked.c.total,
    )
    return (
        select(ranked.c.number, ranked.c.step, ranked.c.value, ranked.c.total)
        .where(kept)
        .order_by(ranked.c.number, ranked.c.step)
    )


def _gather(rows: Sequence[Row[int, int, float, int]]) -> dict[int, Points]:
    steps: dict[int, list[int]] = {}
    values: dict[int, list[float]] = {}
    totals: dict[int, int] = {}
    for number, step, value, total in rows:
        steps.setdefault(number, []).append(step)
        values.setdefault(number, []).append(value)
        totals[number] = total
    return {number: Points(totals[number], tuple(steps[number]), tuple(values[number])) for number in totals}


def _trials(job_id: str) -> Select[Any]:
    columns = (trials.c.number, trials.c.state, trials.c.reason, trials.c.params, trials.c["values"])
    return select(*columns).where(trials.c.job_id == job_id)


def _find(connection: Connection, statement: Select[Any]) -> list[CurveTrial]:
    return [
        CurveTrial(
            number=row.number,
            state=TrialState(row.state),
            reason=row.reason and TrialReason(row.reason),
            params=row.params,
            metrics=frozenset(row._mapping["values"]),
        )
        for row in connection.execute(statement)
    ]
