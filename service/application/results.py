"""Results: the best trials of a job."""

from sqlalchemy import Connection

from service.domain.trial import Trial
from service.errors import StateConflictError
from service.spec.objective import Direction
from service.store.jobs import get_job
from service.store.listing import best_trials


def best(connection: Connection, job_id: str, *, n: int) -> list[Trial]:
    """Return up to `n` completed trials, best first.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job has several objectives, of which none decides alone.
    """
    job = get_job(connection, job_id)
    objectives = job.spec.objectives or []
    if len(objectives) != 1:
        raise StateConflictError(
            f"the job has {len(objectives)} objectives and no single best trial; see /v1/jobs/{job_id}/pareto",
            state=job.state,
        )
    return best_trials(connection, job_id, descending=objectives[0].direction is Direction.MAXIMIZE, limit=n)
