"""The jobs on a worker's desk: which it holds, which it takes on, and which of them gets a free slot."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from stepsize.domain.job import Job
from stepsize.domain.lease import Lease
from stepsize.errors import JobNotFoundError, LeaseLostError
from stepsize.store.database import DatabaseError, is_transient, reason_of
from stepsize.store.leases import Offer, Precedence, claim_job, find_claimable, find_claimable_external
from stepsize.store.outages import Outage
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Event
from stepsize_workers.holder import JobHolder, hold_job
from stepsize_workers.lease import LeaseKeeper
from stepsize_workers.site import Site, fail_job

log = structlog.get_logger()


class Desk:
    """The jobs of one worker. Each verb is one part of a round of its loop; one job's trouble is no other's."""

    def __init__(self, site: Site, keeper: LeaseKeeper, offer: Offer, *, lease_s: float) -> None:
        self._site = site
        self._keeper = keeper
        self._offer = offer
        self._lease_s = lease_s
        self._holders: dict[str, JobHolder] = {}
        self._claimable: Precedence | None = None

    @property
    def n_running(self) -> int:
        """Trials under way."""
        return sum(holder.n_running for holder in self._holders.values())

    @property
    def n_elsewhere(self) -> int | None:
        """Trials that clients have; None: no job here is trained by clients."""
        served = [holder.n_running for holder in self._holders.values() if holder.serves_clients]
        return sum(served) if served else None

    # -- hearing -----------------------------------------------------------------------------------------------------

    def hear(self, events: Sequence[Event]) -> None:
        """Take in what the engine says, and let go of jobs whose lease was lost."""
        by_job: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_job[event.key.job_id].append(event)
        for job_id, its_events in by_job.items():
            if holder := self._holders.get(job_id):
                may_refill = not self._others_wait(job_id)
                self._guarded(holder, partial(holder.handle, its_events, may_refill=may_refill))
        for lease in self._keeper.take_lost():
            lost = self._holders.get(lease.job_id)
            if lost is not None and lost.lease == lease:
                self._abandon(lost)

    def _others_wait(self, job_id: str) -> bool:
        """Tell whether other jobs wait for slots, which a group that is filled again and again would keep from them."""
        if self._claimable is not None:
            return True
        return any(holder.wants_slots() for other, holder in self._holders.items() if other != job_id)

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See what clients want of the jobs held, and whether there are jobs to claim."""
        for holder in list(self._holders.values()):
            self._guarded(holder, holder.look)
        try:
            with self._site.database.read() as connection:
                self._claimable = find_claimable(connection, self._offer)
                external = find_claimable_external(connection)
        except DatabaseError as error:
            self._tolerate(error, self._site.outage)
            return
        self._site.outage.end()
        if external is not None:  # it takes no slot; the next is seen after this claim's own commit
            self._claim(external)

    def listen(self) -> None:
        """Look at the jobs whose clients have said something: between looks, for these wait until they are heard."""
        for holder in list(self._holders.values()):
            if holder.serves_clients:
                self._guarded(holder, holder.listen)

    # -- assigning ---------------------------------------------------------------------------------------------------

    def assign(self) -> None:
        """Give each free slot to the job whose turn it is, held and claimable jobs alike."""
        granted: dict[str, list[SlotRecord]] = defaultdict(list)
        for slot in self._site.engine.free_slots():
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
            with self._site.database.write() as connection:
                claimed = claim_job(connection, job_id, owner=self._site.worker_id, lease_s=self._lease_s)
        except DatabaseError as error:
            self._tolerate(error, self._site.write_outage)
            return
        self._site.write_outage.end()
        if claimed:
            self._take_over(*claimed)
        try:
            with self._site.database.read() as connection:
                self._claimable = find_claimable(connection, self._offer)
        except DatabaseError as error:
            self._tolerate(error, self._site.outage)

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

    def settle(self) -> None:
        """Move each job on; give one back that waits for slots which all run trials of others."""
        no_slot_is_free = not self._site.engine.free_slots()
        for holder in list(self._holders.values()):
            self._guarded(holder, holder.settle)
            if no_slot_is_free and not holder.is_over and not holder.n_running and holder.wants_slots():
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

    # -- going away --------------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Interrupt the running trials; each is requeued when `hear` has its end."""
        for holder in list(self._holders.values()):
            self._guarded(holder, holder.shut_down)

    def clear(self) -> None:
        """Do what clients have asked for already, and give the jobs back that have no trial running any more."""
        for holder in list(self._holders.values()):
            if not holder.n_running:
                self._guarded(holder, holder.depart)

    # -- trouble -----------------------------------------------------------------------------------------------------

    def _guarded(self, holder: JobHolder, action: Callable[[], object]) -> None:
        """Do something for a job; if its lease turns out to be lost, let go of it."""
        try:
            action()
        except (LeaseLostError, JobNotFoundError):
            self._abandon(holder)
        except Exception as error:  # noqa: BLE001 - one job must not take the others down
            if isinstance(error, DatabaseError) and is_transient(error):
                self._tolerate(error, self._site.outage)
                return
            holder.abandon()
            self._forget(holder)
            self._give_up(holder.lease, error)

    def _give_up(self, lease: Lease, error: Exception) -> None:
        """Fail a job that can't be run, and say why; where not even that can be written, its lease runs out."""
        log.error("job can't be run", job=lease.job_id, exc_info=error)
        self._keeper.drop(lease)
        try:
            fail_job(self._site, lease, error)
        except LeaseLostError:
            pass
        except DatabaseError as refused:
            log.error("job can't be failed either", job=lease.job_id, error=reason_of(refused))

    def _tolerate(self, error: DatabaseError, outage: Outage) -> None:
        if not is_transient(error):
            raise error
        outage.note(reason_of(error))
