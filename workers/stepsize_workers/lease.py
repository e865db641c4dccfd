"""Renews the leases a worker holds, from a thread of its own: nothing that trains or searches can hold it up."""

import threading
from collections.abc import Callable

from stepsize.domain.lease import Lease
from stepsize.store.database import Database, DatabaseError, reason_of
from stepsize.store.leases import renew_leases
from stepsize.store.workers import mark_seen
from stepsize_workers.site import logged_outage
from stepsize_workers.watchers import Watcher

_RETRY_S = 0.5


class LeaseKeeper(Watcher):
    """Renews every third of a lease and notes which leases were lost. Thread-safe."""

    def __init__(
        self,
        database: Database,
        *,
        worker_id: str,
        lease_s: float,
        on_loss: Callable[[], None],
        on_death: Callable[[], None],
    ) -> None:
        """Make a keeper, not yet started.

        Args:
            on_loss: called in the keeper's thread when leases are found lost.
            on_death: see `Watcher`.
        """
        super().__init__("lease-keeper", on_death)
        self._database = database
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._on_loss = on_loss
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        self._lost: set[Lease] = set()

    def hold(self, lease: Lease) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held[lease.job_id] = lease

    def drop(self, lease: Lease) -> None:
        """Renew this lease no longer."""
        with self._lock:
            if self._held.get(lease.job_id) == lease:
                del self._held[lease.job_id]

    def take_lost(self) -> set[Lease]:
        """Return the leases found lost since the last call."""
        with self._lock:
            lost, self._lost = self._lost, set()
            return lost

    def _watch(self) -> None:
        pause_s, outage = self._lease_s / 3, logged_outage()
        while not self._closing.wait(pause_s):
            try:
                self._renew()
                outage.end()
                pause_s = self._lease_s / 3
            except DatabaseError as error:  # a full pool is not a DBAPIError
                outage.note(f"leases not renewed: {reason_of(error)}")
                pause_s = min(_RETRY_S, self._lease_s / 3)

    def _renew(self) -> None:
        with self._lock:
            leases = list(self._held.values())
        with self._database.write() as connection:
            kept = renew_leases(connection, leases, lease_s=self._lease_s)
            mark_seen(connection, self._worker_id)
        lost = [lease for lease in leases if lease.job_id not in kept]
        with self._lock:
            # One given back meanwhile is not lost.
            self._lost |= {lease for lease in lost if self._held.get(lease.job_id) == lease}
        if lost:
            self._on_loss()
