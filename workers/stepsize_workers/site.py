"""Where a worker's jobs are run: its database, engine and directory, and how it waits for a database that is away."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from stepsize.asking.analyst import Changes
from stepsize.asking.questions import Question, Reply
from stepsize.domain.job import Job, JobReason, JobState
from stepsize.domain.lease import Lease
from stepsize.domain.said import clean_text
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.store.database import Connection, Database, DatabaseError, is_transient, reason_of
from stepsize.store.ledger import Ledger, open_leased_ledger
from stepsize.store.outages import Outage
from stepsize_workers.engines.base import Engine

log = structlog.get_logger()
T = TypeVar("T")

_RETRY_FIRST_S = 0.05
_RETRY_MOST_S = 1.0
_PATIENCE_WHEN_STOPPING_S = 5.0


def logged_outage() -> Outage:
    """Return what logs, in few lines, that the database is away."""
    return Outage(
        say_away=lambda reason, away_s: log.warning("database away, trying again", error=reason, away_s=round(away_s)),
        say_back=lambda away_s: log.info("database back", away_s=round(away_s, 1)),
    )


class Asks(Protocol):
    """Whom the analysis can be asked of: `stepsize.asking.analyst.Analyst`, or a test's."""

    def submit(self, question: Question, changes: Changes = ()) -> Future[Reply]:
        """Return the answer to come."""


@dataclass(frozen=True)
class Site:
    """One a worker."""

    database: Database
    engine: Engine
    worker_id: str
    data_dir: Path
    cards: Mapping[tuple[str, str | None], TrainerCard] = field(default_factory=dict)
    """The trainers this worker offers, by name and version."""
    analyst: Asks | None = None
    """Who answers questions about jobs, elsewhere; None: nobody."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the worker is asked to end: from then on a database that is away is not waited for much longer."""
    outage: Outage = field(default_factory=logged_outage)
    """What says that the database is away; for the loop's own thread."""
    write_outage: Outage = field(default_factory=logged_outage)
    """What says that it takes no writes: on a full disk it is read as ever."""

    def transact(
        self, lease: Lease, body: Callable[[Ledger], T], *, work_s: Callable[[], float] | None = None
    ) -> tuple[T, Job]:
        """Run one transaction under a lease, again while the database is away; return its result and the job after it.

        A commit may have succeeded although its answer was lost; then the second try finds every guarded move made and
        every new row there.

        Args:
            work_s: says how many seconds of work the job has had.

        Raises:
            LeaseLostError: the job is another worker's now.
        """

        def attempt() -> tuple[T, Job]:
            worked = work_s() if work_s else None
            with self.database.write() as connection, open_leased_ledger(connection, lease, work_s=worked) as ledger:
                result = body(ledger)
            return result, ledger.job

        return self._persist(attempt, self.write_outage)

    def write(self, body: Callable[[Connection], T]) -> T:
        """Run one transaction that needs no lease, again while the database is away."""

        def attempt() -> T:
            with self.database.write() as connection:
                return body(connection)

        return self._persist(attempt, self.write_outage)

    def read(self, look: Callable[[Connection], T]) -> T:
        """Run one read, again while the database is away."""

        def attempt() -> T:
            with self.database.read() as connection:
                return look(connection)

        return self._persist(attempt, self.outage)

    def _persist(self, attempt: Callable[[], T], outage: Outage) -> T:
        """Do what needs the database, again while it is away."""
        pause_s, waited_s = _RETRY_FIRST_S, 0.0
        while True:
            try:
                done = attempt()
            except DatabaseError as error:
                impatient = self.stopping.is_set() and waited_s > _PATIENCE_WHEN_STOPPING_S
                if impatient or not is_transient(error):
                    raise
                outage.note(reason_of(error))
                time.sleep(pause_s)
                waited_s += pause_s
                pause_s = min(2 * pause_s, _RETRY_MOST_S)
            else:
                outage.end()
                return done


def fail_job(site: Site, lease: Lease, error: Exception) -> None:
    """Fail a job that can't be run at all, so that it takes no other job and no other worker down with it.

    Raises:
        LeaseLostError: the job is another worker's now.
    """

    def fail(ledger: Ledger) -> None:
        ledger.move_trials([TrialState.RUNNING, TrialState.QUEUED], TrialState.CANCELLED, reason=TrialReason.ERROR)
        ledger.move_job(
            JobState.FAILED, JobReason.ERROR, error=clean_text(f"{type(error).__name__}: {clean_text(error)}")
        )
        ledger.release_lease()

    site.transact(lease, fail)
