"""The event stream of a job, read and rendered once for all streams that stand at the same place.

FastAPI's own way, a generator of events, costs two tasks a stream and an encoding an event: with 20 streams on a busy
job, half of what the process did.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from stepsize.api.notifier import Notifier, Wake
from stepsize.api.schemas import JobOut, ReportOut, TrialOut
from stepsize.application.events import Batch, read_batch
from stepsize.application.jobs import JobReading, read_job
from stepsize.domain.trial import Report, Trial
from stepsize.errors import JobNotFoundError
from stepsize.store.database import Database, DatabaseError

HEARTBEAT_S = 15.0
"""Longest silence on a stream: proxies close connections that say nothing."""


_BEAT_S = 0.4
"""What happens within a beat is told together: a page shows no more, and a job of short trials commits at any time."""
_SHARED_S = 0.1
"""Streams that come to the same place within this time are told the same."""


@dataclass(frozen=True)
class _Told:
    """A batch, rendered."""

    text: bytes
    batch: Batch


class Feed:
    """Reads batches of events, sharing what several streams ask for at once."""

    def __init__(self, database: Database, notifier: Notifier, *, lease_s: float) -> None:
        self._database = database
        self._notifier = notifier
        self._lease_s = lease_s
        self._pending: dict[tuple[str, int | None], asyncio.Task[_Told]] = {}
        self.n_open = 0
        """Streams being followed now."""

    async def follow(self, job_id: str, *, after: int | None) -> AsyncIterator[bytes]:
        """Yield a job's changes as they happen, until it has finished and all is told, and a comment when nothing does.

        It also ends when the job is deleted, the database goes away or the server stops; clients come back with the
        last id they have.

        Args:
            after: the change up to which the client knows all; None: it begins with the job as it is now.
        """
        with self._notifier.watch(job_id) as watch, self._counted():
            while True:
                try:
                    told = await self._read(job_id, after)
                except (JobNotFoundError, DatabaseError):
                    return
                if told.text:
                    yield told.text
                if told.batch.is_last:
                    return
                after = told.batch.seen
                while (wake := await watch.beyond(told.batch.change, timeout_s=HEARTBEAT_S)) is Wake.SILENCE:
                    yield (await self._read_silent(job_id)) or KEEPALIVE_COMMENT
                if wake is Wake.END or await watch.ends_within(_until_next_beat()):
                    return

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.n_open += 1
        try:
            yield
        finally:
            self.n_open -= 1

    async def _read(self, job_id: str, after: int | None) -> _Told:
        """Read what follows, together with whoever stands at the same place at this beat."""
        place = (job_id, after)
        task = self._pending.get(place)
        if task is None:
            task = asyncio.create_task(run_in_threadpool(self._read_now, job_id, after))
            self._pending[place] = task
            asyncio.get_running_loop().call_later(_SHARED_S, self._pending.pop, place, None)
        return await asyncio.shield(task)

    async def _read_silent(self, job_id: str) -> bytes:
        """Return the job as an event if something stands in its way: no write tells that its worker is gone."""
        try:
            return await run_in_threadpool(self._read_stuck, job_id)
        except (JobNotFoundError, DatabaseError):
            return b""

    def _read_stuck(self, job_id: str) -> bytes:
        with self._database.read() as connection:
            reading = read_job(connection, job_id, lease_s=self._lease_s)
        return _render(reading, None) if reading.advice else b""

    def _read_now(self, job_id: str, after: int | None) -> _Told:
        with self._database.read() as connection:
            batch = read_batch(connection, job_id, after=after, lease_s=self._lease_s)
        return _Told(_rendered(batch), batch)


def _until_next_beat() -> float:
    """Return the seconds until streams look again; all look at the same moments, so that they share what they read."""
    return _BEAT_S - time.monotonic() % _BEAT_S


def _rendered(batch: Batch) -> bytes:
    """Render the events; only the last of each change carries it as its id, so that nobody resumes inside one."""
    changes = [change for change, _ in batch.events]
    ends = [change != following for change, following in zip_longest(changes, changes[1:])]
    return b"".join(
        _render(row, str(change) if is_end else None) for (change, row), is_end in zip(batch.events, ends, strict=True)
    )


def _render(row: Trial | Report | JobReading, event_id: str | None) -> bytes:
    match row:
        case Trial():
            kind, data = "trial", TrialOut.of(row).model_dump_json()
        case Report():
            kind, data = "report", ReportOut.of(row).model_dump_json()
        case JobReading():
            kind, data = "job", JobOut.of(row).model_dump_json()
    return format_sse_event(data_str=data, event=kind, id=event_id)
