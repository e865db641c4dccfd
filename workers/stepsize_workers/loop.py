"""The worker: claims jobs, gives free slots to the job whose turn it is, and passes on what trials say.

One thread does all of this; only the renewal of leases and the watch for commits have threads of their own.
"""

import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

import stepsize
from stepsize.clock import new_id
from stepsize.domain.job import Job
from stepsize.domain.lease import Lease
from stepsize.domain.trainer import TrainerCard
from stepsize.errors import JobNotFoundError, LeaseLostError
from stepsize.settings import Settings
from stepsize.store.database import Database, DatabaseError, is_transient, reason_of
from stepsize.store.leases import (
    Offer,
    Precedence,
    claim_job,
    find_claimable,
    find_claimable_external,
    give_up_leases,
)
from stepsize.store.signal import open_signal
from stepsize.store.workers import SlotRecord, Worker, register_worker, remove_worker
from stepsize_workers.engines.base import Engine, Event
from stepsize_workers.holder import JobHolder, hold_job
from stepsize_workers.lease import LeaseKeeper
from stepsize_workers.site import Site, fail_job

log = structlog.get_logger()

_POLL_S = 1.0
"""Longest time between two looks at the database when nothing is heard."""
_LOOK_EVERY_S = 0.05
"""Shortest time between two looks at the database: this worker's own commits wake it too."""
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
    ) -> None:
        """Make a worker that offers the trainers described by `cards`.

        Args:
            worker_id: of a worker this one replaces, whose process is known to be dead: its leases end at once.
        """
        self.id = worker_id or new_id("worker")
        self._database = database
        self._engine = engine
        self._settings = settings
        self._cards = cards
        self._offer = Offer(
            trainers=tuple((card.name, card.version) for card in cards),
            gpus=max(slot.gpus for slot in engine.slots),
            cpus=max(slot.cpus for slot in engine.slots),
        )
        self._keeper = LeaseKeeper(database, worker_id=self.id, lease_s=settings.lease_s, on_loss=engine.wake)
        self._holders: dict[str, JobHolder] = {}
        self._stopping = threading.Event()
        self._site = Site(
            database,
            engine,
            self.id,
            Path(settings.data_dir).resolve(),
            cards={(card.name, card.version): card for card in cards},
            stopping=self._stopping,
        )
        self._changed = threading.Event()
        self._changed.set()
        self._looked_at = 0.0
        self._claimable: Precedence | None = None

    def stop(self) -> None:
        """Ask the loop to end: running trials are requeued, jobs released. Callable from a signal handler."""
        self._stopping.set()
        self._engine.wake()

    def run(self) -> None:
        """Work until stopped."""
        self._register()
        self._keeper.start()
        threading.Thread(target=self._watch, name="change-watcher", daemon=True).start()
        log.info("worker ready", worker=self.id, slots=len(self._engine.slots))
        while not self._stopping.is_set():
            self._turn(self._wait_s())
        self._shut_down()

    def _turn(self, wait_s: float) -> None:
        """One round: hear, look, assign, settle."""
        self._pass_on(self._engine.poll(wait_s))
        self._abandon_lost()
        if self._is_time_to_look():
            self._look()
        self._assign_slots()
        self._settle()

    def _wait_s(self) -> float:
        pause_s = _LOOK_EVERY_S if self._changed.is_set() else _POLL_S
        return max(0.0, self._looked_at + pause_s - time.monotonic())

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _pass_on(self, events: Sequence[Event]) -> None:
        by_job: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_job[event.key.job_id].append(event)
        for job_id, its_events in by_job.items():
            if holder := self._holders.get(job_id):
                self._guarded(holder, partial(holder.handle, its_events))

    def _abandon_lost(self) -> None:
        for lease in self._keeper.take_lost():
            holder = self._holders.get(lease.job_id)
            if holder is not None and holder.lease == lease:
                self._abandon(holder)

    # -- looking -----------------------------------------------------------------------------------------------------

    def _is_time_to_look(self) -> bool:
        return self._wait_s() == 0.0

    def _look(self) -> None:
        """See what clients want of the jobs held, and whether there are jobs to claim."""
        self._changed.clear()
        self._looked_at = time.monotonic()
        for holder in list(self._holders.values()):
            self._guarded(holder, holder.look)
        try:
            with self._database.read() as connection:
                self._claimable = find_claimable(connection, self._offer)
                external = find_claimable_external(connection)
        except DatabaseError as error:
            self._tolerate(error)
            return
        if external is not None:  # it takes no slot; the next is seen after this claim's own commit
            self._claim(external)

    # -- assigning ---------------------------------------------------------------------------------------------------

    def _assign_slots(self) -> None:
        """Give each free slot to the job whose turn it is, held and claimable jobs alike."""
        granted: dict[str, list[SlotRecord]] = defaultdict(list)
        for slot in self._engine.free_slots():
            job_id = self._next_job(slot, granted)
            if job_id is not None:
                granted[job_id].append(slot)
        for job_id, slots in granted.items():
            holder = self._holders[job_id]
            self._guarded(holder, partial(holder.start, slots))

    def _next_job(self, slot: SlotRecord, granted: dict[str, list[SlotRecord]]) -> str | None:
        while True:
            held = self._best_held(slot, granted)
            if self._claimable is None or (held is not None and held < self._claimable):
                return held.job_id if held else None
            self._claim(self._claimable.job_id)

    def _best_held(self, slot: SlotRecord, granted: dict[str, list[SlotRecord]]) -> Precedence | None:
        standings = []
        for job_id, holder in self._holders.items():
            n_granted = len(granted[job_id]) if job_id in granted else 0
            if holder.fits(slot) and holder.wants_slots() > n_granted:
                standing = holder.precedence
                standings.append(
                    Precedence(standing.minus_priority, standing.n_running + n_granted, standing.created_at, job_id)
                )
        return min(standings, default=None)

    def _claim(self, job_id: str) -> None:
        """Try to take the job found claimable, and look for the next one."""
        self._claimable = None
        try:
            with self._database.write() as connection:
                claimed = claim_job(connection, job_id, owner=self.id, lease_s=self._settings.lease_s)
            if claimed:
                self._take_over(*claimed)
            with self._database.read() as connection:
                self._claimable = find_claimable(connection, self._offer)
        except DatabaseError as error:
            self._tolerate(error)

    def _take_over(self, lease: Lease, job: Job) -> None:
        log.info("job claimed", job=job.id, token=lease.token)
        if former := self._holders.get(job.id):  # this worker's own, from before it was away for longer than a lease
            self._abandon(former)
        self._keeper.hold(lease)
        try:
            holder = hold_job(lease, job, self._site)
        except Exception as error:  # noqa: BLE001 - one job must not take the others down
            self._give_up(lease, error)
            return
        self._holders[job.id] = holder
        self._guarded(holder, holder.restore)

    # -- settling ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        slots_are_taken = not self._engine.free_slots()
        for holder in list(self._holders.values()):
            self._guarded(holder, holder.settle)
            if slots_are_taken and not holder.is_over and not holder.n_running and holder.wants_slots():
                self._guarded(holder, holder.release)
            if holder.is_over:
                self._forget(holder)

    def _forget(self, holder: JobHolder) -> None:
        self._keeper.drop(holder.lease)
        if self._holders.get(holder.lease.job_id) is holder:
            del self._holders[holder.lease.job_id]
        log.info("job left", job=holder.lease.job_id)

    def _abandon(self, holder: JobHolder) -> None:
        log.warning("lease lost, trials ended", job=holder.lease.job_id, token=holder.lease.token)
        holder.abandon()
        self._forget(holder)

    def _guarded(self, holder: JobHolder, action: Callable[[], object]) -> None:
        """Do something for a job; if its lease turns out to be lost, let go of it."""
        try:
            action()
        except (LeaseLostError, JobNotFoundError):
            self._abandon(holder)
        except DatabaseError as error:
            self._tolerate(error)
        except Exception as error:  # noqa: BLE001 - one job must not take the others down
            holder.abandon()
            self._forget(holder)
            self._give_up(holder.lease, error)

    def _give_up(self, lease: Lease, error: Exception) -> None:
        """Fail a job that can't be run, and say why."""
        log.error("job can't be run", job=lease.job_id, exc_info=error)
        self._keeper.drop(lease)
        with suppress(LeaseLostError):
            fail_job(self._site, lease, error)

    def _tolerate(self, error: DatabaseError) -> None:
        if not is_transient(error):
            raise error
        log.warning("database away", error=reason_of(error))

    # -- coming and going --------------------------------------------------------------------------------------------

    def _register(self) -> None:
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
        with self._database.write() as connection:
            give_up_leases(connection, self.id)
            register_worker(connection, worker)

    def _watch(self) -> None:
        signal = open_signal(self._database)
        while not self._stopping.is_set():
            if signal.wait(_POLL_S) and not self._changed.is_set():
                self._changed.set()
                self._engine.wake()
        signal.close()

    def _shut_down(self) -> None:
        """Requeue running trials, release jobs, say good-bye."""
        deadline = time.monotonic() + _SHUTDOWN_S
        for holder in list(self._holders.values()):
            self._guarded(holder, holder.shut_down)
        while any(holder.n_running for holder in self._holders.values()) and time.monotonic() < deadline:
            self._pass_on(self._engine.poll(0.1))
            self._abandon_lost()
        for holder in list(self._holders.values()):
            if not holder.n_running:
                self._guarded(holder, holder.depart)
        self._keeper.close()
        self._engine.close()
        with suppress(DatabaseError), self._database.write() as connection:
            remove_worker(connection, self.id)
        log.info("worker stopped", worker=self.id)
