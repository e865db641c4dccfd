"""How `Client` speaks HTTP: one connection to one service."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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


class Connection:
    """One service, spoken to.

    Args:
        base_url: where the service is, without `/v1`.
        transport: replaces the network in tests.
        sleep: replaces the pauses between retries in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url
        self.sleep = sleep
        self._http = httpx.Client(transport=transport, timeout=TIMEOUT, trust_env=trusts_environment(base_url))

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def send(self, call: Call[R]) -> R:
        """Send a call, again while that may help, and return its value.

        Raises:
            ApiError: the service refused.
            ServerUnreachableError: none answers.
        """
        return read(self.base_url, call, self.response(call))

    def items(self, listing: Listing[A]) -> Iterator[A]:
        """Yield the items of a list, page after page."""
        n_before, page_token = 0, None
        while (call := listing.page(page_token, n_before)) is not None:
            page = self.send(call)
            yield from listing.items(page)
            n_before += len(page.items)
            page_token = page.next_page_token
            if page_token is None:
                return

    def response(self, call: Call[R]) -> httpx.Response:
        """Send a call, again while that may help, and return the service's last answer, a refusal too.

        Raises:
            ServerUnreachableError: none answers.
        """
        request = request_of(self._http, self.base_url, call)
        retries = Retries(self.base_url, is_repeatable=call.is_repeatable)
        while True:
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                self.sleep(retries.after_error(error))
                continue
            pause = retries.after_answer(response)
            if pause is None:
                return response
            self.sleep(pause)

    @contextmanager
    def stream(
        self, path: str, *, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Open an answer that comes piece by piece; it is not asked for twice.

        Raises:
            ApiError: the service refused.
            httpx.TransportError: the connection broke.
        """
        url = url_of(self.base_url, path)
        with self._http.stream(
            "GET", url, params=dict(query or {}), headers=headers, timeout=STREAM_TIMEOUT
        ) as response:
            if response.is_error:
                response.read()
                refuse_errors(response)
            yield response

    def send_file(self, path: str, file: Path, query: Mapping[str, str]) -> httpx.Response:
        """Post a file; it is streamed, so it can't be sent a second time.

        Raises:
            ApiError: the service refused.
            ServerUnreachableError: none answers.
        """
        headers = {"Content-Type": "application/octet-stream"}
        url = url_of(self.base_url, path)
        with file.open("rb") as content, self.unreachable():
            response = self._http.post(url, params=query, content=content, headers=headers, timeout=UPLOAD_TIMEOUT)
        refuse_errors(response)
        return response

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Turn a broken connection into `ServerUnreachableError`."""
        try:
            yield
        except httpx.TransportError as error:
            raise unreachable(self.base_url, error) from error
