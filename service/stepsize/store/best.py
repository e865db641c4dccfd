"""The best trial of a job, as its row names it."""

from typing import Any

from sqlalchemy import Connection, Select, Text, and_, bindparam, case, cast, func, select

from stepsize.domain.job import Job, JobKind
from stepsize.domain.replication import MIN_REPLICATES
from stepsize.domain.trial import TrialPurpose, TrialState
from stepsize.spec.objective import Direction
from stepsize.store.models import trials


def find_best(connection: Connection, job: Job) -> int | None:
    """Return the number of the best trial; None: nothing feasible has completed, or no trial is simply the best.

    That is so with several objectives, and in a range test, where the last loss of a sweep means nothing. Once trials
    have been replicated, or configurations checked, it is the one with the best mean: it has shown that it was not
    lucky. The first check of a configuration stands for it.

    Args:
        job: as it was before the trials moved; replicates come in another transaction than their ends.
    """
    objectives = job.spec.objectives
    if len(objectives) != 1 or job.kind is JobKind.RANGE_TEST:
        return None
    direction, of_job = objectives[0].direction, {"of_job": job.id}
    means: list[tuple[int, float]] = []
    if job.n_trials - job.counts[TrialState.CANCELLED] > job.n_counted:  # there are replicates
        means += _found(connection, _BEST_REPLICATED[direction], of_job)
    if job.n_confirming:
        means += _found(connection, _BEST_CONFIRMED[direction], of_job)
    if means:
        return min(means, key=lambda found: (direction.cost(found[1]), found[0]))[0]
    best: int | None = connection.scalar(_BEST[direction], of_job)
    return best


def _found(connection: Connection, statement: Select[Any], of_job: dict[str, str]) -> list[tuple[int, float]]:
    """Return (number, mean) of what is best by its mean, if anything is."""
    return [(row.number, row.mean) for row in connection.execute(statement, of_job)]


def _select_best(direction: Direction) -> Select[Any]:
    objective = trials.c.objective
    return (
        select(trials.c.number)
        .where(
            trials.c.job_id == bindparam("of_job"),
            trials.c.state == TrialState.COMPLETED,
            objective.is_not(None),
            trials.c.purpose == TrialPurpose.SEARCH,
        )
        .order_by(objective.desc() if direction is Direction.MAXIMIZE else objective.asc(), trials.c.number)
        .limit(1)
    )


def _select_best_replicated(direction: Direction) -> Select[Any]:
    mean = func.avg(trials.c.objective).label("mean")
    return (
        select(trials.c.replicate_of.label("number"), mean)
        .where(
            trials.c.job_id == bindparam("of_job"),
            trials.c.state == TrialState.COMPLETED,
            trials.c.replicate_of.is_not(None),
        )
        .group_by(trials.c.replicate_of)
        .having(func.count() >= MIN_REPLICATES)
        .order_by(mean.desc() if direction is Direction.MAXIMIZE else mean.asc(), trials.c.replicate_of)
        .limit(1)
    )


def _select_best_confirmed(direction: Direction) -> Select[Any]:
    """Select the configuration with the best mean, of those of which every check that has ended has a value."""
    mean = func.avg(trials.c.objective).label("mean")
    has_value = case((and_(trials.c.state == TrialState.COMPLETED, trials.c.objective.is_not(None)), 1), else_=0)
    ended = [state for state in TrialState if state.is_finished and state is not TrialState.CANCELLED]
    return (
        select(func.min(trials.c.number).label("number"), mean)
        .where(
            trials.c.job_id == bindparam("of_job"),
            trials.c.purpose == TrialPurpose.CONFIRM,
            trials.c.state.in_(ended),
        )
        .group_by(cast(trials.c.params, Text))
        .having(func.count() >= MIN_REPLICATES, func.min(has_value) == 1)
        .order_by(mean.desc() if direction is Direction.MAXIMIZE else mean.asc(), func.min(trials.c.number))
        .limit(1)
    )


_BEST_CONFIRMED = {direction: _select_best_confirmed(direction) for direction in Direction}
_BEST_REPLICATED = {direction: _select_best_replicated(direction) for direction in Direction}
_BEST = {direction: _select_best(direction) for direction in Direction}
