"""The front: the trials no other trial beats in every objective."""

from collections.abc import Sequence
from dataclasses import dataclass

from stepsize.domain.front import non_dominated
from stepsize.domain.trial import Trial
from stepsize.spec.objective import Objective
from stepsize.store.database import Connection
from stepsize.store.fronts import load_completed_values, load_numbered
from stepsize.store.jobs import get_job


@dataclass(frozen=True)
class Front:
    """The non-dominated trials, by the first objective, best first."""

    objectives: Sequence[Objective]
    n_completed: int
    trials: list[Trial]


def read_front(connection: Connection, job_id: str) -> Front:
    """Return a job's front over its completed trials; with one objective its best trials, equal ones together.

    Raises:
        JobNotFoundError: no such job.
    """
    objectives = get_job(connection, job_id).spec.objectives
    numbers, points = [], []
    for number, values in load_completed_values(connection, job_id):
        if all(objective.metric in values for objective in objectives):
            numbers.append(number)
            points.append(tuple(objective.direction.cost(values[objective.metric]) for objective in objectives))
    chosen = [numbers[index] for index in non_dominated(points)]
    found = load_numbered(connection, job_id, chosen)
    return Front(objectives, len(numbers), [found[number] for number in chosen])
