"""Writes that share a commit: all of them happen, each by itself."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stepsize.api.group_commit import GroupCommit
from stepsize.errors import StateConflictError
from stepsize.store.database import Connection, Database
from stepsize.store.jobs import get_job
from tests.builders import make_job, make_trial

N = 60


@pytest.fixture
def job_id(database: Database) -> str:
    with database.write() as connection:
        return make_job(connection).id


def _add_trial(connection: Connection, job_id: str) -> int:
    return make_trial(connection, job_id).number


def test_writes_at_once_are_all_committed_in_fewer_transactions(
    database: Database, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, n_transactions = GroupCommit(database), 0
    write = database.write

    def counting() -> object:
        nonlocal n_transactions
        n_transactions += 1
        return write()

    monkeypatch.setattr(database, "write", counting)
    with ThreadPoolExecutor(20) as pool:
        numbers = list(pool.map(lambda _: group.run(job_id, lambda it: _add_trial(it, job_id)), range(N)))
    assert sorted(numbers) == list(range(N))
    assert n_transactions < N / 2
    with database.read() as connection:
        assert get_job(connection, job_id).n_trials == N


def test_what_fails_undoes_itself_alone(database: Database, job_id: str) -> None:
    group, gate = GroupCommit(database), threading.Event()

    def hold(connection: Connection) -> None:
        gate.wait(5)

    def fail(connection: Connection) -> None:
        _add_trial(connection, job_id)
        raise StateConflictError("no", state="queued")

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.run, job_id, hold)
        failing = [pool.submit(group.run, job_id, fail) for _ in range(3)]
        adding = [pool.submit(group.run, job_id, lambda it: _add_trial(it, job_id)) for _ in range(3)]
        gate.set()
        first.result(10)
        for one in failing:
            with pytest.raises(StateConflictError):
                one.result(10)
        assert sorted(one.result(10) for one in adding) == [0, 1, 2]
    with database.read() as connection:
        assert get_job(connection, job_id).n_trials == 3


def test_a_commit_that_fails_is_told_to_all_whose_it_was(
    database: Database, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = GroupCommit(database)

    def unreachable() -> object:
        raise ConnectionError("the disk is gone")

    monkeypatch.setattr(database, "write", unreachable)
    with pytest.raises(ConnectionError):
        group.run(job_id, lambda it: _add_trial(it, job_id))
    monkeypatch.undo()
    assert group.run(job_id, lambda it: _add_trial(it, job_id)) == 0
    assert group._lanes == {}
