"""What commands do about the database's tables."""

from stepsize.cli.printing import fail, say
from stepsize.settings import Settings
from stepsize.store.database import Database, DatabaseError, reason_of
from stepsize.store.migrate import is_at_head, upgrade

_MIGRATE_FIRST = "the database's tables are missing or of another version; run `stepsize migrate`"


def migrate(settings: Settings) -> None:
    """Bring the tables to this version; makes the data directory, where SQLite's file may lie."""
    settings.make_data_dir()
    try:
        upgrade(settings.url)
    except DatabaseError as error:
        fail(f"the database can't be migrated: {_reason(error)}")


def require_tables(settings: Settings) -> None:
    """End the command unless the tables are of this version."""
    try:
        if not _has_tables(settings):
            fail(_MIGRATE_FIRST)
    except DatabaseError as error:
        fail(f"the database does not answer: {_reason(error)}")


def warn_without_tables(settings: Settings) -> None:
    """Say what is wrong with the tables, if anything; an API may start before its database does, /readyz tells."""
    try:
        if not _has_tables(settings):
            say(f"warning: {_MIGRATE_FIRST}")
    except DatabaseError as error:
        say(f"warning: the database does not answer: {_reason(error)}")


def _has_tables(settings: Settings) -> bool:
    database = Database(settings.url, pool_size=1)
    try:
        with database.read() as connection:
            return is_at_head(connection)
    finally:
        database.dispose()


def _reason(error: DatabaseError) -> str:
    """Return what the driver said, on one line."""
    return " ".join(reason_of(error).split())
