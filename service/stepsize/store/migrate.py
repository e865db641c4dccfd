"""Brings a database to the newest schema; touches nothing but `stepsize_*` tables, whoever else lives beside them.

A migration runs in one transaction under a lock, so processes that start together wait for each other and a failed one
leaves nothing half done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select

import stepsize_migrations
from stepsize import __version__
from stepsize.errors import SchemaAheadError
from stepsize.store.database import Database
from stepsize.store.models import metadata, releases

_ADVISORY_LOCK = 0x5354455053495A45
"""The bytes of STEPSIZE as a number: advisory locks are shared with every other user of the database."""


def _is_ours(name: str | None, kind: str, parent_names: object) -> bool:
    return kind != "table" or (name or "").startswith("stepsize_")


CONTEXT_OPTIONS: dict[str, Any] = {
    # Not Alembic's default `alembic_version`: Optuna and MLflow keep theirs there.
    "version_table": "stepsize_alembic_version",
    "include_name": _is_ours,
    "render_as_batch": True,  # SQLite can't alter most of a table in place
    "transactional_ddl": True,  # SQLite too: our connections issue BEGIN themselves
    "compare_server_default": True,
}
"""How every Alembic context here is configured."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database to a revision; does nothing if it is there already.

    Raises:
        SchemaAheadError: a later version of Stepsize has brought it further than this one knows.
    """
    with migrating(database_url) as connection:
        if ahead := find_ahead(connection):
            raise ahead
        command.upgrade(config_for(connection), revision)
        _record_release(connection)


def downgrade(database_url: str, revision: str) -> None:
    """Take the database back to an older revision; `base` drops every table of ours."""
    with migrating(database_url) as connection:
        command.downgrade(config_for(connection), revision)


@cache
def head() -> str:
    """Return the newest revision this code knows."""
    revision = ScriptDirectory.from_config(config_for()).get_current_head()
    assert revision is not None, "the migrations were not installed with the package"
    return revision


def is_at_head(connection: Connection) -> bool:
    """Tell whether the database has the schema this code expects."""
    return _current(connection) == (head(),)


@dataclass(frozen=True)
class SchemaProblem:
    """What is wrong with the database's schema, and the command that mends it; "": what is said says what to do."""

    said: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.said}; run `{self.command}`" if self.command else self.said


def why_not_at_head(connection: Connection) -> SchemaProblem | None:
    """Return what is wrong with the database's schema, or None where nothing is."""
    if is_at_head(connection):
        return None
    if ahead := find_ahead(connection):
        return SchemaProblem(str(ahead))
    return SchemaProblem("the database's tables are missing or of another version", "stepsize migrate")


def find_ahead(connection: Connection) -> SchemaAheadError | None:
    """Return how far a later version of Stepsize has brought the database, or None where it is known here."""
    known = {script.revision for script in ScriptDirectory.from_config(config_for()).walk_revisions()}
    unknown = next((revision for revision in _current(connection) if revision not in known), None)
    if unknown is None:
        return None
    needs = None
    if inspect(connection).has_table(releases.name):
        needs = connection.scalar(select(releases.c.version).where(releases.c.revision == unknown))
    return SchemaAheadError(unknown, here=__version__, needs=needs)


def differences(connection: Connection) -> list[Any]:
    """Return what separates the database's schema from models.py, as Alembic's operations; empty: nothing."""
    context = MigrationContext.configure(connection, opts=CONTEXT_OPTIONS)
    return list(compare_metadata(context, metadata))


def _current(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection, opts=CONTEXT_OPTIONS).get_current_heads()


def _record_release(connection: Connection) -> None:
    """Note which version first had the revision that the database is at."""
    for revision in _current(connection):
        if connection.scalar(select(releases.c.version).where(releases.c.revision == revision)) is None:
            connection.execute(releases.insert().values(revision=revision, version=__version__))


@contextmanager
def migrating(database_url: str) -> Iterator[Connection]:
    """Open the transaction a migration runs in, holding the lock that lets only one run at a time."""
    database = Database(database_url)
    try:
        if database.is_postgresql:
            with database.write() as connection:
                connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
                yield connection
        else:
            with _migrating_sqlite(database) as connection:
                yield connection
    finally:
        database.dispose()


@contextmanager
def _migrating_sqlite(database: Database) -> Iterator[Connection]:
    with database.engine.connect().execution_options(stepsize_write=True) as connection:
        # Batch mode copies a table and drops the old one; with foreign keys on, that drop would cascade and delete
        # every trial. The pragma is ignored inside a transaction, so it goes past SQLAlchemy, which would begin one.
        cursor = connection.connection.cursor()
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.close()
        with connection.begin():
            yield connection
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert not broken, f"the migration broke references: {broken[:3]}"


def config_for(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(stepsize_migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
