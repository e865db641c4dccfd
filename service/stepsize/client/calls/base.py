"""What a call is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import JsonValue

from stepsize.client.answers import Answer, Page
from stepsize.client.errors import WrongValueError

Query = Mapping[str, str | int | float | Sequence[str] | Sequence[int] | None]

LARGEST_PAGE = 500

R = TypeVar("R")
A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class Call(Generic[R]):
    """One request, and how its answer becomes a value.

    Attributes:
        path: below `/v1`; from the root where it begins with `//`.
        read: makes a value of a successful answer; it may raise pydantic's ValidationError.
        is_repeatable: saying it twice does what saying it once does, so that a lost answer may be asked for again.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], R]
    query: Query = field(default_factory=dict)
    body: JsonValue = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True


@dataclass(frozen=True)
class Listing(Generic[A]):
    """A list that comes in pages."""

    path: str
    model: type[A]
    query: Query = field(default_factory=dict)
    limit: int | None = None
    """Stop after this many; None: all."""

    def __post_init__(self) -> None:
        if self.limit is not None and not (isinstance(self.limit, Integral) and self.limit >= 0):
            said = "a whole number of at least 0 is expected, or None for all"
            raise WrongValueError(f"limit: {said}, not {self.limit!r}")

    def page(self, page_token: str | None, n_before: int) -> Call[Page] | None:
        """Return the call for the next page, or None where the limit is reached."""
        size = LARGEST_PAGE if self.limit is None else min(self.limit - n_before, LARGEST_PAGE)
        return get(Page, self.path, {**self.query, "limit": size, "page_token": page_token}) if size > 0 else None

    def items(self, page: Page) -> list[A]:
        """Return a page's items."""
        return [self.model.model_validate(item) for item in page.items]


def several(given: str | Sequence[str]) -> list[str]:
    """Return a list of texts; one alone is a list of one, and not of its letters."""
    return [given] if isinstance(given, str) else list(given)


def get(model: type[A], path: str, query: Query | None = None) -> Call[A]:
    """Return a GET whose answer is an object."""
    return Call("GET", path, of(model), query or {})


def get_items(model: type[A], path: str, query: Query | None = None) -> Call[list[A]]:
    """Return a GET whose answer is a list in one page."""
    return Call("GET", path, lambda response: _items(model, response), query or {})


def get_text(path: str, query: Query | None = None, *, accept: str = "*/*") -> Call[str]:
    """Return a GET whose answer is text."""
    return Call("GET", path, lambda response: response.text, query or {}, headers={"Accept": accept})


def get_bytes(path: str, query: Query | None = None) -> Call[bytes]:
    """Return a GET whose answer is a file."""
    return Call("GET", path, lambda response: response.content, query or {})


def post(model: type[A], path: str, body: JsonValue = None, *, key: str | None = None) -> Call[A]:
    """Return a POST with one effect, however often it is sent: it carries an `Idempotency-Key`."""
    return Call("POST", path, of(model), body=body, headers={"Idempotency-Key": key or str(uuid4())})


def say(model: type[A], path: str, body: JsonValue) -> Call[A]:
    """Return a POST that means the same when said twice, without a key: ask and tell."""
    return Call("POST", path, of(model), body=body)


def change(model: type[A], path: str, body: JsonValue) -> Call[A]:
    """Return a PATCH."""
    return Call("PATCH", path, of(model), body=body, is_repeatable=False)


def delete(path: str) -> Call[None]:
    """Return a DELETE; sent twice, the second would be told that there is nothing to delete."""
    return Call("DELETE", path, lambda response: None, is_repeatable=False)


def of(model: type[A]) -> Callable[[httpx.Response], A]:
    """Return what reads an answer as a model."""
    return lambda response: model.model_validate_json(response.content)


def part(value: str) -> str:
    """Return an id or a name as a part of a path.

    Raises:
        TypeError, WrongValueError: it can be neither.
    """
    if not isinstance(value, str):
        raise TypeError(f"an id or a name is a text, not {value!r}{its_id(value)}")
    if "/" in value:
        raise _nothing_called(value)
    return file_path(value)


def file_path(name: str) -> str:
    """Return the name of a file, which may lie in folders, as the rest of a path.

    Raises:
        WrongValueError: no file could have it.
    """
    segments = name.split("/")
    if not {"", ".", ".."}.isdisjoint(segments):
        raise _nothing_called(name)
    return "/".join(quote(segment, safe="") for segment in segments)


def _nothing_called(name: str) -> WrongValueError:
    return WrongValueError(f"{name!r} is no id or name that anything could have")


def its_id(value: object) -> str:
    """Return the question whether a thing's id was meant, to end a refusal with; nothing where it has none."""
    found = getattr(value, "id", None)
    return f"; did you mean its id, {found!r}?" if isinstance(found, str) else ""


def _items(model: type[A], response: httpx.Response) -> list[A]:
    page = Page.model_validate_json(response.content)
    return [model.model_validate(item) for item in page.items]
