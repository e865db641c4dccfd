"""The database: connections, transactions, and the few places where SQLite and PostgreSQL differ.

Whoever uses the store takes its names from here and knows nothing of SQLAlchemy: `Connection` is an open transaction,
`DatabaseError` whatever a statement or a connection raises.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Double, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import SQLAlchemyError as DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["Connection", "Database", "DatabaseError", "db_now", "is_transient", "reason_of"]

_BUSY_TIMEOUT_MS = 30_000


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
        self._writing = self.engine.execution_options(stepsize_write=True)
        self._reading = self.engine
        if self.is_postgresql:  # SQLite's transactions see one moment anyway
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

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

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def is_transient(error: DatabaseError) -> bool:
    """Tell whether the same transaction may succeed when tried again: the server restarts, or a lock was busy."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    if isinstance(error.orig, sqlite3.OperationalError):  # which also says "no such table" and "disk full"
        return any(word in str(error.orig) for word in ("locked", "busy"))
    return isinstance(error, OperationalError) or error.connection_invalidated


def reason_of(error: DatabaseError) -> str:
    """Return what went wrong in the driver's own words, without the statement."""
    return str(error.orig if isinstance(error, DBAPIError) else error)


def _create_engine(url: str, *, pool_size: int) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)
    engine = create_engine(url, pool_size=pool_size, max_overflow=pool_size)
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
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("stepsize_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
