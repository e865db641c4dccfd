"""The database: connections, transactions, and the few places where SQLite and PostgreSQL differ.

Whoever uses the store takes its names from here and knows nothing of SQLAlchemy: `Connection` is an open transaction,
`DatabaseError` whatever a statement or a connection raises.
"""

import errno
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from pydantic_core import from_json
from sqlalchemy import Connection, Double, Engine, Select, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.exc import SQLAlchemyError as DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = [
    "Connection",
    "Database",
    "DatabaseError",
    "StorageTrouble",
    "db_now",
    "is_transient",
    "reason_of",
    "storage_trouble",
]

_BUSY_TIMEOUT_MS = 30_000
_REST_S = 1.0
"""After this long without use a connection to PostgreSQL may be dead."""
_PROBE_BYTES = 64 * 1024
"""Room a database is to have left."""


class db_now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock in Unix seconds: the only judge of whether a lease has expired."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(element: object, compiler: object, **kw: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(element: object, compiler: object, **kw: object) -> str:
    # Not now(): that is the start of the transaction, which may have waited for a lock.
    return "extract(epoch FROM clock_timestamp())::double precision"


class Database:
    """One engine and its transactions. Share one a process; connections are pooled."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine = _create_engine(url, pool_size=pool_size)
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self._picks: dict[Select[Any], SQLCompiler] = {}
        self._writing = self.engine.execution_options(stepsize_write=True)
        self._reading = self.engine
        self._glancing = self.engine.execution_options(stepsize_glance=True)
        if self.is_postgresql:  # SQLite's transactions see one moment anyway
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._glancing = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One read-write transaction: committed at the end, rolled back on an exception.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE): a transaction that reads first and writes later
        would otherwise fail with SQLITE_BUSY instead of waiting.
        """
        with self._writing.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One read-only transaction: all its statements see the same moment, a job and its trials fit together."""
        with self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def glance(self) -> Iterator[Connection]:
        """A connection to read one statement on: that sees one moment by itself, and no transaction begins or ends."""
        with self._glancing.connect() as connection:
            yield connection

    def pick(self, statement: Select[Any], parameters: Mapping[str, object]) -> Sequence[Any] | None:
        """Return the first row of one statement, in a transaction of its own, or None; columns as the driver has them.

        It goes past SQLAlchemy's connections and results, which are most of what the smallest of reads costs. What goes
        wrong is tried again in the usual way, which finds a new connection or says what is wrong.
        """
        if (compiled := self._picks.get(statement)) is None:
            compiled = self._picks[statement] = statement.compile(dialect=self.engine.dialect)
        named = compiled.construct_params(parameters)
        values = named if compiled.positiontup is None else [named[name] for name in compiled.positiontup]
        try:
            rows = self._rows_of(compiled.string, values)
        except (sqlite3.Error, psycopg.Error):
            with self.glance() as connection:
                rows = connection.execute(statement, parameters).all()
        return rows[0] if rows else None

    def _rows_of(self, sql: str, values: object) -> Sequence[Sequence[Any]]:
        with closing(self.engine.raw_connection()) as pooled:
            connection: Any = pooled.driver_connection
            if self.is_postgresql:
                connection.autocommit = True
            rows: Sequence[Sequence[Any]] = connection.execute(sql, values).fetchall()
            if self.is_postgresql:
                connection.autocommit = False
            return rows

    def trouble(self) -> "StorageTrouble | None":
        """Return what keeps SQLite's file from being written, by writing another beside it; None: nothing.

        PostgreSQL's disk is its own affair: a write tells.
        """
        path = self.engine.url.database
        if self.is_postgresql or not path:
            return None
        try:
            with tempfile.TemporaryFile(dir=Path(path).parent, buffering=0) as probe:
                probe.write(bytes(_PROBE_BYTES))
        except OSError as error:
            return file_trouble(error) or StorageTrouble.UNWRITABLE
        return None if os.access(path, os.W_OK) else StorageTrouble.UNWRITABLE

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


class StorageTrouble(StrEnum):
    """What keeps a database from being written until somebody mends it."""

    FULL = "full"
    UNWRITABLE = "unwritable"


def file_trouble(error: OSError) -> StorageTrouble | None:
    """Return what keeps a file from being written, where that is what the system says."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageTrouble.FULL
    return StorageTrouble.UNWRITABLE if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) else None


_TROUBLES = {
    sqlite3.SQLITE_FULL: StorageTrouble.FULL,
    sqlite3.SQLITE_IOERR: StorageTrouble.FULL,  # what it mostly says where its log can't grow
    sqlite3.SQLITE_READONLY: StorageTrouble.UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: StorageTrouble.UNWRITABLE,
    sqlite3.SQLITE_PERM: StorageTrouble.UNWRITABLE,
}
_PRIMARY_CODE = 0xFF
"""SQLite's extended codes say more in the higher bytes."""
_POSTGRES_TROUBLES = {"53100": StorageTrouble.FULL, "25006": StorageTrouble.UNWRITABLE}
"""By SQLSTATE: disk_full, read_only_sql_transaction."""


def storage_trouble(error: DatabaseError) -> StorageTrouble | None:
    """Return what is wrong with the database's disk, if that is what an error says."""
    orig = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(orig, sqlite3.Error):
        return _TROUBLES.get(getattr(orig, "sqlite_errorcode", 0) & _PRIMARY_CODE)
    return _POSTGRES_TROUBLES.get(getattr(orig, "sqlstate", None) or "")


def is_transient(error: DatabaseError) -> bool:
    """Tell whether the same transaction may succeed when tried again.

    The server restarts, a lock was busy, or the disk is full until somebody makes room.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    if storage_trouble(error) is not None:
        return True
    if isinstance(error.orig, sqlite3.OperationalError):  # which also says "no such table"
        return _is_busy(error.orig)
    return isinstance(error, OperationalError) or error.connection_invalidated


def _is_busy(error: BaseException) -> bool:
    return any(word in str(error) for word in ("locked", "busy"))


def reason_of(error: DatabaseError) -> str:
    """Return what went wrong in the driver's own words, without the statement."""
    return str(error.orig if isinstance(error, DBAPIError) else error)


def _create_engine(url: str, *, pool_size: int) -> Engine:
    # A page of 50 trials has 250 documents: pydantic's parser takes an eighth of the time that Python's own takes.
    engine = create_engine(url, pool_size=pool_size, max_overflow=pool_size, json_deserializer=from_json)
    if not url.startswith("sqlite"):
        event.listen(engine, "checkout", _ping_if_rested)
        event.listen(engine, "checkin", _note_rest)
        return engine
    if engine.url.database:
        Path(engine.url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection: Any, record: object) -> None:
    dbapi_connection.isolation_level = None  # the driver's own BEGIN comes too late and is never IMMEDIATE
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous = FULL")  # an answered commit survives power loss
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    # SQLite does not wait for this lock, whatever the busy timeout: processes that open a new file at once would fail.
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("stepsize_glance", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("stepsize_write", False) else "BEGIN")


def _note_rest(dbapi_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["rests_since"] = time.monotonic()


def _ping_if_rested(dbapi_connection: Any, record: ConnectionPoolEntry, proxy: object) -> None:
    """See whether a pooled connection still lives, unless it was used just now; a dead one is made anew.

    SQLAlchemy's own `pool_pre_ping` asks the server each time: a third of what a short transaction costs. No server
    restarts within a second.
    """
    now = time.monotonic()
    if now - record.info.get("rests_since", now) < _REST_S:
        return
    try:
        dbapi_connection.execute("SELECT 1")
        dbapi_connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error
