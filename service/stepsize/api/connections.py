"""HTTP connections that don't outstay: half a request, or a reader that stopped reading, gives its place up.

Neither holds a thread: uvicorn waits for bytes on its event loop, and streams are asked for their next part only when
the socket has taken the last one. But each holds memory and a place among the open files, for as long as it likes.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 5.0
"""How long the head of a request may take, from the connection's beginning or the head's first byte."""
BODY_S = 20.0
"""How often it is looked whether enough of a body has come; `BODY_BYTES` must have come in between."""
BODY_BYTES = 20 * 1024
STALL_S = 60.0
"""How long a reader may take nothing of an answer."""
HEAD_BYTES = 64 * 1024
"""How long a head may be; the parser knows no limit of its own."""


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with an end to its patience."""

    head_s = HEAD_S
    body_s = BODY_S
    stall_s = STALL_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_head_timer()
        self._stop_body_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in bytes; the clock of a head runs on until it is complete."""
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """Note the first byte of a head."""
        super().on_message_begin()
        if self._head_timer is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        """Note that the head is complete: from here on the application decides."""
        self._stop_head_timer()
        super().on_headers_complete()
        self._start_body_timer()

    def on_body(self, body: bytes) -> None:
        """Take in a part of a body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._stop_body_timer()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Note that the reader takes nothing for now."""
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it reads again."""
        super().resume_writing()
        self._stop_stall_timer()

    def _start_head_timer(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_s, self._give_up_on_head)

    def _give_up_on_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_head_timer()  # an answer is under way, and half a head behind it costs no place of its own
        else:
            self.transport.close()

    def _start_body_timer(self) -> None:
        self._stop_body_timer()
        self._body_bytes = 0
        self._body_timer = self.loop.call_later(self.body_s, self._look_at_body)

    def _look_at_body(self) -> None:
        if self.flow.read_paused or self._body_bytes >= BODY_BYTES:  # it is we who have not read on, or it comes along
            self._start_body_timer()
        else:
            self._body_timer = None
            self.transport.close()

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
