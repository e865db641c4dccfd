"""`python -m stepsize_workers.health` exits 0 when a worker on this host was seen within its lease.

For the health check of a worker's container: a worker listens nowhere, its record tells.
"""

import socket
import sys

from stepsize.settings import Settings
from stepsize.store.database import Database
from stepsize.store.workers import list_workers


def is_healthy(database: Database, *, host: str, lease_s: float) -> bool:
    """Tell whether the record has a live worker on `host`."""
    with database.read() as connection:
        return any(worker.alive for worker in list_workers(connection, lease_s=lease_s) if worker.host == host)


def main() -> int:
    """Return the exit code."""
    settings = Settings()
    database = Database(settings.url, pool_size=1)
    try:
        return 0 if is_healthy(database, host=socket.gethostname(), lease_s=settings.lease_s) else 1
    finally:
        database.dispose()


if __name__ == "__main__":
    sys.exit(main())
