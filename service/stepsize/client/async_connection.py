"""How `AsyncClient` speaks HTTP: as `Connection` does, and waits without a thread."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from stepsize.client.answers import Answer
from stepsize.client.calls.base import Call, Listing, Query
from stepsize.client.transport import (
    STREAM_TIMEOUT,
    TIMEOUT,
    UPLOAD_TIMEOUT,
    Retries,
    read,
    refuse_errors,
    request_of,
    trusts_environment,
    unreachable,
    url_of,
)

A = TypeVar("A", bound=Answer)
R = TypeVar("R")

_CHUNK_BYTES = 2**20


class AsyncConnection:
    """One service, spoken to; the arguments are those of `Connection`."""

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.base_url = base_url
        self.sleep = sleep
        self._http = httpx.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=trusts_environment(base_url))

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def send(self, call: Call[R]) -> R:
        """Send a call, again while that may help, and return its value; it raises as `Connection.send`."""
        return read(self.base_url, call, await self.response(call))

    async def items(self, listing: Listing[A]) -> AsyncIterator[A]:
        """Yield the items of a list, page after page."""
        n_before, page_token = 0, None
        while (call := listing.page(page_token, n_before)) is not None:
            page = await self.send(call)
            for item in listing.items(page):
                yield item
            n_before += len(page.items)
            page_token = page.next_page_token
            if page_token is None:
                return

    async def response(self, call: Call[R]) -> httpx.Response:
        """Send a call, again while that may help, and return the service's last answer, a refusal too."""
        request = request_of(self._http, self.base_url, call)
        retries = Retries(self.base_url, is_repeatable=call.is_repeatable)
        while True:
            try:
                response = await self._http.send(request)
            except httpx.TransportError as error:
                await self.sleep(retries.after_error(error))
                continue
            pause = retries.after_answer(response)
            if pause is None:
                return response
            await self.sleep(pause)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Open an answer that comes piece by piece; it is not asked for twice."""
        url = url_of(self.base_url, path)
        given = dict(query or {})
        async with self._http.stream("GET", url, params=given, headers=headers, timeout=STREAM_TIMEOUT) as response:
            if response.is_error:
                await response.aread()
                refuse_errors(response)
            yield response

    async def send_file(self, path: str, file: Path, query: Mapping[str, str]) -> httpx.Response:
        """Post a file; it is streamed, so it can't be sent a second time."""
        headers = {"Content-Type": "application/octet-stream"}
        url = url_of(self.base_url, path)
        with self.unreachable():
            response = await self._http.post(
                url, params=query, content=_chunks(file), headers=headers, timeout=UPLOAD_TIMEOUT
            )
        refuse_errors(response)
        return response

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Turn a broken connection into `ServerUnreachableError`."""
        try:
            yield
        except httpx.TransportError as error:
            raise unreachable(self.base_url, error) from error


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    """Yield a file piece by piece, read beside the event loop: disks can be slow."""
    with file.open("rb") as content:
        while chunk := await asyncio.to_thread(content.read, _CHUNK_BYTES):
            yield chunk
