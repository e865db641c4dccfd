"""Writes to one job that come at once share a transaction: one commit, and one wait for the disk, for all of them.

A job's writes go one after the other anyway, by its row's lock. With 200 clients that ask and tell, each transaction
would wait for a disk that takes milliseconds a commit; here whoever comes meanwhile goes along in the next one. Who
waits holds no thread: forty threads that wait for one lock leave none for those who only read.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fastapi.concurrency import run_in_threadpool

from stepsize.store.database import Connection, Database

T = TypeVar("T")
Item = TypeVar("Item")
Together = Callable[[Connection, str, Sequence[Item]], Sequence[T | Exception]]
"""Writes many things alike to what a lane names, and returns what came of each."""

_MOST_TOGETHER = 256


@dataclass(eq=False)
class _Write(Generic[Item, T]):
    """One write on its way."""

    act: Together[Item, T]
    item: Item
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

    waiting: deque[_Write[Any, Any]] = field(default_factory=deque)
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
        return await self.run_together(lane, lambda connection, name, items: [act(connection)], None)

    async def run_together(self, lane: str, act: Together[Item, T], item: Item) -> T:
        """Do the same for one of many things alike: all that share a transaction are done at once.

        An exception that `act` returns in the place of an item's result is raised to whoever wants that item done; one
        that it raises, to all of them.
        """
        write: _Write[Item, T] = _Write(act, item, asyncio.get_running_loop().create_future())
        mine = self._lanes[lane]
        mine.waiting.append(write)
        if mine.drain is None:
            mine.drain = asyncio.create_task(self._drain(lane, mine))
        return await write.done

    async def _drain(self, name: str, lane: _Lane) -> None:
        while lane.waiting:
            together = [lane.waiting.popleft() for _ in range(min(len(lane.waiting), _MOST_TOGETHER))]
            await run_in_threadpool(self._commit, name, together)
            for write in together:
                write.tell()
        del self._lanes[name]

    def _commit(self, lane: str, together: Sequence[_Write[Any, Any]]) -> None:
        alike: dict[Together[Any, Any], list[_Write[Any, Any]]] = defaultdict(list)
        for write in together:
            alike[write.act].append(write)
        try:
            with self._database.write() as connection:
                if len(alike) == 1:  # the transaction itself undoes it: no savepoint, which costs two statements
                    _do(connection, lane, together)
                    return
                for writes in alike.values():
                    try:
                        with connection.begin_nested():
                            _do(connection, lane, writes)
                    except Exception as error:  # noqa: BLE001 - raised where these writes came from
                        _fail(writes, error)
        except Exception as error:  # noqa: BLE001 - raised by each whose write it was
            _fail(together, error)


def _do(connection: Connection, lane: str, writes: Sequence[_Write[Any, Any]]) -> None:
    outcomes = writes[0].act(connection, lane, [write.item for write in writes])
    for write, outcome in zip(writes, outcomes, strict=True):
        if isinstance(outcome, Exception):
            write.error = outcome
        else:
            write.value = outcome


def _fail(writes: Iterable[_Write[Any, Any]], error: Exception) -> None:
    for write in writes:
        write.error = write.error or error
