"""Writes to one job that come at once share a transaction: one commit, and one wait for the disk, for all of them.

A job's writes go one after the other anyway, by its row's lock. With 200 clients that ask and tell, each transaction
would wait for a disk that takes milliseconds a commit; here whoever comes meanwhile goes along in the next one.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from stepsize.store.database import Connection, Database

T = TypeVar("T")

_MOST_TOGETHER = 64


@dataclass(eq=False)
class _Write(Generic[T]):
    """One write on its way."""

    act: Callable[[Connection], T]
    value: T | None = None
    error: Exception | None = None
    is_done: bool = False


@dataclass
class _Lane:
    """The writes of one job."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: deque[_Write[object]] = field(default_factory=deque)
    n_inside: int = 0


class GroupCommit:
    """Runs writes in lanes. Safe to use from many threads; each waits until its own write is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}

    def run(self, lane: str, act: Callable[[Connection], T]) -> T:
        """Do something in a transaction, together with others of its lane, and return its result once it is committed.

        What it raises undoes what it did, and nothing of the others'.
        """
        write = _Write(act)
        with self._lock:
            mine = self._lanes.setdefault(lane, _Lane())
            mine.n_inside += 1
            mine.waiting.append(write)  # type: ignore[arg-type]  # its value is of its own type
        try:
            with mine.turn:
                if not write.is_done:
                    self._commit([mine.waiting.popleft() for _ in range(min(len(mine.waiting), _MOST_TOGETHER))])
        finally:
            with self._lock:
                mine.n_inside -= 1
                if not mine.n_inside:
                    self._lanes.pop(lane, None)
        if write.error is not None:
            raise write.error
        return write.value  # type: ignore[return-value]  # it has been done

    def _commit(self, together: list[_Write[object]]) -> None:
        try:
            with self._database.write() as connection:
                for write in together:
                    self._do(connection, write)
        except Exception as error:  # noqa: BLE001 - raised by each whose write it was
            for write in together:
                write.error = write.error or error
        for write in together:
            write.is_done = True

    @staticmethod
    def _do(connection: Connection, write: _Write[object]) -> None:
        try:
            with connection.begin_nested():
                write.value = write.act(connection)
        except Exception as error:  # noqa: BLE001 - raised in the thread whose write it is
            write.error = error
