"""The worker: one loop in one thread that hears its engine, looks at the record, and works on its desk.

Only the renewal of leases and the watch for commits have threads of their own.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

import stepsize
from stepsize.clock import new_id
from stepsize.domain.trainer import TrainerCard
from stepsize.settings import Settings
from stepsize.store.database import Connection, Database, DatabaseError
from stepsize.store.leases import Offer, give_up_leases
from stepsize.store.workers import Worker, register_worker, remove_worker
from stepsize_workers.desk import Desk
from stepsize_workers.engines.base import Engine
from stepsize_workers.lease import LeaseKeeper
from stepsize_workers.site import Asks, Site
from stepsize_workers.watchers import ChangeWatcher

log = structlog.get_logger()

_POLL_S = 1.0
"""Longest time between two looks at the database when nothing is heard."""
_LOOK_EVERY_S = 0.05
"""Shortest time between two looks at the database: this worker's own commits wake it too."""
_LISTEN_EVERY_S = 0.003
_LISTEN_EVERY_S_EACH = 0.001
"""Shortest time between two moments at which clients elsewhere are listened to, in all and for each trial they have: a
single one waits for every answer, and what many say is taken in together."""
_WATCH_S = 0.2
"""How soon the watch for commits ends when it is asked to."""
_SHUTDOWN_S = 8.0


class WorkerLoop:
    """One worker process."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        settings: Settings,
        cards: Sequence[TrainerCard],
        *,
        worker_id: str | None = None,
        analyst: Asks | None = None,
    ) -> None:
        """Make a worker that offers the trainers described by `cards`.

        Args:
            worker_id: of a worker this one replaces, whose process is known to be dead: its leases end at once.
            analyst: whom to ask for the jobs' answers; None: they get none.
        """
        self.id = worker_id or new_id("worker")
        self._database = database
        self._engine = engine
        self._cards = cards
        self._stopping = threading.Event()
        self._has_lost_a_watcher = False
        self._changed = threading.Event()
        self._changed.set()
        self._spoken = threading.Event()
        """Whether clients may have said something that was not listened to."""
        self._looked_at = self._listened_at = 0.0
        self._keeper = LeaseKeeper(
            database,
            worker_id=self.id,
            lease_s=settings.lease_s,
            on_loss=engine.wake,
            on_death=self._stop_for_want_of_a_watcher,
        )
        self._changes = ChangeWatcher(
            database, poll_s=_WATCH_S, on_change=self._note_change, on_death=self._stop_for_want_of_a_watcher
        )
        self._site = Site(
            database,
            engine,
            self.id,
            Path(settings.data_dir).resolve(),
            cards={(card.name, card.version): card for card in cards},
            analyst=analyst,
            stopping=self._stopping,
        )
        self.desk = Desk(self._site, self._keeper, _offer_of(engine, cards), lease_s=settings.lease_s)
        """The jobs it holds."""

    def stop(self) -> None:
        """Ask the loop to end: running trials are requeued, jobs released. Callable from a signal handler."""
        self._stopping.set()
        self._engine.wake()

    def run(self) -> bool:
        """Work until stopped.

        Returns:
            Whether it ended because it was asked to, and not because it could not go on.
        """
        if not self._register():
            self._engine.close()
            return True
        self._keeper.start()
        self._changes.start()
        log.info("worker ready", worker=self.id, slots=len(self._engine.slots))
        while not self._stopping.is_set():
            self.turn(self._wait_s())
        self.shut_down()
        return not self._has_lost_a_watcher

    def turn(self, wait_s: float) -> None:
        """One round: hear, look or listen (when it is time to), assign, settle."""
        self.desk.hear(self._engine.poll(wait_s))
        time_s = time.monotonic()
        if time_s >= self._look_at():
            self._changed.clear()
            self._spoken.clear()
            self._looked_at = self._listened_at = time_s
            self.desk.look()
        elif time_s >= self._listen_at():
            self._spoken.clear()
            self._listened_at = time_s
            self.desk.listen()
        self.desk.assign()
        self.desk.settle()
        self._changes.is_eager = self.desk.n_elsewhere is not None

    def shut_down(self) -> None:
        """Requeue running trials, release jobs, say good-bye."""
        deadline = time.monotonic() + _SHUTDOWN_S
        self.desk.shut_down()
        while self.desk.n_running and time.monotonic() < deadline:
            self.desk.hear(self._engine.poll(0.1))
        self.desk.clear()
        self._keeper.close()
        self._engine.close()
        with suppress(DatabaseError), self._database.write() as connection:
            remove_worker(connection, self.id)
        self._changes.close()
        log.info("worker stopped", worker=self.id)

    def _wait_s(self) -> float:
        return max(0.0, min(self._look_at(), self._listen_at()) - time.monotonic())

    def _look_at(self) -> float:
        return self._looked_at + (_LOOK_EVERY_S if self._changed.is_set() else _POLL_S)

    def _listen_at(self) -> float:
        n = self.desk.n_elsewhere
        if n is None or not self._spoken.is_set():
            return math.inf
        return self._listened_at + max(_LISTEN_EVERY_S, n * _LISTEN_EVERY_S_EACH)

    def _note_change(self) -> None:
        if not self._changed.is_set() or not self._spoken.is_set():
            self._changed.set()
            self._spoken.set()
            self._engine.wake()

    def _stop_for_want_of_a_watcher(self) -> None:
        if not self._stopping.is_set():
            log.error("the worker ends, for it can't go on without its watchers", worker=self.id)
            self._has_lost_a_watcher = True
            self.stop()

    def _register(self) -> bool:
        """Enter this worker in the record, once the database answers; False: it was asked to stop before."""
        worker = Worker(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=stepsize.__version__,
            slots=tuple(self._engine.slots),
            trainers=tuple(self._cards),
            started_at=0.0,
            last_seen=0.0,
            alive=True,
        )

        def register(connection: Connection) -> None:
            give_up_leases(connection, self.id)
            register_worker(connection, worker)

        try:
            self._site.write(register)
        except DatabaseError:
            if not self._stopping.is_set():
                raise
            return False
        return True


def _offer_of(engine: Engine, cards: Sequence[TrainerCard]) -> Offer:
    return Offer(
        trainers=tuple((card.name, card.version) for card in cards),
        gpus=max(slot.gpus for slot in engine.slots),
        cpus=max(slot.cpus for slot in engine.slots),
    )
