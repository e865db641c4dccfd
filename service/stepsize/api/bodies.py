"""Bodies and queries, read more strictly than JSON and FastAPI do: what no database can keep is refused at the edge."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Annotated, get_args, get_origin

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from stepsize.api.validation import unknown_names
from stepsize.application.pointers import pointer
from stepsize.domain.said import is_text
from stepsize.errors import FieldError, InvalidRequestError

_LARGEST_INT = 2**63 - 1
_LONGEST_SHOWN = 100


async def strict_body(request: Request) -> None:
    """Refuse names given twice, and what no database keeps: NUL, lone surrogates, whole numbers beyond 64 bits."""
    if request.method not in ("POST", "PATCH"):
        return
    twice: list[str] = []
    parsed = _parsed(await request.body(), lambda pairs: _members(pairs, twice))
    errors = [FieldError("", f"{name!r} is given twice in one object; only one of them can be meant") for name in twice]
    errors += _unstorable(parsed)
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
    known = {} if dependant is None else dict(_query_fields(dependant))
    errors = list(unknown_names(list(request.query_params), list(known)))
    for name, takes_many in known.items():
        if not takes_many and len(request.query_params.getlist(name)) > 1:
            errors.append(FieldError(f"?{name}", f"{name} is given more than once; only one of them can be meant"))
    if errors:
        raise InvalidRequestError(errors)


STRICT = [Depends(strict_body)]
STRICT_QUERY = [*STRICT, Depends(known_query)]

BodyHash = Annotated[str, Depends(body_hash)]


def _parsed(body: bytes, members: Callable[[list[tuple[str, object]]], dict[str, object]] | None = None) -> object:
    try:
        return json.loads(body, object_pairs_hook=members) if body else None
    except (ValueError, RecursionError):  # FastAPI tells the client, where the endpoint reads the body at all
        return body.hex()


def _members(pairs: list[tuple[str, object]], twice: list[str]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice += sorted(name[:_LONGEST_SHOWN] for name in members if names.count(name) > 1)
    return members


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


def _query_fields(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield the name of each query parameter, and whether it may be repeated."""
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        yield field.alias, any(get_origin(one) is list for one in (annotation, *get_args(annotation)))
    for inner in dependant.dependencies:
        yield from _query_fields(inner)
