"""What can be read of a body that is wrong in parts, so that all that is wrong with it is named in one answer."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError

from stepsize.api.dependencies import Site
from stepsize.api.validation import schema_of, walk
from stepsize.application import range_tests, submission
from stepsize.application.catalogue import Catalogue, load_catalogue
from stepsize.application.pointers import pointer
from stepsize.errors import FieldError
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec

_MOST_ROUNDS = 20
_Path = tuple[str | int, ...]


def further_errors(request: Request, body: object) -> list[FieldError]:
    """Return what else is wrong with a body that could not be read, beside what reading it has told.

    Only what holds whatever the unreadable fields were meant to be: names that nothing has, values that nothing takes.
    """
    model = _body_model(request)
    check = _CHECKS.get(model) if model is not None else None
    if model is None or check is None or not isinstance(body, dict):
        return []
    document, removed = copy.deepcopy(body), set[_Path]()
    rest = _readable(model, document, removed)
    if rest is None or ("engine",) in removed:  # what a trainer is, the engine says
        return []
    site: Site = request.app.state.site
    with site.database.read() as connection:
        catalogue = load_catalogue(connection, lease_s=site.settings.lease_s)
    gone = [pointer(*path) for path in removed]
    errors = check(rest, catalogue)
    return [error for error in errors if not any(_is_within(error.pointer, other) for other in gone)]


def _readable(model: type[BaseModel], document: dict[str, Any], removed: set[_Path]) -> Any:
    """Return the body without what makes it unreadable, noting what was taken out; None: nothing can be read."""
    for _ in range(_MOST_ROUNDS):
        try:
            return model.model_validate(document)
        except ValidationError as error:
            paths = [_removable(model, wrong["loc"], is_missing=wrong["type"] == "missing") for wrong in error.errors()]
        if () in paths:
            return None
        for path in paths:
            _remove(document, path)
            removed.add(path)
    return None


def _removable(model: type[BaseModel], loc: Sequence[str | int], *, is_missing: bool) -> _Path:
    """Return what must go for an error to go: the field; what lacks a field; the list around a wrong entry."""
    path, _ = walk(schema_of(model), loc)
    kept = path[:-1] if is_missing else path
    numbers = [index for index, part in enumerate(kept) if isinstance(part, int)]
    return tuple(kept[: numbers[0]] if numbers else kept)


def _remove(document: dict[str, Any], path: _Path) -> None:
    at: Any = document
    for part in path[:-1]:
        at = at.get(part) if isinstance(at, dict) else None
    if isinstance(at, dict):
        at.pop(path[-1], None)


def _is_within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer + "/")


def _body_model(request: Request) -> type[BaseModel] | None:
    field = getattr(request.scope.get("route"), "body_field", None)
    annotation = None if field is None else field.field_info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


_CHECKS: Mapping[type[BaseModel], Callable[[Any, Catalogue], list[FieldError]]] = {
    JobSpec: submission.certain_errors,
    RangeTestSpec: range_tests.certain_errors,
}
"""Body → what is certainly wrong with what could be read of it."""
