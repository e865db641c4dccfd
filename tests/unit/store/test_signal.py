"""The change signal: commits are noticed, by anyone, and none is missed."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.jobs import delete_job
from stepsize.store.ledger import open_ledger
from stepsize.store.signal import ChangeSignal, open_signal
from tests.builders import make_job, make_trial
from tests.postgres import PostgresServer

QUICK_S = 2.0
"""A change takes milliseconds to be noticed; a busy machine may take longer, though far less than the time-outs."""


@pytest.fixture
def signal(database: Database) -> Iterator[ChangeSignal]:
    """A signal that has seen everything so far."""
    signal = open_signal(database)
    _settle(signal)
    yield signal
    signal.close()


def _settle(signal: ChangeSignal) -> None:
    while signal.wait(0.05):
        pass


def _notices(signal: ChangeSignal, act: Callable[[], object]) -> float | None:
    """Wait for a change that happens meanwhile in another thread; return the seconds until noticed."""
    started = time.monotonic()
    timer = threading.Timer(0.1, act)
    timer.start()
    try:
        return time.monotonic() - started if signal.wait(30) else None
    finally:
        timer.join()


def test_a_commit_elsewhere_is_noticed(database: Database, signal: ChangeSignal) -> None:
    def submit() -> None:
        with database.write() as connection:
            make_job(connection)

    noticed = _notices(signal, submit)

    assert noticed is not None
    assert noticed < QUICK_S


def test_changes_of_a_job_are_noticed(database: Database, signal: ChangeSignal) -> None:
    with database.write() as connection:
        job = make_job(connection)
    _settle(signal)

    with database.write() as connection, open_ledger(connection, job.id) as ledger:
        ledger.set_job(priority=1)
    assert signal.wait(QUICK_S), "a ledger"
    _settle(signal)
    with database.write() as connection:
        make_trial(connection, job.id)
    assert signal.wait(QUICK_S), "a trial"
    _settle(signal)
    with database.write() as connection:
        delete_job(connection, job.id)
    assert signal.wait(QUICK_S), "a deletion"


def test_a_commit_before_the_wait_is_not_missed(database: Database, signal: ChangeSignal) -> None:
    with database.write() as connection:
        make_job(connection)

    assert signal.wait(QUICK_S)


def test_without_a_commit_the_wait_times_out(signal: ChangeSignal) -> None:
    started = time.monotonic()

    assert not signal.wait(0.2)
    assert time.monotonic() - started >= 0.19


def test_a_rollback_is_no_change(database: Database, signal: ChangeSignal) -> None:
    def write_and_fail() -> None:
        with database.write() as connection:
            make_job(connection)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        write_and_fail()

    assert not signal.wait(0.2)


def test_many_commits_need_not_wake_more_than_once(database: Database, signal: ChangeSignal) -> None:
    for _ in range(50):
        with database.write() as connection:
            make_job(connection)

    assert signal.wait(QUICK_S)
    _settle(signal)
    assert not signal.wait(0.05)


def test_every_listener_notices(database: Database) -> None:
    signals = [open_signal(database) for _ in range(3)]
    for signal in signals:
        _settle(signal)
    with database.write() as connection:
        make_job(connection)

    assert all(signal.wait(QUICK_S) for signal in signals)
    for signal in signals:
        signal.close()


def test_closing_gives_back_a_connection_that_still_works(database: Database) -> None:
    signal = open_signal(database)
    signal.wait(0)
    signal.close()

    with database.write() as connection:
        job = make_job(connection)
    with database.read() as connection:
        assert connection.scalar(text("SELECT id FROM stepsize_jobs")) == job.id


def test_a_restart_of_postgresql_is_survived(restartable_postgres: PostgresServer) -> None:
    url = restartable_postgres.url()
    migrate.upgrade(url)
    database = Database(url)
    signal = open_signal(database)
    _settle(signal)

    restartable_postgres.stop(mode="immediate")
    assert not signal.wait(0.1)
    restartable_postgres.start()
    with database.write() as connection:
        make_job(connection)

    deadline = time.monotonic() + 10
    while not (noticed := signal.wait(0.5)) and time.monotonic() < deadline:
        pass
    assert noticed, "what was committed while nobody listened"
    _settle(signal)
    with database.write() as connection:
        make_job(connection)
    assert signal.wait(QUICK_S), "and it listens again"
    signal.close()
    database.dispose()
