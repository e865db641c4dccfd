"""The list of workers."""

from sqlalchemy import Connection, update

from stepsize.store.database import Database, db_now
from stepsize.store.models import workers
from stepsize.store.workers import FORGET_AFTER_S, list_workers, mark_seen, register_worker, remove_worker
from tests.builders import make_worker

LEASE_S = 30.0


def _silent_for(connection: Connection, worker_id: str, seconds: float) -> None:
    statement = update(workers).where(workers.c.id == worker_id).values(last_seen=db_now() - seconds)
    connection.execute(statement)


def test_a_registered_worker_is_listed_with_slots_and_trainers(database: Database) -> None:
    worker = make_worker()
    with database.write() as connection:
        register_worker(connection, worker)
        (listed,) = list_workers(connection, lease_s=LEASE_S)

    assert (listed.id, listed.slots, listed.trainers) == (worker.id, worker.slots, worker.trainers)
    assert listed.alive


def test_a_worker_silent_for_a_lease_is_listed_as_not_alive_until_seen_again(database: Database) -> None:
    with database.write() as connection:
        register_worker(connection, make_worker())
        _silent_for(connection, "worker-1", LEASE_S + 1)
        assert [worker.alive for worker in list_workers(connection, lease_s=LEASE_S)] == [False]

        mark_seen(connection, "worker-1")
        assert [worker.alive for worker in list_workers(connection, lease_s=LEASE_S)] == [True]


def test_a_worker_that_stopped_cleanly_is_not_listed(database: Database) -> None:
    with database.write() as connection:
        register_worker(connection, make_worker("worker-1"))
        register_worker(connection, make_worker("worker-2"))
        remove_worker(connection, "worker-1")

        assert [worker.id for worker in list_workers(connection, lease_s=LEASE_S)] == ["worker-2"]


def test_a_worker_not_seen_for_a_day_is_not_listed(database: Database) -> None:
    with database.write() as connection:
        register_worker(connection, make_worker())
        _silent_for(connection, "worker-1", FORGET_AFTER_S + 1)

        assert list_workers(connection, lease_s=LEASE_S) == []


def test_a_worker_not_seen_for_a_day_is_dropped_when_another_registers(database: Database) -> None:
    with database.write() as connection:
        register_worker(connection, make_worker("worker-1"))
        _silent_for(connection, "worker-1", FORGET_AFTER_S + 1)
        register_worker(connection, make_worker("worker-2"))
        mark_seen(connection, "worker-1")

        assert [worker.id for worker in list_workers(connection, lease_s=LEASE_S)] == ["worker-2"]
