"""Writes to one job that come at once share a transaction: one commit, and one wait for the disk, for all of them.

A job's writes go one after the other anyway, by its row's lock. With 200 clients that ask and tell, each transaction
would wait for a disk that takes milliseconds a commit; here whoever comes meanwhile goes along in the next one. Who
waits holds no thread: forty threads that wait for one lock leave none for those who only read.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fastapi.concurrency import run_in_threadpool

from stepsize.store.database import Connection, Database

T = TypeVar("T")

_MOST_TOGETHER = 64


@dataclass(eq=False)
class _Write(Generic[T]):
    """One write on its way."""

    act: Callable[[Connection], T]
    done: asyncio.Future[T]
    value: T | None = None
    error: Exception | None = None

    def tell(self) -> None:
        """Tell whoever waits for it, unless it has gone away."""
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.value)  # type: ignore[arg-type]  # it has been done


@dataclass
class _Lane:
    """The writes of one job."""

    waiting: deque[_Write[Any]] = field(default_factory=deque)
    drain: asyncio.Task[None] | None = None


class GroupCommit:
    """Runs writes in lanes. One an API process; belongs to its event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lanes: dict[str, _Lane] = defaultdict(_Lane)

    async def run(self, lane: str, act: Callable[[Connection], T]) -> T:
        """Do something in a transaction, together with others of its lane, and return its result once it is committed.

        What it raises undoes what it did, and nothing of the others'.
        """
        write: _Write[T] = _Write(act, asyncio.get_running_loop().create_future())
        mine = self._lanes[lane]
        mine.waiting.append(write)
        if mine.drain is None:
            mine.drain = asyncio.create_task(self._drain(lane, mine))
        return await write.done

    async def _drain(self, name: str, lane: _Lane) -> None:
        while lane.waiting:
            together = [lane.waiting.popleft() for _ in range(min(len(lane.waiting), _MOST_TOGETHER))]
            await run_in_threadpool(self._commit, together)
            for write in together:
                write.tell()
        del self._lanes[name]

    def _commit(self, together: Sequence[_Write[Any]]) -> None:
        try:
            with self._database.write() as connection:
                if len(together) == 1:  # the transaction itself undoes it: no savepoint, which costs two statements
                    together[0].value = together[0].act(connection)
                    return
                for write in together:
                    self._do(connection, write)
        except Exception as error:  # noqa: BLE001 - raised by each whose write it was
            for write in together:
                write.error = write.error or error

    @staticmethod
    def _do(connection: Connection, write: _Write[Any]) -> None:
        try:
            with connection.begin_nested():
                write.value = write.act(connection)
        except Exception as error:  # noqa: BLE001 - raised where the write came from
            write.error = error
