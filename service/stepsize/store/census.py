"""How much of everything there is: what a monitoring system asks for again and again."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Double, bindparam, func, select

from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.database import db_now
from stepsize.store.models import jobs, trials, workers


@dataclass(frozen=True)
class Census:
    """Counts over the whole record; every state is there, if only with 0."""

    jobs: Mapping[JobState, int]
    trials: Mapping[TrialState, int]
    n_workers: int
    """Workers alive."""
    n_slots: int
    """Of workers alive."""
    n_busy_slots: int


def time_round_trip(connection: Connection) -> float:
    """Return how many seconds the database takes to answer the smallest of questions."""
    started = time.perf_counter()
    connection.exec_driver_sql("SELECT 1")
    return time.perf_counter() - started


def take_census(connection: Connection, *, lease_s: float) -> Census:
    """Count jobs, trials and living workers; trials cost nothing, for every job keeps count of its own."""
    job_counts, trial_counts = dict.fromkeys(JobState, 0), dict.fromkeys(TrialState, 0)
    for state, n_jobs, *n_trials in connection.execute(_COUNT_JOBS):
        job_counts[JobState(state)] = n_jobs
        for trial_state, n in zip(TrialState, n_trials, strict=True):
            trial_counts[trial_state] += n
    slots = {row.id: len(row.slots) for row in connection.execute(_LIVING_WORKERS, {"of_lease_s": lease_s})}
    running = Counter(connection.scalars(_RUNNING_ON, {"of_workers": list(slots)})) if slots else Counter[str]()
    # Trials that train as one share a slot.
    busy = sum(min(n_slots, running[worker]) for worker, n_slots in slots.items())
    return Census(job_counts, trial_counts, len(slots), sum(slots.values()), busy)


_COUNT_JOBS = select(jobs.c.state, func.count(), *(func.sum(jobs.c[f"n_{state}"]) for state in TrialState)).group_by(
    jobs.c.state
)
_LIVING_WORKERS = select(workers.c.id, workers.c.slots).where(
    workers.c.last_seen > db_now() - bindparam("of_lease_s", type_=Double)
)
_RUNNING_ON = select(trials.c.worker).where(
    trials.c.worker.in_(bindparam("of_workers", expanding=True)), trials.c.state == TrialState.RUNNING
)
