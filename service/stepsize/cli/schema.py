"""What commands do about the data directory and the database's tables."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stepsize.cli.printing import duration, fail, say
from stepsize.errors import SchemaAheadError
from stepsize.settings import Settings
from stepsize.store.database import Database, DatabaseError, is_transient, reason_of
from stepsize.store.migrate import SchemaProblem, upgrade, why_not_at_head
from stepsize.store.outages import Outage

_LOOK_EVERY_S = 1.0
_NEVER_BY_WAITING = ("authentication failed", "does not exist")
"""What PostgreSQL says of a wrong password, user or database: errors of a kind with a server that is starting."""


def make_data_dir(settings: Settings) -> None:
    """Make the data directory, unless it is there; ends the command where it can't be used."""
    path, mend = settings.data_dir, "name another with --data-dir or STEPSIZE_DATA_DIR"
    try:
        settings.make_data_dir()
    except FileExistsError:
        fail(f"the data directory {path} is a file; {mend}")
    except OSError as error:
        fail(f"the data directory {path} can't be made: {error.strerror or error}; {mend}")
    if not os.access(path, os.W_OK | os.X_OK):
        fail(f"the data directory {path} can't be written to; mend its permissions, or {mend}")


def migrate(settings: Settings) -> None:
    """Bring the tables to this version; makes the data directory, where SQLite's file may lie."""
    make_data_dir(settings)
    with _told("the database can't be migrated"):
        upgrade(settings.url)


def require_tables(settings: Settings) -> None:
    """End the command unless the tables are of this version; a database that is away is waited for."""
    make_data_dir(settings)
    outage = Outage(
        say_away=lambda reason, _: say(f"the database does not answer, trying again until it does: {reason}"),
        say_back=lambda away_s: say(f"the database answers again after {duration(away_s)}"),
    )
    while True:
        with _told("the database does not answer"):
            try:
                wrong = head_problem(settings)
            except DatabaseError as error:
                if not _may_come_back(error):
                    raise
                outage.note(reason_of(error))
                time.sleep(_LOOK_EVERY_S)
                continue
        outage.end()
        if wrong:
            fail(str(wrong))
        return


def warn_without_tables(settings: Settings) -> None:
    """Say what is wrong with the tables, if anything; an API may start before its database does, /readyz tells."""
    with _told("the database does not answer"):
        try:
            if wrong := head_problem(settings):
                say(f"warning: {wrong}")
        except DatabaseError as error:
            say(f"warning: the database does not answer: {_reason(error)}")


def head_problem(settings: Settings) -> SchemaProblem | None:
    """Return what is wrong with the tables, or None where they are of this version.

    Raises:
        DatabaseError, OSError: the database does not answer.
    """
    database = Database(settings.url, pool_size=1)
    try:
        with database.read() as connection:
            return why_not_at_head(connection)
    finally:
        database.dispose()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """End the command with one line where the database, or the place of its file, is of no use."""
    try:
        yield
    except SchemaAheadError as error:
        fail(str(error))
    except DatabaseError as error:
        fail(f"{what}: {_reason(error)}")
    except OSError as error:
        fail(f"{what}: {error.strerror or error}: {error.filename}; see STEPSIZE_DATABASE_URL")


def _may_come_back(error: DatabaseError) -> bool:
    return is_transient(error) and not any(said in reason_of(error) for said in _NEVER_BY_WAITING)


def _reason(error: DatabaseError) -> str:
    """Return what the driver said, on one line."""
    return " ".join(reason_of(error).split())
