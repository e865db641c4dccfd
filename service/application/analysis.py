"""What must be known before the analysis process is asked: that the jobs exist, and at which changes they are."""

from collections.abc import Sequence

from sqlalchemy import Connection

from service.errors import JobNotFoundError
from service.store.changes import current_changes


def changes_of(connection: Connection, job_ids: Sequence[str]) -> tuple[int, ...]:
    """Return the current change of each job, in order: answers are the same as long as these are.

    Raises:
        JobNotFoundError: one of them doesn't exist.
    """
    found = current_changes(connection, job_ids)
    for job_id in job_ids:
        if job_id not in found:
            raise JobNotFoundError(job_id)
    return tuple(found[job_id] for job_id in job_ids)
