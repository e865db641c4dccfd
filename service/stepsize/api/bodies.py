"""Bodies and queries, read more strictly than JSON and FastAPI do: what no database can keep is refused at the edge."""

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from stepsize.api.validation import unknown_names
from stepsize.application.pointers import pointer
from stepsize.domain.said import is_text
from stepsize.errors import FieldError, InvalidRequestError

_LARGEST_INT = 2**63 - 1


async def strict_body(request: Request) -> None:
    """Refuse strings with NUL or lone surrogates, and whole numbers beyond 64 bits, wherever they stand in the body."""
    if request.method not in ("POST", "PATCH"):
        return
    errors = list(_unstorable(_parsed(await request.body())))
    if errors:
        raise InvalidRequestError(errors)


async def body_hash(request: Request) -> str:
    """Return what tells bodies apart: equal for the same JSON however it is written."""
    body = await request.body()
    canonical = json.dumps(_parsed(body), sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(canonical).hexdigest()


async def known_query(request: Request) -> None:
    """Refuse query parameters the endpoint doesn't have."""
    dependant: Dependant | None = getattr(request.scope.get("route"), "dependant", None)
    known = [] if dependant is None else list(_query_names(dependant))
    if errors := list(unknown_names(list(request.query_params), known)):
        raise InvalidRequestError(errors)


STRICT = [Depends(strict_body)]
STRICT_QUERY = [*STRICT, Depends(known_query)]

BodyHash = Annotated[str, Depends(body_hash)]


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):  # FastAPI tells the client, where the endpoint reads the body at all
        return body.hex()


def _unstorable(value: object, *path: str | int) -> Iterator[FieldError]:
    match value:
        case str() if not is_text(value):
            yield FieldError(pointer(*path), "text can't hold the NUL character or half a surrogate pair")
        case int() if abs(value) > _LARGEST_INT:
            yield FieldError(pointer(*path), "whole numbers must fit in 64 bits")
        case dict():
            for key, member in value.items():
                if is_text(key):
                    yield from _unstorable(member, *path, key)
                else:
                    yield FieldError(pointer(*path), "names can't hold the NUL character or half a surrogate pair")
        case list():
            for index, member in enumerate(value):
                yield from _unstorable(member, *path, index)


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)
