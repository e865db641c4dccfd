"""Idempotency keys: a request repeated with its key has its effect once.

The key is recorded in the transaction of the effect. A concurrent duplicate waits for that transaction: on PostgreSQL
at the unique index, on SQLite at the write lock.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from stepsize.clock import now
from stepsize.errors import IdempotencyConflictError
from stepsize.store.models import idempotency_keys as keys

KEEP_S = 86_400.0
_PURGED_AT_ONCE = 100
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True)
class RequestKey:
    """A client's key for one request: `scope` is the method and path, `body_hash` tells bodies apart."""

    scope: str
    key: str
    body_hash: str
    project: str = "default"


@dataclass(frozen=True)
class Outcome:
    """What the first request with a key did: its status and the resource it answered with."""

    status: int
    resource: str


def reserve_key(connection: Connection, request: RequestKey) -> Outcome | None:
    """Take the key for this transaction, or return what the request that had it did.

    Raises:
        IdempotencyConflictError: the key was used with another body.
    """
    _purge(connection)
    insert = _INSERT[connection.dialect.name](keys).values(
        project=request.project,
        scope=request.scope,
        key=request.key,
        body_hash=request.body_hash,
        status=0,
        resource="",
        created_at=now(),
    )
    if connection.execute(insert.on_conflict_do_nothing().returning(keys.c.key)).one_or_none():
        return None
    row = connection.execute(select(keys.c.body_hash, keys.c.status, keys.c.resource).where(*_is_key(request))).one()
    if row.body_hash != request.body_hash:
        raise IdempotencyConflictError(request.key)
    return Outcome(row.status, row.resource)


def record_outcome(connection: Connection, request: RequestKey, outcome: Outcome) -> None:
    """Note what the request that reserved the key did."""
    connection.execute(update(keys).where(*_is_key(request)).values(status=outcome.status, resource=outcome.resource))


def _is_key(request: RequestKey) -> tuple[ColumnElement[bool], ...]:
    return (keys.c.project == request.project, keys.c.scope == request.scope, keys.c.key == request.key)


def _purge(connection: Connection) -> None:
    # Locked rows are skipped: two requests that purge the same rows in another order would deadlock.
    names = (keys.c.project, keys.c.scope, keys.c.key)
    expired = (
        select(*names)
        .where(keys.c.created_at < now() - KEEP_S)
        .order_by(keys.c.created_at)
        .limit(_PURGED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    rows = [tuple(row) for row in connection.execute(expired)]
    if rows:
        connection.execute(delete(keys).where(tuple_(*names).in_(rows)))
