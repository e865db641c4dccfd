"""Fixtures for every test: databases that are real, fresh and quick to have."""

import itertools
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from stepsize.store import migrate
from stepsize.store.database import Database
from tests.postgres import EmptiedDatabases, PostgresServer

_numbers = itertools.count(1)

# What runs in the background of a shell ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# structlog prints every local of a traceback in colours unless told otherwise: seconds for one error.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL server; it starts with the first test that wants it."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def restartable_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test's own, to stop and start as it likes; its database `postgres` is empty."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "stepsize.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgresServer) -> EmptiedDatabases:
    """Migrated databases of the session's PostgreSQL server."""
    migrate.upgrade(postgres.create_database("stepsize_template"))
    return EmptiedDatabases(postgres, template="stepsize_template")


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated, empty SQLite database of the test's own."""
    path = tmp_path / "stepsize.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_databases: EmptiedDatabases) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database of the test's own."""
    name = f"test_{next(_numbers)}"
    yield postgres_databases.take(name)
    postgres_databases.give_back(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database: the test runs once on SQLite and once on PostgreSQL."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"empty_{next(_numbers)}"
    yield server.create_database(name)
    server.drop_database(name)
