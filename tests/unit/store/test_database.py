"""Transactions: what SQLite and PostgreSQL promise alike."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import bindparam, column, literal, select, table, text, update

from stepsize.store.database import Database, DatabaseError, db_now
from stepsize.store.jobs import get_job
from stepsize.store.models import jobs
from tests.builders import make_job
from tests.postgres import PostgresServer


def test_an_exception_rolls_the_transaction_back(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as connection:
            make_job(connection)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        write_and_fail()

    with database.read() as connection:
        assert connection.execute(select(jobs.c.id)).all() == []


def test_the_databases_clock_tells_unix_seconds(database: Database) -> None:
    with database.read() as connection:
        told = connection.scalar(select(db_now()))

    # Same machine, same clock: 50 ms are for the query; SQLite's clock counts milliseconds.
    assert told == pytest.approx(time.time(), abs=0.05)


def test_the_databases_clock_moves_within_a_transaction(database: Database) -> None:
    """A transaction that waited for a lock must judge a lease by the time now, not by when it began."""
    with database.read() as connection:
        before = connection.scalar(select(db_now()))
        time.sleep(0.05)
        after = connection.scalar(select(db_now()))

    assert before is not None
    assert after is not None
    assert after - before >= 0.045


def test_a_pick_reads_what_is_committed_and_leaves_no_transaction_open(database: Database) -> None:
    statement = select(jobs.c.name, jobs.c.change).where(jobs.c.id == bindparam("of_job"))
    with database.write() as connection:
        job = make_job(connection)

    assert database.pick(statement, {"of_job": "job_unknown"}) is None
    assert tuple(database.pick(statement, {"of_job": job.id}) or ()) == (job.name, job.change)
    with database.write() as connection:  # on the same pooled connection: it would fail inside another transaction
        connection.execute(update(jobs).values(change=99))
    assert tuple(database.pick(statement, {"of_job": job.id}) or ()) == (job.name, 99)


def test_a_pick_says_what_is_wrong_as_any_read_does(database: Database) -> None:
    with pytest.raises(DatabaseError, match="nowhere"):
        database.pick(select(column("anything")).select_from(table("nowhere")), {})


def test_a_connection_that_died_while_it_rested_is_made_anew(restartable_postgres: PostgresServer) -> None:
    found = Database(restartable_postgres.url())
    try:
        assert tuple(found.pick(select(literal(1)), {}) or ()) == (1,)
        restartable_postgres.restart()
        assert tuple(found.pick(select(literal(2)), {}) or ()) == (2,), "one that is known to be young"
        restartable_postgres.restart()
        time.sleep(1.1)  # longer than a connection counts as young
        with found.read() as connection:
            assert connection.scalar(select(literal(3))) == 3
    finally:
        found.dispose()


def test_reading_sees_one_moment(database: Database) -> None:
    """A job and its trials are read by several statements; a commit between them must not show in half."""
    with database.write() as connection:
        job = make_job(connection)

    with database.read() as reader:
        before = get_job(reader, job.id)
        with database.write() as writer:
            writer.execute(update(jobs).values(change=99))
        after = get_job(reader, job.id)

    assert before.change == after.change


def test_writers_wait_for_each_other(database: Database) -> None:
    """Read, then write: without the write lock taken first, SQLite would refuse one with `database is locked`."""
    with database.write() as connection:
        job = make_job(connection)

    def increment() -> None:
        for _ in range(20):
            with database.write() as connection:
                statement = select(jobs.c.change).where(jobs.c.id == job.id).with_for_update()
                change = connection.scalars(statement).one()
                connection.execute(update(jobs).where(jobs.c.id == job.id).values(change=change + 1))

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as connection:
        assert get_job(connection, job.id).change == 1 + 4 * 20


def test_sqlite_commits_survive_power_loss(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.read() as connection:
        settings = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    database.dispose()

    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_connections_that_open_a_new_sqlite_file_at_once_all_succeed(tmp_path: Path) -> None:
    """`stepsize api` and `stepsize worker` may start together; the switch to WAL ignores the busy timeout."""
    n_files, n_threads = 30, 4
    barrier = threading.Barrier(n_threads)

    def open_all(_: int) -> None:
        for number in range(n_files):
            barrier.wait(timeout=30)
            database = Database(f"sqlite:///{tmp_path / f'{number}.db'}")
            with database.write() as connection:
                connection.execute(text("CREATE TABLE IF NOT EXISTS t (x)"))
            database.dispose()

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(open_all, range(n_threads)))
