"""The best trial of a job, as its row names it."""

from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select

from stepsize.domain.job import Job, JobKind
from stepsize.domain.replication import MIN_REPLICATES
from stepsize.domain.trial import TrialState
from stepsize.spec.objective import Direction
from stepsize.store.models import trials


def find_best(connection: Connection, job: Job) -> int | None:
    """Return the number of the best trial; None: nothing feasible has completed, or no trial is simply the best.

    That is so with several objectives, and in a range test, where the last loss of a sweep means nothing. Once trials
    have been replicated it is the one whose replicates have the best mean: it has shown that it was not lucky.

    Args:
        job: as it was before the trials moved; replicates come in another transaction than their ends.
    """
    objectives = job.spec.objectives
    if len(objectives) != 1 or job.kind is JobKind.RANGE_TEST:
        return None
    direction, of_job = objectives[0].direction, {"of_job": job.id}
    best: int | None = None
    if job.n_trials - job.counts[TrialState.CANCELLED] > job.n_counted:  # there are replicates
        best = connection.scalar(_BEST_REPLICATED[direction], of_job)
    return connection.scalar(_BEST[direction], of_job) if best is None else best


def _select_best(direction: Direction) -> Select[Any]:
    objective = trials.c.objective
    return (
        select(trials.c.number)
        .where(
            trials.c.job_id == bindparam("of_job"),
            trials.c.state == TrialState.COMPLETED,
            objective.is_not(None),
            trials.c.replicate_of.is_(None),
        )
        .order_by(objective.desc() if direction is Direction.MAXIMIZE else objective.asc(), trials.c.number)
        .limit(1)
    )


def _select_best_replicated(direction: Direction) -> Select[Any]:
    mean = func.avg(trials.c.objective)
    return (
        select(trials.c.replicate_of)
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


_BEST_REPLICATED = {direction: _select_best_replicated(direction) for direction in Direction}
_BEST = {direction: _select_best(direction) for direction in Direction}
