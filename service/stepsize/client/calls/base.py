"""What a call is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import JsonValue

from stepsize.client.answers import Answer, Page

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

    def page(self, page_token: str | None, n_before: int) -> Call[Page] | None:
        """Return the call for the next page, or None where the limit is reached."""
        size = LARGEST_PAGE if self.limit is None else min(self.limit - n_before, LARGEST_PAGE)
        return get(Page, self.path, {**self.query, "limit": size, "page_token": page_token}) if size > 0 else None

    def items(self, page: Page) -> list[A]:
        """Return a page's items."""
        return [self.model.model_validate(item) for item in page.items]


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
    """Return a name as a part of a path."""
    return quote(value, safe="")


def _items(model: type[A], response: httpx.Response) -> list[A]:
    page = Page.model_validate_json(response.content)
    return [model.model_validate(item) for item in page.items]
