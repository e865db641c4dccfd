"""Others who share the database: they work beside us, and we leave what is theirs alone."""

from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.models import metadata
from tests.builders import make_job, make_trial

OURS = {*metadata.tables, "stepsize_alembic_version"}


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """A plain engine on a database without any table, as a neighbour of ours would have one."""
    engine = create_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture
def optuna_storage(empty_url: str) -> Iterator[Any]:
    """A function that opens Optuna's storage in the same database."""
    opened: list[optuna.storages.RDBStorage] = []

    def open_storage() -> optuna.storages.RDBStorage:
        opened.append(optuna.storages.RDBStorage(empty_url))
        return opened[-1]

    yield open_storage
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


def _search(storage: optuna.storages.RDBStorage) -> int:
    study = optuna.create_study(storage=storage, study_name="theirs", load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return len(study.trials)


def _record(url: str) -> int:
    database = Database(url)
    with database.write() as connection:
        make_trial(connection, make_job(connection).id)
        count = connection.scalar(text("SELECT count(*) FROM stepsize_trials"))
    database.dispose()
    return int(count or 0)


def _versions(engine: Engine) -> dict[str, list[str]]:
    with engine.connect() as connection:
        tables = ("alembic_version", "stepsize_alembic_version")
        return {table: list(connection.scalars(text(f"SELECT version_num FROM {table}"))) for table in tables}


def test_optuna_storage_made_before_ours_works(empty_url: str, engine: Engine, optuna_storage: Any) -> None:
    storage = optuna_storage()
    assert _search(storage) == 3
    theirs = set(inspect(engine).get_table_names())

    migrate.upgrade(empty_url)

    assert set(inspect(engine).get_table_names()) == theirs | OURS
    assert _record(empty_url) == 1
    assert _search(storage) == 6
    assert _search(optuna_storage()) == 9, "Optuna opens its storage again"
    assert _versions(engine) == {
        "alembic_version": [storage.get_current_version()],
        "stepsize_alembic_version": [migrate.head()],
    }


def test_optuna_storage_made_after_ours_works(empty_url: str, engine: Engine, optuna_storage: Any) -> None:
    migrate.upgrade(empty_url)
    assert _record(empty_url) == 1

    storage = optuna_storage()

    assert _search(storage) == 3
    assert _record(empty_url) == 2
    assert _versions(engine) == {
        "alembic_version": [storage.get_current_version()],
        "stepsize_alembic_version": [migrate.head()],
    }


def test_our_downgrade_leaves_optuna_alone(empty_url: str, optuna_storage: Any) -> None:
    storage = optuna_storage()
    migrate.upgrade(empty_url)
    _search(storage)

    migrate.downgrade(empty_url, "base")

    assert _search(storage) == 6


@pytest.mark.parametrize("table", ["trials", "studies", "alembic_version", "jobs"])
def test_foreign_tables_are_unharmed(empty_url: str, engine: Engine, table: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {table} (version_num VARCHAR(32), precious TEXT)"))
        connection.execute(text(f"INSERT INTO {table} VALUES ('abc', 'kept')"))

    migrate.upgrade(empty_url)
    with migrate.migrating(empty_url) as ours:
        assert migrate.differences(ours) == [], "a foreign table is no difference"
    migrate.downgrade(empty_url, "base")

    with engine.connect() as connection:
        assert connection.execute(text(f"SELECT * FROM {table}")).all() == [("abc", "kept")]
