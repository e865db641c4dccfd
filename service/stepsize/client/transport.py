"""What both connections do alike: addresses, requests, when to try again, and what an answer that is no answer means.

A lost answer is asked for again only where saying a thing twice does what saying it once does: reads, POSTs with their
`Idempotency-Key`, ask and tell. Anything else is sent again only where it surely was not heard.
"""

import ipaddress
import os
from collections.abc import Iterator
from random import uniform
from typing import TypeVar

import httpx
from pydantic import ValidationError

from stepsize.client.answers import Problem
from stepsize.client.calls.base import Call
from stepsize.client.errors import ApiError, ServerLateError, ServerUnreachableError, WrongValueError

DEFAULT_SERVER = "http://127.0.0.1:8000"
SERVER_VARIABLE = "STEPSIZE_SERVER"

RETRIED_STATUSES = frozenset({429, 503})
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
UPLOAD_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
STREAM_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""The service sends a comment every 15 s on an idle stream, so a silent minute means a dead connection."""

_RETRY_PAUSES_S = (0.1, 0.2, 0.4)
_LONGEST_PAUSE_S = 30.0
_NOT_HEARD = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""The request never reached anybody."""

R = TypeVar("R")


def address(base_url: str | None) -> str:
    """Return where the service is: as given, where the environment says, or on this machine.

    Raises:
        TypeError, WrongValueError: it can be no address.
    """
    given = base_url or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
    if not isinstance(given, str):
        raise TypeError(f"an address is a text such as {DEFAULT_SERVER!r}, not {given!r}")
    whole = given if "://" in given else f"http://{given}"
    try:
        url = httpx.URL(whole)
    except httpx.InvalidURL as error:
        raise WrongValueError(f"{given!r} is no address such as {DEFAULT_SERVER}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise WrongValueError(f"{given!r} is no address such as {DEFAULT_SERVER}")
    return whole.rstrip("/")


def trusts_environment(base_url: str) -> bool:
    """Tell whether proxies of the environment apply: one meant for the internet can't reach this machine's loopback."""
    host = httpx.URL(base_url).host
    try:
        return not (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return True


def url_of(base_url: str, path: str) -> str:
    """Return the URL of a call's path."""
    return base_url + (path.removeprefix("/") if path.startswith("//") else f"/v1{path}")


def request_of(http: httpx.Client | httpx.AsyncClient, base_url: str, call: Call[R]) -> httpx.Request:
    """Return a call as a request.

    Raises:
        WrongValueError: what is to be sent is no JSON.
    """
    try:
        return http.build_request(
            call.method,
            url_of(base_url, call.path),
            params={name: value for name, value in call.query.items() if value is not None},
            json=call.body,
            headers=call.headers,
        )
    except (TypeError, ValueError) as error:
        said = "only finite numbers, texts, truth values, None, lists and mappings can be sent"
        raise WrongValueError(f"{said}: {error}") from None


class Retries:
    """How often, and after which pauses, one call is tried again."""

    def __init__(self, base_url: str, *, is_repeatable: bool) -> None:
        self._base_url = base_url
        self._is_repeatable = is_repeatable
        self._pauses = iter(_RETRY_PAUSES_S)

    def after_error(self, error: httpx.TransportError) -> float:
        """Return the pause before another try.

        Raises:
            ServerUnreachableError: there have been enough, or another might do a thing twice.
        """
        if not (self._is_repeatable or isinstance(error, _NOT_HEARD)):
            raise unreachable(self._base_url, error) from error
        return pause_or_give_up(self._base_url, self._pauses, error)

    def after_answer(self, response: httpx.Response) -> float | None:
        """Return the pause before another try, or None where the answer stands."""
        if response.status_code not in RETRIED_STATUSES or not (self._is_repeatable or response.status_code == 429):
            return None
        pause = next(self._pauses, None)
        return None if pause is None else (_asked_pause(response) or _jittered(pause))


def pause_or_give_up(base_url: str, pauses: Iterator[float], error: Exception) -> float:
    """Return the next pause.

    Raises:
        ServerUnreachableError: there have been enough.
    """
    pause = next(pauses, None)
    if pause is None:
        raise unreachable(base_url, error) from error
    return _jittered(pause)


def unreachable(base_url: str, error: Exception) -> ServerUnreachableError:
    """Return what a broken connection means."""
    is_late = isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout)
    return (ServerLateError if is_late else ServerUnreachableError)(base_url, str(error) or type(error).__name__)


def read(base_url: str, call: Call[R], response: httpx.Response) -> R:
    """Return a call's value.

    Raises:
        ApiError: the service refused.
        ServerUnreachableError: whoever answered is no Stepsize service.
    """
    refuse_errors(response)
    try:
        return call.read(response)
    except ValidationError as error:
        raise ServerUnreachableError(base_url, "what answers there doesn't speak its language") from error


def refuse_errors(response: httpx.Response) -> None:
    """Raise ApiError where the service refused; the answer has been read."""
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
