"""Lists as the service pages them: read as far as is asked for, kept, and made into tables of pandas and polars."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from stepsize.client.answers import Answer

if TYPE_CHECKING:
    import pandas
    import polars

A = TypeVar("A", bound=Answer)
_SHOWN = 20


class Rows(Sequence[A]):
    """The items of a list. They are fetched page after page, as they are asked for, and once: what was read stays."""

    def __init__(self, items: Iterable[A]) -> None:
        self._rest = iter(items)
        self._read: list[A] = []
        self._is_whole = False
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[A]:
        at = 0
        while self._has(at):
            yield self._read[at]
            at += 1

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, at: int) -> A: ...
    @overload
    def __getitem__(self, at: slice) -> list[A]: ...
    def __getitem__(self, at: int | slice) -> A | list[A]:
        if isinstance(at, int) and at >= 0:
            self._has(at)
            return self._read[at]
        return self._all()[at]

    def __repr__(self) -> str:
        return _line(self._read, is_whole=self._is_whole)

    def _repr_html_(self) -> str:
        return _table(list(islice(self, _SHOWN)), has_more=self._has(_SHOWN))

    def to_pandas(self) -> "pandas.DataFrame":
        """Return all items as a pandas frame, with a column `params.NAME` and `values.NAME` each.

        Raises:
            ImportError: pandas isn't installed.
        """
        return _pandas(self._all())

    def to_polars(self) -> "polars.DataFrame":
        """Return all items as a polars frame, columns as for `to_pandas`.

        Raises:
            ImportError: polars isn't installed.
        """
        return _polars(self._all())

    def _has(self, at: int) -> bool:
        """Read as far as that, and return whether there is one."""
        while len(self._read) <= at and not self._is_whole:
            if self._error is not None:  # what broke off is not taken for whole when it is read again
                raise self._error
            try:
                self._read.append(next(self._rest))
            except StopIteration:
                self._is_whole = True
            except Exception as error:
                self._error = error
                raise
        return at < len(self._read)

    def _all(self) -> list[A]:
        for _ in self:
            pass
        return self._read


class AsyncRows(Generic[A]):
    """As `Rows`, but read with `async for`; its frames are awaited."""

    def __init__(self, items: AsyncIterator[A]) -> None:
        self._rest = items
        self._read: list[A] = []
        self._is_whole = False
        self._error: Exception | None = None
        self._reading = asyncio.Lock()

    async def __aiter__(self) -> AsyncIterator[A]:
        at = 0
        while await self._has(at):
            yield self._read[at]
            at += 1

    def __repr__(self) -> str:
        return _line(self._read, is_whole=self._is_whole)

    async def to_pandas(self) -> "pandas.DataFrame":
        """Return all items as a pandas frame; see `Rows.to_pandas`."""
        return _pandas([item async for item in self])

    async def to_polars(self) -> "polars.DataFrame":
        """Return all items as a polars frame; see `Rows.to_polars`."""
        return _polars([item async for item in self])

    async def _has(self, at: int) -> bool:
        async with self._reading:  # of two tasks that read the same list, one asks for the next page
            while len(self._read) <= at and not self._is_whole:
                if self._error is not None:
                    raise self._error
                try:
                    self._read.append(await anext(self._rest))
                except StopAsyncIteration:
                    self._is_whole = True
                except Exception as error:
                    self._error = error
                    raise
        return at < len(self._read)


def flat(items: Iterable[Answer]) -> list[dict[str, object]]:
    """Return items as rows with the same columns each: an object's fields become `name.field`."""
    rows = [_flat(item.model_dump()) for item in items]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in columns} for row in rows]


def _flat(fields: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    row: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            row |= _flat(value, f"{prefix}{name}.")
        else:
            row[f"{prefix}{name}"] = value
    return row


def _line(read: Sequence[Answer], *, is_whole: bool) -> str:
    """Return e.g. `<Rows, 12: <Trial 0 …>, <Trial 1 …>, …>`; it asks for nothing."""
    if not read:
        return "<Rows, none>" if is_whole else "<Rows, not read yet: loop over them, or make a frame with to_pandas()>"
    n = f"{len(read)}" if is_whole else f"{len(read)} read so far"
    more = ", …" if len(read) > 2 or not is_whole else ""
    return f"<Rows, {n}: {', '.join(map(repr, read[:2]))}{more}>"


def _table(shown: Sequence[Answer], *, has_more: bool) -> str:
    rows = flat(shown)
    if not rows:
        return "none"
    names = [name for name in rows[0] if any(row[name] not in (None, [], {}) for row in rows)]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(row[name]))}</td>" for name in names) + "</tr>" for row in rows)
    more = f"<small>the first {len(rows)}; all with to_pandas()</small>" if has_more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _pandas(items: Sequence[Answer]) -> "pandas.DataFrame":
    frame: pandas.DataFrame = _library("pandas").DataFrame(flat(items))
    return frame


def _polars(items: Sequence[Answer]) -> "polars.DataFrame":
    # All rows decide the types: a metric that is whole in the first hundred need not be in the next.
    frame: polars.DataFrame = _library("polars").DataFrame(flat(items), infer_schema_length=None)
    return frame


def _library(name: str):  # type: ignore[no-untyped-def]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"a {name} frame needs {name}: pip install {name}", name=error.name) from None
