"""Lists as tables: what pandas and polars make of the service's items."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

from stepsize.client.answers import Answer

if TYPE_CHECKING:
    import pandas
    import polars

A = TypeVar("A", bound=Answer)


class Rows(Generic[A]):
    """The items of a list, fetched as they are asked for; it is read once, as any iterator."""

    def __init__(self, items: Iterator[A]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[A]:
        return self._items

    def __next__(self) -> A:
        return next(self._items)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the items not read yet as a pandas frame, with a column `params.NAME` and `values.NAME` each.

        Raises:
            ImportError: pandas isn't installed.
        """
        frame: pandas.DataFrame = _library("pandas").DataFrame(flat(self._items))
        return frame

    def to_polars(self) -> "polars.DataFrame":
        """Return the items not read yet as a polars frame, columns as for `to_pandas`.

        Raises:
            ImportError: polars isn't installed.
        """
        # All rows decide the types: a metric that is whole in the first hundred need not be in the next.
        frame: polars.DataFrame = _library("polars").DataFrame(flat(self._items), infer_schema_length=None)
        return frame


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


def _library(name: str):  # type: ignore[no-untyped-def]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"a {name} frame needs {name}: pip install {name}", name=error.name) from None
