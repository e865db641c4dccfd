"""Keyset paging: a page begins after the last row of the one before, so inserts never shift or repeat rows.

Nulls come last in either direction, and so do rows that lack the key.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, false, literal, null, or_

from stepsize.domain.said import is_text
from stepsize.errors import FieldError, InvalidRequestError

Key = str | float | None
T = TypeVar("T")

_LARGEST_INT = 2**63 - 1
_WHERE_FROM = "leave it out for the first page, and give the next_page_token of each page to have the one after it"


class PageTokenError(InvalidRequestError):
    """The page token is none this listing gave out."""

    def __init__(self, message: str) -> None:
        super().__init__([FieldError("?page_token", message)])


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; `next_token` is None on the last."""

    items: Sequence[T]
    next_token: str | None


@dataclass(frozen=True)
class SortKey:
    """One expression rows are ordered by."""

    expression: ColumnElement[Any]
    kind: type[str] | type[float] | type[int]
    descending: bool = False

    @property
    def order(self) -> ColumnElement[Any]:
        ordered = self.expression.desc() if self.descending else self.expression.asc()
        return ordered.nulls_last()

    def after(self, value: Key) -> ColumnElement[bool]:
        """Return the condition of coming later in the order than `value`."""
        if value is None:
            return false()
        later = self.expression < value if self.descending else self.expression > value
        return or_(later, self.expression.is_(null()))

    def same(self, value: Key) -> ColumnElement[bool]:
        return self.expression.is_(null()) if value is None else self.expression == literal(value)


def fetch_page(
    connection: Connection,
    statement: Select[Any],
    keys: Sequence[SortKey],
    *,
    make: Callable[[Row[Any]], T],
    listing: str,
    limit: int,
    token: str | None,
) -> Page[T]:
    """Return one page of what `make` makes of the statement's rows.

    Args:
        keys: the order; the last ones must make it total.
        listing: names what is listed and how it is sorted; a token of another listing is refused.

    Raises:
        PageTokenError: the token is garbage, or of another listing.
    """
    if token is not None:
        statement = statement.where(_after(keys, decode_token(token, listing, [key.kind for key in keys])))
    n_columns = len(statement.selected_columns)
    labelled = [key.expression.label(f"sort_key_{index}") for index, key in enumerate(keys)]
    statement = statement.add_columns(*labelled).order_by(*(key.order for key in keys)).limit(limit + 1)
    found = connection.execute(statement).freeze()
    items = [make(row) for row in found().columns(*range(n_columns)).fetchmany(limit)]
    sorted_by = found().columns(*range(n_columns, n_columns + len(keys))).all()
    return Page(items, encode_token(listing, sorted_by[limit - 1]) if len(sorted_by) > limit else None)


def _after(keys: Sequence[SortKey], values: Sequence[Key]) -> ColumnElement[bool]:
    return or_(
        *(
            and_(*(key.same(value) for key, value in zip(keys[:index], values, strict=False)), keys[index].after(value))
            for index, value in enumerate(values)
        )
    )


def encode_token(listing: str, values: Sequence[Key]) -> str:
    """Return the token of the page that begins after the row with these keys."""
    document = json.dumps([listing, *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def decode_token(token: str, listing: str, kinds: Sequence[type]) -> list[Key]:
    """Return the keys in a token.

    Raises:
        PageTokenError: it is garbage, of another listing, or has keys of other kinds.
    """
    try:
        document = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise PageTokenError(f"this is no page token; {_WHERE_FROM}") from error
    if not isinstance(document, list) or len(document) != 1 + len(kinds) or document[0] != listing:
        raise PageTokenError(f"this page token is of another list or another sort; {_WHERE_FROM}")
    values = document[1:]
    if not all(_fits(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise PageTokenError(f"this is no page token; {_WHERE_FROM}")
    return values


def _fits(value: object, kind: type) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return kind is str and is_text(value)
    if isinstance(value, bool) or kind is str:
        return False
    if isinstance(value, int):
        return abs(value) <= _LARGEST_INT
    return kind is float and isinstance(value, float) and isfinite(value)
