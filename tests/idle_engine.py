"""Workers for jobs whose trials run elsewhere: an engine that runs nothing, a loop in a thread, a holder by hand."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stepsize.settings import Settings
from stepsize.store.database import Database
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Assignment, Event, TrialKey
from stepsize_workers.loop import WorkerLoop
from tests.job_play import take_over


class IdleEngine:
    """Waits to be woken."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    @property
    def slots(self) -> Sequence[SlotRecord]:
        return [SlotRecord(0, "cpu", 0.0, 1)]

    def free_slots(self) -> list[SlotRecord]:
        return list(self.slots)

    def start(self, slot: SlotRecord, group: Sequence[Assignment]) -> None:
        raise AssertionError("nothing runs here")

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        raise AssertionError("nothing runs here")

    def stop(self, key: TrialKey, *, grace_s: float) -> None:
        raise AssertionError("nothing runs here")

    def poll(self, timeout_s: float) -> list[Event]:
        self._woken.wait(timeout_s)
        self._woken.clear()
        return []

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        pass


@contextmanager
def searching(database: Database, data_dir: Path) -> Iterator[WorkerLoop]:
    """Let a worker in a thread of this process search for external jobs."""
    loop = WorkerLoop(database, IdleEngine(), Settings(data_dir=data_dir, database_url="sqlite:///unused"), [])
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join()


class Searcher:
    """The holder of one external job, moved on by hand."""

    def __init__(self, database: Database, job_id: str, data_dir: Path, *, owner: str = "worker-1") -> None:
        self.holder = take_over(database, job_id, IdleEngine(), data_dir, owner=owner)
        self.work()

    def work(self) -> None:
        """Take in what is new and do what follows from it, until nothing does."""
        for _ in range(3):
            if not self.holder.is_over:
                self.holder.look()
                self.holder.settle()
