"""The course of a job's search, thinned to what a picture can show."""

import math
from dataclasses import dataclass

from stepsize.spec.objective import Objective
from stepsize.store.database import Connection
from stepsize.store.history import Point, count_finished, load_course
from stepsize.store.jobs import get_job

_SHARE_OF_IMPROVEMENTS = 0.1
"""Room kept for improvements: among n trials in random order there are about ln n, 9 among 10,000."""


@dataclass(frozen=True)
class History:
    """What finished trials reached, by number. `n_trials` counts those left out too."""

    job_id: str
    change: int
    objective: Objective
    n_trials: int
    points: tuple[Point, ...]


def read_history(connection: Connection, job_id: str, *, max_points: int) -> History:
    """Return at most `max_points` finished trials: the improvements first of all, the others evenly spread.

    With several objectives it is the first one's.

    Raises:
        JobNotFoundError: no such job.
    """
    job = get_job(connection, job_id)
    objective = job.spec.objectives[0]
    n_trials = count_finished(connection, job_id)
    stride = 1 if n_trials <= max_points else math.ceil(n_trials / (max_points * (1 - _SHARE_OF_IMPROVEMENTS)))
    course = load_course(connection, job_id, objective=objective, stride=stride)
    return History(job_id, job.change, objective, n_trials, tuple(_trim(course, max_points)))


def _trim(course: list[Point], max_points: int) -> list[Point]:
    """Drop what is too much: the oldest that are no improvement, then the oldest improvements."""
    if len(course) <= max_points:
        return course
    kept = sorted(course, key=lambda point: (point.improves, point.number))[-max_points:]
    return sorted(kept, key=lambda point: point.number)
