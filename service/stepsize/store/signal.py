"""How a process notices that another has written: at once on PostgreSQL, on SQLite within 20 ms, or 3 in a hurry."""

import time
from typing import Protocol

import psycopg

from stepsize.store.database import Database
from stepsize.store.statements import CHANNEL

_SQLITE_LOOK_S = 0.02
_SQLITE_LOOK_EAGERLY_S = 0.003
_ALERT_S = 2.0
"""To look eagerly is a hundredth of a core: it ends this long after a commit."""
_RECONNECT_S = 0.5


class ChangeSignal(Protocol):
    """Waits for a commit by anyone. One a thread; spurious wake-ups are allowed, missed ones are not."""

    def wait(self, timeout_s: float, *, eagerly: bool = False) -> bool:
        """Wait for a commit since the last call; False: none within `timeout_s` seconds.

        Args:
            eagerly: somebody waits for each commit: after one, the next is looked out for more closely.
        """

    def close(self) -> None:
        """Free the connection."""


def open_signal(database: Database) -> ChangeSignal:
    """Return the signal that fits the database."""
    return PostgresSignal(database) if database.is_postgresql else SqliteSignal(database)


class SqliteSignal:
    """Looks at `PRAGMA data_version`, which rises with every commit of another connection: microseconds a look."""

    def __init__(self, database: Database) -> None:
        self._connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._seen = self._version()
        self._alert_until = 0.0

    def wait(self, timeout_s: float, *, eagerly: bool = False) -> bool:
        deadline = time.monotonic() + timeout_s
        while (version := self._version()) == self._seen:
            if time.monotonic() >= deadline:
                return False
            is_alert = eagerly and time.monotonic() < self._alert_until
            time.sleep(_SQLITE_LOOK_EAGERLY_S if is_alert else _SQLITE_LOOK_S)
        self._seen = version
        self._alert_until = time.monotonic() + _ALERT_S
        return True

    def close(self) -> None:
        self._connection.close()

    def _version(self) -> int:
        cursor = self._connection.connection.cursor()
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        cursor.close()
        return int(version)


class PostgresSignal:
    """Listens for NOTIFY on a connection of its own, and connects again when the server has restarted."""

    def __init__(self, database: Database) -> None:
        self._url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def wait(self, timeout_s: float, *, eagerly: bool = False) -> bool:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True)
                self._connection.execute(f"LISTEN {CHANNEL}")
                return True  # something may have happened while nobody listened
            return any(True for _ in self._connection.notifies(timeout=timeout_s, stop_after=1))
        except psycopg.OperationalError:
            self.close()
            time.sleep(min(timeout_s, _RECONNECT_S))
            return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
