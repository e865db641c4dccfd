"""One notifier a process tells waiting streams that a job has changed; a waiting stream holds no thread, no connection.

A daemon thread waits for any commit, asks in one query where all watched jobs are, and wakes those whose job has moved.
It sleeps between wake-ups, so that a busy database costs a bounded number of queries.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

import structlog

from stepsize.store.changes import current_changes
from stepsize.store.database import Database, DatabaseError
from stepsize.store.signal import open_signal

log = structlog.get_logger(__name__)

_POLL_S = 1.0
"""A signal that was missed is made up for within this time."""
_PAUSE_S = 0.2
"""At most five wake-ups a second, unless a client waits for what comes next: streams tell at beats of 0.4 s."""
_EAGER_PAUSE_S = 0.003
_LINGER_S = 2.0
"""Who has waited a moment ago is likely to wait again soon: until then the thread goes on as if they did."""
_RETRY_S = 0.5
_GONE = 2**62
"""The change of a job that was deleted: later than any."""


class Wake(Enum):
    """Why a waiting stream goes on."""

    CHANGE = auto()
    SILENCE = auto()
    """Nothing happened for as long as it would wait."""
    END = auto()
    """The server stops."""


class Watch:
    """One stream's interest in one job. Belongs to an event loop; only `publish` is called from elsewhere."""

    def __init__(self, *, is_eager: bool = False) -> None:
        self.is_eager = is_eager
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._latest = 0
        self._ended = asyncio.Event()
        self._is_stirred = False
        self.told = 0
        """What the notifier's thread has told last."""

    async def beyond(self, change: int, *, timeout_s: float) -> Wake:
        """Wait until the job's change is later than `change`, or it is stirred or gone, or the stream should end."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._latest <= change and not self._is_stirred and not self._ended.is_set():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return Wake.SILENCE
        finally:
            self._is_stirred = False
        return Wake.END if self._ended.is_set() else Wake.CHANGE

    async def ends_within(self, timeout_s: float) -> bool:
        """Wait, whatever happens to the job; tell whether the stream should end meanwhile."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), timeout_s)
        return self._ended.is_set()

    def stir(self) -> None:
        """Let whoever waits go on as if there were a change, from its event loop."""
        self._is_stirred = True
        self._changed.set()

    def end(self) -> None:
        """End the stream, from its event loop."""
        self._ended.set()
        self._changed.set()

    def publish(self, change: int) -> None:
        """Tell the job's change, from the notifier's thread."""
        if change > self.told:
            self.told = change
            self._loop.call_soon_threadsafe(self._take, change)

    def _take(self, change: int) -> None:
        self._latest = change
        self._changed.set()


class Notifier:
    """Watches jobs for the streams of this process. The thread starts with the first watch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: dict[str, set[Watch]] = {}
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._served_until = self._eager_until = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, job_id: str, *, eagerly: bool = False) -> Iterator[Watch]:
        """Watch a job; begin before reading it, and no change is missed.

        Args:
            eagerly: a client can't go on before it hears of the next change: each is told at once.
        """
        watch = Watch(is_eager=eagerly)
        with self._lock:
            self._watches.setdefault(job_id, set()).add(watch)
            self._ensure_thread()
            self._wanted.set()
        try:
            yield watch
        finally:
            with self._lock:
                self._watches[job_id].discard(watch)
                if not self._watches[job_id]:
                    del self._watches[job_id]
                self._served_until = time.monotonic() + _LINGER_S
                if eagerly:
                    self._eager_until = self._served_until

    @property
    def n_watches(self) -> int:
        """How many streams wait."""
        with self._lock:
            return sum(map(len, self._watches.values()))

    def end_streams(self) -> None:
        """End every stream, from their event loop: a server that stops would otherwise wait for them."""
        with self._lock:
            watches = [watch for watches in self._watches.values() for watch in watches]
        for watch in watches:
            watch.end()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * _POLL_S)

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self._wanted.wait()
            try:
                self._serve()
            except DatabaseError as error:  # the database restarts; streams go on when it is back
                log.warning("notifier: the database does not answer", error=str(error))
                time.sleep(_RETRY_S)

    def _serve(self) -> None:
        """Publish changes until nobody watches. Nothing listens after that: unread notifications would pile up."""
        signal = open_signal(self._database)
        try:
            while not self._closing and self._is_wanted():
                self._publish()
                is_eager = self._is_eager()
                time.sleep(_EAGER_PAUSE_S if is_eager else _PAUSE_S)
                signal.wait(_POLL_S, eagerly=is_eager)
        finally:
            signal.close()

    def _is_wanted(self) -> bool:
        """Tell whether anybody watches, or did a moment ago."""
        with self._lock:
            if not self._watches and time.monotonic() > self._served_until:
                self._wanted.clear()
            return self._wanted.is_set()

    def _is_eager(self) -> bool:
        """Tell whether anybody waits for the next change, or did a moment ago."""
        with self._lock:
            is_awaited = any(watch.is_eager for watches in self._watches.values() for watch in watches)
        return is_awaited or time.monotonic() < self._eager_until

    def _publish(self) -> None:
        with self._lock:
            watched = {job_id: list(watches) for job_id, watches in self._watches.items()}
        if not watched:
            return
        with self._database.glance() as connection:
            changes = current_changes(connection, watched)
        for job_id, watches in watched.items():
            for watch in watches:
                self._tell(watch, changes.get(job_id, _GONE))

    def _tell(self, watch: Watch, change: int) -> None:
        try:
            watch.publish(change)
        except RuntimeError:  # its event loop has ended
            log.debug("notifier: a watch outlived its event loop")
