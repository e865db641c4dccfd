"""Events: what has changed in a job since a client last looked.

There is no event table: an event is a row as it is now. Rows of one transaction share a `change`, so that a batch holds
whole changes only and its last one is a place to go on from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stepsize.application.jobs import JobReading, read_job
from stepsize.domain.trial import Report, Trial
from stepsize.store.changes import Changed, end_of_batch, reports_changed, trials_changed
from stepsize.store.database import Connection
from stepsize.store.jobs import get_stage

BATCH_ROWS = 500
"""Rows of a kind in a batch, more only where a single change has more, or a few changes."""
_FEW_CHANGES = 8
"""So many are told at once, whatever rows they have: who follows a job is seldom further behind."""


@dataclass(frozen=True)
class Batch:
    """What has changed, in order."""

    events: Sequence[tuple[int, Trial | Report | JobReading]]
    """Each row with its change, rising; the job comes last."""
    seen: int
    """The change up to which everything is told."""
    change: int
    """Once the job's own is later, there is more to tell; not `seen`, which a client may claim to be ahead."""
    is_last: bool
    """The job has finished and all is told."""


def read_batch(connection: Connection, job_id: str, *, after: int | None, lease_s: float) -> Batch:
    """Return the next changes of a job after `after`; None: the job as it is now.

    Raises:
        JobNotFoundError: no such job.
    """
    # The job first: what it says has been committed, and later commits are the next batch's.
    stage = get_stage(connection, job_id)
    is_over = stage.state.is_finished
    if after is None:
        now = read_job(connection, job_id, lease_s=lease_s)
        return Batch([(stage.change, now)], stage.change, stage.change, is_over)
    end = stage.change
    if end - after > _FEW_CHANGES:
        end = min(end, end_of_batch(connection, job_id, after=after, limit=BATCH_ROWS))
    rows: list[Changed[Trial | Report]] = [
        *trials_changed(connection, job_id, after=after, upto=end),
        *reports_changed(connection, job_id, after=after, upto=end),
    ]
    rows.sort(key=lambda changed: changed.change)
    events: list[tuple[int, Trial | Report | JobReading]] = [(changed.change, changed.row) for changed in rows]
    drained = end == stage.change
    # A job's row rises with every report; it is news only when a state changed, or to say that this was all.
    if drained and (stage.revision > after or (is_over and stage.change > after)):
        events.append((stage.change, read_job(connection, job_id, lease_s=lease_s)))
    return Batch(events, max(after, end), end, drained and is_over)
