"""Errors as problem documents (RFC 9457): the only place that knows which error is which HTTP status."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stepsize.api.salvage import further_errors
from stepsize.api.validation import field_errors
from stepsize.errors import (
    AnalysisUnavailableError,
    CatalogueEntryNotFoundError,
    DatasetConflictError,
    FieldError,
    Gathered,
    IdempotencyConflictError,
    InvalidRequestError,
    JobNotFoundError,
    LeaseLostError,
    RangeTestNotFoundError,
    StateConflictError,
    StepsizeError,
    TrialNotFoundError,
)
from stepsize.store.database import (
    DatabaseError,
    StorageTrouble,
    file_trouble,
    is_transient,
    reason_of,
    storage_trouble,
)

MEDIA_TYPE = "application/problem+json"

_PROBLEMS: dict[type[StepsizeError], tuple[HTTPStatus, str]] = {
    JobNotFoundError: (HTTPStatus.NOT_FOUND, "No such job"),
    TrialNotFoundError: (HTTPStatus.NOT_FOUND, "No such trial"),
    RangeTestNotFoundError: (HTTPStatus.NOT_FOUND, "No such range test"),
    CatalogueEntryNotFoundError: (HTTPStatus.NOT_FOUND, "No such entry"),
    StateConflictError: (HTTPStatus.CONFLICT, "State conflict"),
    IdempotencyConflictError: (HTTPStatus.CONFLICT, "Idempotency key reused"),
    DatasetConflictError: (HTTPStatus.CONFLICT, "Data set conflict"),
    LeaseLostError: (HTTPStatus.CONFLICT, "Lease lost"),
    InvalidRequestError: (HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid request"),
    AnalysisUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "Analysis unavailable"),
}
"""Error → status and title; a subclass without a row of its own takes its base's."""

_RETRY_AFTER_S = 1


def problem(
    status: int,
    *,
    title: str,
    detail: str,
    instance: str,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> Response:
    """Return a problem document as a response; `type` follows from the title."""
    kind = "urn:stepsize:" + re.sub(r"[^a-z0-9]+", "-", title.lower())
    document = {
        **(members or {}),
        "type": kind,
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": instance,
    }
    # ASCII: a lone surrogate in a client's own field name is echoed escaped instead of failing to encode.
    return Response(json.dumps(document).encode(), status, headers, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Let the app answer every expected error with a problem document."""
    app.add_exception_handler(StepsizeError, _answer_stepsize_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(DatabaseError, _answer_database_error)
    app.add_exception_handler(OSError, _answer_file_error)


def _answer_stepsize_error(request: Request, error: Exception) -> Response:
    status, title = next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)
    members = {name: value for name, value in vars(error).items() if name != "errors"}
    if isinstance(error, InvalidRequestError):
        members["errors"] = [asdict(wrong) for wrong in error.errors]
    return problem(status, title=title, detail=str(error), instance=request.url.path, members=members)


def _answer_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = Gathered()
    wrong.add(field_errors(error, request))
    wrong.add(further_errors(request, error.body))
    return _answer_stepsize_error(request, InvalidRequestError(wrong.errors))


def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI's word for a body that can't be decoded at all: bad UTF-8, an absurd number, too deep a nesting.
        return _answer_stepsize_error(request, InvalidRequestError([FieldError("", "the body is not readable JSON")]))
    status = HTTPStatus(error.status_code)
    detail = error.detail if error.detail != status.phrase else _DETAILS.get(status, status.description)
    return problem(
        status,
        title=status.phrase.capitalize(),
        detail=detail,
        instance=request.url.path,
        headers=error.headers,
    )


def storage_problem(
    trouble: StorageTrouble, *, instance: str, status: int, of: str = "the database", said: str = ""
) -> Response:
    """Return what there is to say of a disk that can't be written, and what to do about it.

    Args:
        of: what lies on the disk.
        said: the driver's own words, where there are any.
    """
    title, detail = _STORAGE[trouble]
    said = f" ({said})" if said else ""
    return problem(status, title=title, detail=detail.format(of=of) + said, instance=instance)


_STORAGE = {
    StorageTrouble.FULL: (
        "Storage full",
        "the disk of {of} is full and nothing was recorded; make room, and all goes on by itself",
    ),
    StorageTrouble.UNWRITABLE: (
        "Storage not writable",
        "{of} can't be written and nothing was recorded; let the service's user write to its file and folder",
    ),
}


_STORAGE_STATUS = {
    StorageTrouble.FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    StorageTrouble.UNWRITABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


def _answer_file_error(request: Request, error: Exception) -> Response:
    """Answer where a file of the data directory can't be written; whoever only reads meets a fault of the service."""
    trouble = file_trouble(error) if isinstance(error, OSError) and request.method == "POST" else None
    if trouble is None:
        raise error
    status, path = _STORAGE_STATUS[trouble], request.url.path
    return storage_problem(trouble, instance=path, status=status, of="the data directory")


def _answer_database_error(request: Request, error: Exception) -> Response:
    if not (isinstance(error, DatabaseError) and is_transient(error)):
        raise error
    trouble = storage_trouble(error)
    if trouble is not None:
        said = reason_of(error)
        return storage_problem(trouble, instance=request.url.path, status=_STORAGE_STATUS[trouble], said=said)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        title="Database unavailable",
        detail="the database does not answer; try again, a POST with the same Idempotency-Key",
        instance=request.url.path,
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )


_DETAILS = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path; see /docs",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not know the method; see the Allow header",
}
