"""Writes that share a commit: all of them happen, each by itself."""

import asyncio

import pytest

from stepsize.api.group_commit import GroupCommit
from stepsize.errors import StateConflictError
from stepsize.store.database import Connection, Database
from stepsize.store.jobs import get_job
from tests.builders import make_job, make_trial

N = 60
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def job_id(database: Database) -> str:
    with database.write() as connection:
        return make_job(connection).id


def _add_trial(connection: Connection, job_id: str) -> int:
    return make_trial(connection, job_id).number


async def test_writes_at_once_are_all_committed_in_fewer_transactions(
    database: Database, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, n_transactions = GroupCommit(database), 0
    write = database.write

    def counting() -> object:
        nonlocal n_transactions
        n_transactions += 1
        return write()

    monkeypatch.setattr(database, "write", counting)
    numbers = await asyncio.gather(*(group.run(job_id, lambda it: _add_trial(it, job_id)) for _ in range(N)))
    assert sorted(numbers) == list(range(N))
    assert n_transactions < N / 2
    with database.read() as connection:
        assert get_job(connection, job_id).n_trials == N


async def test_what_fails_undoes_itself_alone(database: Database, job_id: str) -> None:
    group = GroupCommit(database)

    def fail(connection: Connection) -> None:
        _add_trial(connection, job_id)
        raise StateConflictError("no", state="queued")

    def add(connection: Connection) -> int:
        return _add_trial(connection, job_id)

    acts = [fail, add, fail, add, add]
    told = await asyncio.gather(*(group.run(job_id, act) for act in acts), return_exceptions=True)
    assert [type(one) for one in told] == [StateConflictError, int, StateConflictError, int, int]
    assert sorted(one for one in told if isinstance(one, int)) == [0, 1, 2]
    with database.read() as connection:
        assert get_job(connection, job_id).n_trials == 3


async def test_who_leaves_before_the_commit_is_not_missed(database: Database, job_id: str) -> None:
    group = GroupCommit(database)
    leaving = asyncio.create_task(group.run(job_id, lambda it: _add_trial(it, job_id)))
    staying = asyncio.create_task(group.run(job_id, lambda it: _add_trial(it, job_id)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1, "a write that has begun is done, whoever waits for it"


async def test_a_commit_that_fails_is_told_to_all_whose_it_was(
    database: Database, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = GroupCommit(database)

    def unreachable() -> object:
        raise ConnectionError("the disk is gone")

    monkeypatch.setattr(database, "write", unreachable)
    adding = [group.run(job_id, lambda it: _add_trial(it, job_id)) for _ in range(3)]
    told = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(one) for one in told] == [ConnectionError] * 3
    monkeypatch.undo()
    assert await group.run(job_id, lambda it: _add_trial(it, job_id)) == 0
    assert group._lanes == {}
