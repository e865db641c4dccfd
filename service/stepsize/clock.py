"""Time and identity. Times are Unix seconds in UTC inside, RFC 3339 at the edge; leases use the database's clock."""

import secrets
import time
from datetime import UTC, datetime


def now() -> float:
    """Return the current time in Unix seconds."""
    return time.time()


def rfc3339(unix_s: float) -> str:
    """Return a time as RFC 3339 in UTC with microseconds, e.g. `2026-11-03T09:30:00.000000Z`."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def new_id(prefix: str) -> str:
    """Return an opaque id that sorts by creation time to the millisecond."""
    return f"{prefix}_{int(now() * 1000):011x}{secrets.token_hex(5)}"
