"""What surrounds every request: a last resort, a limit on bodies, and entity tags."""

import hashlib
import secrets
from collections.abc import Mapping
from http import HTTPStatus

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepsize.api.negotiation import holds
from stepsize.api.problems import problem

log = structlog.get_logger(__name__)


class LastResort:
    """Answers an unexpected error with a correlation id; the traceback goes to the log alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:  # the edge of the service: everything else has been handled
            if scope["type"] != "http":
                raise
            if isinstance(error, ClientDisconnect) or (started and _is_reader_gone(error)):
                return
            correlation_id = secrets.token_hex(8)
            log.error("request failed", path=scope["path"], correlation_id=correlation_id, exc_info=error)
            if not started:
                await _internal_error(scope, correlation_id)(scope, receive, send)


def _is_reader_gone(error: BaseException) -> bool:
    """Tell whether a client left in the middle of an event: FastAPI closes such a stream before what writes to it."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_reader_gone, error.exceptions))
    return isinstance(error, anyio.BrokenResourceError)


class BodyLimit:
    """Refuses bodies above a size, declared or not. Starlette's own limit answers in plain text."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, uploads: Mapping[str, int]) -> None:
        """Wrap an application.

        Args:
            uploads: paths whose bodies, never held in memory as a whole, have a limit of their own.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._uploads.get(scope["path"], self._max_bytes)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > most:
            await _too_large(scope, most)(scope, receive, send)
            return
        received = 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _limit_detail(most))
            return message

        await self._app(scope, counting_receive, send)


class EntityTags:
    """Gives every JSON answer to a GET an ETag, from its content unless the route gave one, and answers 304 to it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _TaggingSend(send, Headers(scope=scope).get("if-none-match", "")))


class _TaggingSend:
    """Holds a JSON answer back until its tag is known; anything else passes as it comes."""

    def __init__(self, send: Send, if_none_match: str) -> None:
        self._send = send
        self._if_none_match = if_none_match
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_taggable(message):
            self._start = message
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
        else:
            await self._send(message)

    async def _finish(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        tag = headers.setdefault("ETag", f'W/"{hashlib.blake2b(self._body, digest_size=12).hexdigest()}"')
        headers.setdefault("Cache-Control", "no-cache")
        if holds(tag, self._if_none_match):
            del headers["Content-Length"]
            del headers["Content-Type"]
            start["status"], self._body = HTTPStatus.NOT_MODIFIED.value, b""
        await self._send(start)
        await self._send({"type": "http.response.body", "body": self._body})


def _is_taggable(start: Message) -> bool:
    # Exactly so: JSON lines are a stream, never held in memory.
    media_type = Headers(raw=start["headers"]).get("content-type", "").partition(";")[0]
    return start["status"] == HTTPStatus.OK and media_type == "application/json"


def _internal_error(scope: Scope, correlation_id: str) -> ASGIApp:
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        title="Internal error",
        detail="something went wrong in the service; its log says what, under the correlation id",
        instance=scope["path"],
        members={"correlation_id": correlation_id},
    )


def _limit_detail(most: int) -> str:
    return f"a body has at most {most} bytes"


def _too_large(scope: Scope, most: int) -> ASGIApp:
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return problem(status, title=status.phrase.capitalize(), detail=_limit_detail(most), instance=scope["path"])
