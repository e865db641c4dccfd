"""The health check of worker containers."""

import pytest
from sqlalchemy import update

from stepsize.store.database import Database
from stepsize.store.models import workers
from stepsize.store.workers import register_worker
from stepsize_workers import health
from tests.builders import make_worker


def test_a_host_is_healthy_while_its_worker_is_seen(database: Database) -> None:
    with database.write() as connection:
        register_worker(connection, make_worker(host="here"))

    assert health.is_healthy(database, host="here", lease_s=30)
    assert not health.is_healthy(database, host="elsewhere", lease_s=30)

    with database.write() as connection:
        connection.execute(update(workers).values(last_seen=1.0))
    assert not health.is_healthy(database, host="here", lease_s=30)


def test_the_exit_code_says_unhealthy_without_a_worker(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_DATABASE_URL", sqlite_url)

    assert health.main() == 1
