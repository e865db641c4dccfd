"""Workers for jobs whose trials run elsewhere: a loop in a thread, a holder by hand."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stepsize.settings import Settings
from stepsize.spec.space import Scalar
from stepsize.store.database import Database
from stepsize_workers.engines.base import Outcome
from stepsize_workers.loop import WorkerLoop
from stepsize_workers.site import Asks
from tests.fake_engine import FakeEngine
from tests.job_play import take_over


def nothing(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """No trial runs here."""
    raise AssertionError("nothing runs here")


@contextmanager
def searching(database: Database, data_dir: Path) -> Iterator[WorkerLoop]:
    """Let a worker in a thread of this process search for external jobs."""
    loop = WorkerLoop(database, FakeEngine(nothing), Settings(data_dir=data_dir, database_url="sqlite:///unused"), [])
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join()


class Searcher:
    """The holder of one external job, moved on by hand."""

    def __init__(
        self, database: Database, job_id: str, data_dir: Path, *, owner: str = "worker-1", analyst: Asks | None = None
    ) -> None:
        self.holder = take_over(database, job_id, FakeEngine(nothing), data_dir, owner=owner, analyst=analyst)
        self.work()

    def work(self) -> None:
        """Take in what is new and do what follows from it, until nothing does."""
        for _ in range(3):
            if not self.holder.is_over:
                self.holder.look()
                self.holder.settle()
