"""Migrations, on both databases."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Connection, Engine, Integer, create_engine, inspect, text

from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.models import metadata, releases
from tests.builders import make_job, make_trial

ROOT = Path(__file__).parents[2]


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """A plain engine on a database without any table, as a neighbour of ours would have one."""
    engine = create_engine(empty_url)
    yield engine
    engine.dispose()


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    database = Database(url)
    with database.read() as connection:
        yield connection
    database.dispose()


def _tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def test_upgrade_makes_what_models_say(empty_url: str) -> None:
    migrate.upgrade(empty_url)

    with _reading(empty_url) as connection:
        assert migrate.differences(connection) == []
        assert migrate.is_at_head(connection)


def test_a_missing_column_is_seen_as_a_difference(empty_url: str) -> None:
    migrate.upgrade(empty_url)

    with migrate.migrating(empty_url) as connection:
        with Operations(MigrationContext.configure(connection)).batch_alter_table("stepsize_workers") as table:
            table.drop_column("host")
        assert len(migrate.differences(connection)) == 1


def test_an_empty_database_is_not_at_head(empty_url: str) -> None:
    with _reading(empty_url) as connection:
        assert not migrate.is_at_head(connection)


def test_every_table_of_ours_carries_the_prefix_and_a_project() -> None:
    for table in metadata.tables.values():
        assert table.name.startswith("stepsize_")
        assert "project" in table.columns or table is releases, "what is said of the tables is said of all projects"


def test_downgrade_removes_every_table_of_ours(empty_url: str, engine: Engine) -> None:
    migrate.upgrade(empty_url)
    migrate.downgrade(empty_url, "base")

    assert _tables(engine) == {"stepsize_alembic_version"}
    with _reading(empty_url) as connection:
        assert not migrate.is_at_head(connection)


def test_upgrade_keeps_what_is_recorded(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    database = Database(empty_url)
    with database.write() as connection:
        job = make_job(connection)

    migrate.upgrade(empty_url)

    with database.read() as connection:
        assert connection.scalar(text("SELECT id FROM stepsize_jobs")) == job.id
    database.dispose()


def test_a_failed_migration_leaves_nothing_behind(empty_url: str, engine: Engine) -> None:
    def fail_halfway() -> None:
        with migrate.migrating(empty_url) as connection:
            Operations(MigrationContext.configure(connection)).create_table("stepsize_half", Column("id", Integer))
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()

    assert _tables(engine) == set()


def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(database_url: str) -> None:
    """SQLite's batch mode drops the old table; with foreign keys on that would cascade to the trials."""
    database = Database(database_url)
    with database.write() as connection:
        make_trial(connection, make_job(connection).id)

    with migrate.migrating(database_url) as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("stepsize_jobs", recreate="auto") as table:
            table.alter_column("name", nullable=True)

    with database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stepsize_trials")) == 1
    database.dispose()


def test_threads_that_upgrade_at_once_all_succeed(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.upgrade, [empty_url] * 4))

    with _reading(empty_url) as connection:
        assert migrate.is_at_head(connection)


@pytest.mark.slow
def test_processes_that_upgrade_at_once_all_succeed(empty_url: str) -> None:
    code = "import sys; from stepsize.store.migrate import upgrade; upgrade(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]

    errors = [process.communicate(timeout=60)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0, 0], errors
    with _reading(empty_url) as connection:
        assert migrate.is_at_head(connection)


def test_migrations_run_from_any_directory(empty_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    code = "import sys; from stepsize.store.migrate import upgrade; upgrade(sys.argv[1])"
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    done = subprocess.run(
        [sys.executable, "-c", code, empty_url],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert not list(elsewhere.iterdir())


def test_models_and_migrations_agree() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stepsize_migrations", "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
