"""Results: the best trials of a job."""

from collections.abc import Mapping
from dataclasses import dataclass

from stepsize.domain.confirmation import confirmed_groups
from stepsize.domain.job import Job, JobKind
from stepsize.domain.replication import Replication, group_replicates, rank, tied_with
from stepsize.domain.trial import Trial
from stepsize.errors import StateConflictError
from stepsize.spec.objective import Direction
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.listing import best_trials, completed_replicates, confirming_trials, find_trials


@dataclass(frozen=True)
class BestTrial:
    """One of the best trials, and what its replicates say."""

    trial: Trial
    replication: Replication | None
    """None: none of its replicates has completed."""
    tied: tuple[int, ...]
    """Numbers of the other replicated trials that can't be told from it."""


def best(connection: Connection, job_id: str, *, n: int) -> list[BestTrial]:
    """Return up to `n` completed trials, best first; replicated and checked ones go first, by their means.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job has several objectives, of which none decides alone, or is a range test: the last
            loss of a sweep, which rises until it explodes, tells nothing.
    """
    job = get_job(connection, job_id)
    if job.kind is JobKind.RANGE_TEST:
        raise StateConflictError(
            f"a range test has no best trial; what it found is at /v1/range-tests/{job_id}", state=job.state
        )
    objectives = job.spec.objectives
    if len(objectives) != 1:
        raise StateConflictError(
            f"the job has {len(objectives)} objectives and no single best trial; see /v1/jobs/{job_id}/pareto",
            state=job.state,
        )
    direction = objectives[0].direction
    replications = group_replicates(completed_replicates(connection, job_id)) if job.spec.replicates else {}
    if job.n_confirming:
        replications |= confirmed_groups(confirming_trials(connection, job_id))
    candidates = _candidates(connection, job, direction, replications, n=n)
    return [
        BestTrial(trial, replications.get(trial.number), tuple(tied_with(trial.number, replications)))
        for trial in rank(candidates, replications, direction)[:n]
    ]


def _candidates(
    connection: Connection, job: Job, direction: Direction, replications: Mapping[int, Replication], *, n: int
) -> list[Trial]:
    """Return the `n` best by their own values, and all that were replicated."""
    best_first = best_trials(connection, job.id, descending=direction is Direction.MAXIMIZE, limit=n)
    replicated = find_trials(connection, job.id, replications)
    return list({trial.number: trial for trial in [*best_first, *replicated]}.values())
