"""Which form of an answer a client takes (`Accept`), and whether it has it already (`If-None-Match`)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from stepsize import __version__
from stepsize.asking.questions import Question


def preferred_type(accept: str, offered: Sequence[str]) -> str:
    """Return the offered media type that an `Accept` header likes best; the first offered one where it has no opinion.

    Raises:
        HTTPException: 406, it takes none of them.
    """
    ranges = list(_ranges(accept)) or [("*/*", 1.0)]
    liked = [(_quality(ranges, kind), -index, kind) for index, kind in enumerate(offered)]
    quality, _, kind = max(liked)
    if quality <= 0:
        raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"this comes as {', '.join(offered)} only")
    return kind


def tag_of(question: Question, changes: Sequence[int]) -> str:
    """Return the entity tag of an answer: the same question at the same changes, answered by the same version."""
    seen = f"{__version__} {question!r} {changes!r}"
    return f'W/"{hashlib.blake2b(seen.encode(), digest_size=12).hexdigest()}"'


def is_current(request: Request, tag: str) -> bool:
    """Tell whether the client has this answer already."""
    return holds(tag, request.headers.get("if-none-match", ""))


def holds(tag: str, if_none_match: str) -> bool:
    """Tell whether a client that sent this `If-None-Match` has what the tag names; weak and strong ones are alike."""
    known = {one.strip().removeprefix("W/") for one in if_none_match.split(",") if one.strip()}
    return bool(known & {tag.removeprefix("W/"), "*"})


def not_modified(tag: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a client that has it."""
    mine = {"ETag": tag, "Cache-Control": "no-cache"}
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**(headers or {}), **mine})


def preferred_encoding(accept_encoding: str, offered: Sequence[str]) -> str | None:
    """Return the content coding to use, the first offered of those liked best; None: as it is.

    A client that doesn't speak of a coding doesn't take it, whatever RFC 9110 would let it be sent.
    """
    liked = dict(_ranges(accept_encoding))
    others = liked.get("*", 0.0)
    quality, _, coding = max((liked.get(coding, others), -index, coding) for index, coding in enumerate(offered))
    return coding if quality > 0 else None


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if kind:
            yield kind, next((_number(one[2:]) for one in parameters if one.startswith("q=")), 1.0)


def _quality(ranges: Sequence[tuple[str, float]], kind: str) -> float:
    """Return how much a media type is liked; the most specific range that matches it decides."""
    family = kind.partition("/")[0] + "/*"
    for wanted in (kind, family, "*/*"):
        found = [quality for name, quality in ranges if name == wanted]
        if found:
            return max(found)
    return 0.0


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
