"""Leases are renewed by a thread of their own."""

import threading
import time

from stepsize.domain.lease import Lease
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize_workers.lease import LeaseKeeper
from tests.builders import expire_lease, make_job, make_worker, take_lease
from tests.waiting import wait_for

LEASE_S = 0.6


def held_lease(database: Database) -> Lease:
    with database.write() as connection:
        return take_lease(connection, make_job(connection).id, lease_s=LEASE_S)


def keeper_of(database: Database, lost: threading.Event) -> LeaseKeeper:
    keeper = LeaseKeeper(database, worker_id=make_worker().id, lease_s=LEASE_S, on_loss=lost.set, on_death=lost.set)
    keeper.start()
    return keeper


def test_lease_is_renewed_while_the_loop_is_busy(database: Database) -> None:
    lease, lost = held_lease(database), threading.Event()
    keeper = keeper_of(database, lost)
    keeper.hold(lease)
    busy_until = time.monotonic() + 3 * LEASE_S
    while time.monotonic() < busy_until:  # a search that hogs the interpreter
        sum(range(1000))
    with database.read() as connection:
        assert get_job(connection, lease.job_id).lease_live
    keeper.close()
    assert not lost.is_set()


def test_lost_lease_is_noticed_and_told_once(database: Database) -> None:
    lease, lost = held_lease(database), threading.Event()
    keeper = keeper_of(database, lost)
    keeper.hold(lease)
    with database.write() as connection:
        expire_lease(connection, lease.job_id)
    wait_for(lost.is_set, timeout_s=5.0)
    assert keeper.take_lost() == {lease}
    assert keeper.take_lost() == set()
    keeper.close()
