"""Workers: who is alive, and what runs where."""

from dataclasses import dataclass

from stepsize.domain.trial import Trial
from stepsize.store import workers as worker_store
from stepsize.store.database import Connection
from stepsize.store.listing import running_trials
from stepsize.store.workers import Worker


@dataclass(frozen=True)
class WorkerReading:
    """A worker and the trials it runs."""

    worker: Worker
    running: tuple[Trial, ...]


def list_workers(connection: Connection, *, lease_s: float) -> list[WorkerReading]:
    """Return the workers seen within a day, oldest first."""
    running = running_trials(connection)
    return [
        WorkerReading(worker, tuple(trial for trial in running if trial.worker == worker.id))
        for worker in worker_store.list_workers(connection, lease_s=lease_s)
    ]
