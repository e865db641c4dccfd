"""An Optuna storage, opened as it is: Optuna itself makes what is not there, the file, and its tables anywhere."""

import json
from pathlib import Path

import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from stepsize.studies.past import StudyError

_SQLITE = b"SQLite format 3\x00"
_TABLES = frozenset({"studies", "trials", "version_info"})
_EXAMPLE = "such as sqlite:///study.db or postgresql://user@host/database"


def open_storage(given: str) -> tuple[BaseStorage, str]:
    """Return the storage, and what to call it: without its password.

    Args:
        given: a URL as Optuna takes it (`sqlite:///study.db`), or the path of a journal file.

    Raises:
        StudyError: there is none, or it is none of Optuna's.
    """
    if "://" not in given:
        return _open_journal(Path(given)), given
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise StudyError(f"{given!r} is no URL {_EXAMPLE}") from None
    called = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        _require_file(url, called)
    _require_tables(url, called)
    return RDBStorage(given, skip_table_creation=True), called


def _open_journal(path: Path) -> JournalStorage:
    if path.is_dir():
        raise StudyError(f"{path} is a directory; name the journal file in it")
    if not path.is_file():
        raise StudyError(f"there is no file {path}, and it is no URL {_EXAMPLE}")
    try:
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
            line = head + file.readline()
    except OSError as error:
        raise StudyError(f"{path} can't be read: {error.strerror or error}") from None
    if head == _SQLITE:
        raise StudyError(f"{path} is a file of SQLite's; name it sqlite:///{path}")
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or "op_code" not in entry:
        raise StudyError(f"{path} is no journal of Optuna's: its first line is no entry of one")
    return JournalStorage(JournalFileBackend(str(path)))


def _require_file(url: URL, called: str) -> None:
    if not url.database or url.database == ":memory:":
        raise StudyError(f"{called} names no file; name one, {_EXAMPLE}")
    path = Path(url.database)
    if not path.is_file():
        raise StudyError(f"{called}: {path} is a directory" if path.is_dir() else f"{called}: there is no file {path}")


def _require_tables(url: URL, called: str) -> None:
    try:
        engine = sqlalchemy.create_engine(url)
    except NoSuchModuleError:
        raise StudyError(
            f"{called}: no kind of database is called {url.drivername!r}; a storage is {_EXAMPLE}"
        ) from None
    except ModuleNotFoundError as error:
        raise StudyError(f"{called} needs the driver {error.name}, which is not installed") from None
    try:
        with engine.connect() as connection:
            found = sqlalchemy.inspect(connection).get_table_names()
    except SQLAlchemyError as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error)
        raise StudyError(f"{called} can't be read: {' '.join(said.split())}") from None
    finally:
        engine.dispose()
    if not set(found) >= _TABLES:
        raise StudyError(f"{called} is no storage of Optuna's: it has {_listed(found)}")


def _listed(tables: list[str]) -> str:
    return f"the tables {', '.join(sorted(tables)[:6])}" if tables else "no tables"
