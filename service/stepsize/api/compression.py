"""Text is sent compressed to clients that take it: gzip, or brotli for what is sent whole.

Streams are compressed as they go. Events are flushed one message at a time; since the compressor remembers what it has
sent, a row that is told again costs the bytes in which it differs. Files are flushed when there is enough of them.
"""

import zlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

import brotli
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepsize.api.negotiation import preferred_encoding

_LEAST_BYTES = 500
"""Less than this fits in one packet anyway."""
_BLOCKING_BYTES = 128 * 1024
"""To compress more than this takes longer than the other requests should wait: it is done in a thread."""
_TEXT_TYPES = frozenset(
    {"application/json", "application/jsonl", "application/problem+json", "application/javascript", "image/svg+xml"}
)
_EVENTS = "text/event-stream"


class Compressor(Protocol):
    """One body on its way, compressed piece by piece."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes:
        """Return all that has not been returned; more may follow."""

    def finish(self) -> bytes:
        """Return the end."""


class _Gzip:
    def __init__(self, *, level: int = 4, window_bits: int = 15) -> None:
        # 16 more: with the header and the checksum of a gzip file.
        self._deflate = zlib.compressobj(level, wbits=16 + window_bits, memLevel=window_bits - 7)
        self.compress = self._deflate.compress
        self.finish = self._deflate.flush

    def flush(self) -> bytes:
        return self._deflate.flush(zlib.Z_SYNC_FLUSH)


class _Brotli:
    def __init__(self, *, quality: int = 4) -> None:
        self._stream = brotli.Compressor(mode=brotli.MODE_TEXT, quality=quality, lgwin=18)
        self.compress: Callable[[bytes], bytes] = self._stream.process
        self.flush: Callable[[], bytes] = self._stream.flush
        self.finish: Callable[[], bytes] = self._stream.finish


def _for_events() -> Compressor:
    """A stream stays open for hours: to remember 16 KiB of what was sent, several rows, costs 130 KiB of memory."""
    return _Gzip(window_bits=14)


_WHOLE: dict[str, Callable[[], Compressor]] = {"br": _Brotli, "gzip": _Gzip}
_STREAMED: dict[str, Callable[[], Compressor]] = {"gzip": _for_events}


class Compression:
    """Compresses what is text and not compressed yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        accepted = Headers(scope=scope).get("accept-encoding", "")
        await self._app(scope, receive, _CompressingSend(send, accepted))


class _CompressingSend:
    """Decides with the head of an answer; what is not compressed passes as it comes."""

    def __init__(self, send: Send, accepted: str) -> None:
        self._send = send
        self._accepted = accepted
        self._start: Message | None = None
        self._compressor: Compressor | None = None
        self._flushes = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _media_type(message) == _EVENTS:
            self._flushes = True  # the head is sent at once: the first event may be long in coming
            self._choose(message, _STREAMED)
            await self._send(message)
        elif message["type"] == "http.response.start" and _is_text(message):
            self._start = message  # sent with the first piece of the body: a whole one says how long it has become
        elif message["type"] == "http.response.body" and (self._start or self._compressor):
            await self._pass_on(message)
        else:
            await self._send(message)

    async def _pass_on(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        start, self._start = self._start, None
        if start is not None and (more or len(body) >= _LEAST_BYTES):
            self._choose(start, _WHOLE)
        if self._compressor is not None:
            body = await self._compressed(self._compressor, body, more=more)
        if start is not None:
            if self._compressor is not None and not more:
                MutableHeaders(raw=start["headers"])["Content-Length"] = str(len(body))
            await self._send(start)
        if body or not more:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _choose(self, start: Message, makers: dict[str, Callable[[], Compressor]]) -> None:
        headers = MutableHeaders(raw=start["headers"])
        headers.add_vary_header("Accept-Encoding")
        coding = preferred_encoding(self._accepted, list(makers))
        if coding is None:
            return
        self._compressor = makers[coding]()
        headers["Content-Encoding"] = coding
        del headers["Content-Length"]
        del headers["Accept-Ranges"]
        if headers.get("ETag", "W/").startswith('"'):  # a strong tag promises the same bytes
            headers["ETag"] = f"W/{headers['ETag']}"

    async def _compressed(self, compressor: Compressor, body: bytes, *, more: bool) -> bytes:
        if len(body) > _BLOCKING_BYTES:
            compressed = await run_in_threadpool(compressor.compress, body)
        else:
            compressed = compressor.compress(body)
        if not more:
            return compressed + compressor.finish()
        return compressed + compressor.flush() if self._flushes else compressed


def _is_text(start: Message) -> bool:
    if start["status"] in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED, HTTPStatus.PARTIAL_CONTENT):
        return False
    media_type = _media_type(start)
    is_text = media_type.startswith("text/") or media_type in _TEXT_TYPES
    return is_text and "content-encoding" not in Headers(raw=start["headers"])


def _media_type(start: Message) -> str:
    return Headers(raw=start["headers"]).get("content-type", "").partition(";")[0]
