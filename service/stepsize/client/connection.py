"""How the client speaks HTTP: one connection to one service, with retries, pages and the reading of answers.

Every call may be repeated safely: POSTs carry an `Idempotency-Key`, so a lost answer never means a second job (but for
ask and tell, which say the same when said twice).
Connection errors, 429 and 503 are therefore retried, with growing pauses.
"""

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import uniform
from typing import TypeVar
from uuid import uuid4

import httpx
from pydantic import JsonValue, ValidationError

from stepsize.client.answers import Answer, Page, Problem
from stepsize.client.errors import ApiError, ServerUnreachableError

Query = Mapping[str, str | int | Sequence[str] | None]

RETRIED_STATUSES = frozenset({429, 503})
_RETRY_PAUSES_S = (0.1, 0.2, 0.4)
_LONGEST_PAUSE_S = 30.0
_LARGEST_PAGE = 500
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_UPLOAD_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_STREAM_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""The service sends a comment every 15 s on an idle stream, so a silent minute means a dead connection."""

_A = TypeVar("_A", bound=Answer)


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
        self.base_url = base_url.rstrip("/")
        self.sleep = sleep
        self._http = httpx.Client(
            base_url=f"{self.base_url}/v1",
            transport=transport,
            timeout=_TIMEOUT,
            # A proxy meant for the internet can't reach this machine's loopback.
            trust_env=not _is_loopback(httpx.URL(self.base_url).host),
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def get(self, model: type[_A], path: str, query: Query | None = None) -> _A:
        """Return what a GET answers, as a model."""
        return self.read(model, self.request("GET", path, query=query))

    def post(self, model: type[_A], path: str, body: JsonValue = None, key: str | None = None) -> _A:
        """Return what a POST answers, as a model."""
        return self.read(model, self.request("POST", path, body=body, key=key))

    def pages(self, model: type[_A], path: str, query: Query, limit: int | None) -> Iterator[_A]:
        """Yield the items of a list, page after page, up to `limit`."""
        page_token: str | None = None
        left = limit
        while left is None or left > 0:
            size = _LARGEST_PAGE if left is None else min(left, _LARGEST_PAGE)
            page = self.get(Page, path, {**query, "limit": size, "page_token": page_token})
            yield from (model.model_validate(item) for item in page.items)
            page_token = page.next_page_token
            left = None if left is None else left - len(page.items)
            if page_token is None:
                return

    def read(self, model: type[_A], response: httpx.Response) -> _A:
        """Return an answer as a model.

        Raises:
            ServerUnreachableError: whoever answered is no Stepsize service.
        """
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise ServerUnreachableError(self.base_url, "what answers there doesn't speak its language") from error

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        needs_key: bool = True,
    ) -> httpx.Response:
        """Send a request, again while that may help.

        Raises:
            ApiError: the service refused.
            ServerUnreachableError: none answers.
        """
        keyed = {"Idempotency-Key": key or str(uuid4())} if method == "POST" and needs_key else {}
        request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (query or {}).items() if value is not None},
            json=body,
            headers={**(headers or {}), **keyed},
        )
        return self._send(request)

    @contextmanager
    def stream(
        self, path: str, *, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Open an answer that comes piece by piece; it is not asked for twice.

        Raises:
            ApiError: the service refused.
            httpx.TransportError: the connection broke.
        """
        with self._http.stream("GET", path, params=query, headers=headers, timeout=_STREAM_TIMEOUT) as response:
            if response.is_error:
                response.read()
                _refuse_errors(response)
            yield response

    def send_file(self, path: str, file: Path, query: Mapping[str, str]) -> httpx.Response:
        """Post a file; it is streamed, so it can't be sent a second time.

        Raises:
            ApiError: the service refused.
            ServerUnreachableError: none answers.
        """
        headers = {"Content-Type": "application/octet-stream"}
        with file.open("rb") as content, self.unreachable():
            response = self._http.post(path, params=query, content=content, headers=headers, timeout=_UPLOAD_TIMEOUT)
        _refuse_errors(response)
        return response

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Turn a broken connection into `ServerUnreachableError`."""
        try:
            yield
        except httpx.TransportError as error:
            raise ServerUnreachableError(self.base_url, str(error) or type(error).__name__) from error

    def pause_or_give_up(self, pauses: Iterator[float], error: Exception) -> None:
        """Wait before another try.

        Raises:
            ServerUnreachableError: there have been enough.
        """
        pause = next(pauses, None)
        if pause is None:
            raise ServerUnreachableError(self.base_url, str(error) or type(error).__name__) from error
        self.sleep(_jittered(pause))

    def _send(self, request: httpx.Request) -> httpx.Response:
        pauses = iter(_RETRY_PAUSES_S)
        while True:
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                self.pause_or_give_up(pauses, error)
                continue
            pause = next(pauses, None) if response.status_code in RETRIED_STATUSES else None
            if pause is None:
                _refuse_errors(response)
                return response
            self.sleep(_asked_pause(response) or _jittered(pause))


def _refuse_errors(response: httpx.Response) -> None:
    if response.is_error:
        raise ApiError(_problem(response))


def _problem(response: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:  # a proxy's own page, or another program's at this address
        server = f"{response.url.scheme}://{response.url.netloc.decode('ascii')}"
        detail = f"what answers at {server} is no Stepsize service, or stands between it and you"
        return Problem(title=response.reason_phrase or "Error", status=response.status_code, detail=detail)


def _asked_pause(response: httpx.Response) -> float:
    """Return the seconds in `Retry-After`, or 0 (also for its date form, which the service doesn't use)."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE_S) if asked.isdecimal() else 0.0


def _jittered(pause: float) -> float:
    """Return a pause of 50 to 100 %, so that many clients don't come back at the same moment."""
    return pause * uniform(0.5, 1.0)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
