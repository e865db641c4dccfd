"""The event stream of all jobs: a brief row for each job that has changed, read once a beat for all who listen.

A page that watches a thousand jobs would otherwise read the list again and again, a thousand specs with it.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from stepsize.api.feed import HEARTBEAT_S
from stepsize.api.schemas import JobBriefOut
from stepsize.application.jobs import JobReading, read_jobs
from stepsize.store.changes import active_changes, current_changes
from stepsize.store.database import Database, DatabaseError

_BEAT_S = 1.0
"""What happens to a job within a beat is told once: lists are for eyes."""
_MOST_BEHIND = 60
"""Beats that a reader may be behind; one that is slower is let go, and reads the list again."""
_MOST_AT_ONCE = 200
"""Rows in a beat; what is more comes with the next."""
_RECENT_S = 60.0
"""Jobs this young are looked at though they may have finished already."""


class JobFeed:
    """One an API process. Belongs to its event loop; reads nothing while nobody listens."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._beats: asyncio.Task[None] | None = None

    async def follow(self) -> AsyncGenerator[bytes, None]:
        """Yield a row of each job that changes from now on, and a comment when none does.

        It ends when the database goes away, the server stops, or the reader is too far behind.
        """
        mine: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_BEHIND)
        self._listeners.add(mine)
        if self._beats is None:
            self._beats = asyncio.create_task(self._beat())
        try:
            yield KEEPALIVE_COMMENT  # it has begun: what is read after this is not missed
            while True:
                try:
                    text = await asyncio.wait_for(mine.get(), HEARTBEAT_S)
                except TimeoutError:
                    text = KEEPALIVE_COMMENT
                if text is None:
                    return
                yield text
        finally:
            self._listeners.discard(mine)

    @property
    def n_open(self) -> int:
        """Streams being followed now."""
        return len(self._listeners)

    def end(self) -> None:
        """End every stream, from the event loop."""
        for listener in list(self._listeners):
            self._let_go(listener)

    async def _beat(self) -> None:
        known: Mapping[str, int] | None = None
        try:
            while self._listeners:
                text, known = await run_in_threadpool(self._read, known)
                if text:
                    self._tell(text)
                await asyncio.sleep(_BEAT_S)
        except DatabaseError:
            self.end()
        finally:
            self._beats = None

    def _tell(self, text: bytes) -> None:
        for listener in list(self._listeners):
            if listener.full():
                self._let_go(listener)
            else:
                listener.put_nowait(text)

    def _let_go(self, listener: asyncio.Queue[bytes | None]) -> None:
        self._listeners.discard(listener)
        while not listener.empty():
            listener.get_nowait()
        listener.put_nowait(None)

    def _read(self, known: Mapping[str, int] | None) -> tuple[bytes, Mapping[str, int]]:
        """Return the rows of jobs that have changed since `known`, and the change of each job that may do so next."""
        with self._database.read() as connection:
            going_on = active_changes(connection, recent_s=_RECENT_S)
            if known is None:
                return b"", going_on
            ended = current_changes(connection, known.keys() - going_on.keys())
            changed = [job_id for job_id, change in (ended | going_on).items() if change != known.get(job_id)]
            told = changed[:_MOST_AT_ONCE]
            found = read_jobs(connection, told, lease_s=self._lease_s)
        untold = {job_id: known.get(job_id, 0) for job_id in changed[_MOST_AT_ONCE:]}
        return b"".join(map(_render, found)), going_on | untold


def _render(reading: JobReading) -> bytes:
    return format_sse_event(data_str=JobBriefOut.of(reading).model_dump_json(), event="job")
