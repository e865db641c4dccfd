"""Who may speak to the service: it answers to its own names only, and no page from elsewhere changes anything.

A service without authentication is protected by who can reach it, and a browser can be made to reach it by any page it
shows: by a name that resolves to this machine (hence the check of `Host`), or by a plain form or `fetch` (hence the
check of where a request comes from). Programs that are no browser send neither `Origin` nor `Sec-Fetch-Site`.
"""

import socket
from collections.abc import Collection, Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepsize.api.problems import problem
from stepsize.hosts import is_loopback

ANY = "*"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES = frozenset({"same-origin", "none"})
"""`none`: somebody typed the address, or opened a bookmark."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Origins:
    """Refuses requests for foreign names (421), and changes asked for by pages of other origins (403)."""

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        """Wrap an application.

        Args:
            names: what `Host` may be beside the address that a connection came in on; `*`: anything.
        """
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._is_own_name(scope, headers):
            await self._refuse_name(scope, headers["host"])(scope, receive, send)
        elif scope["method"] not in _READING and not _is_from_here(headers):
            await _refuse_origin(scope)(scope, receive, send)
        else:
            await self._app(scope, receive, _Unsniffed(send))

    def _is_own_name(self, scope: Scope, headers: Headers) -> bool:
        name = _without_port(headers.get("host", ""))
        # The address the connection came in on: a literal, which no name of somebody else's resolves to.
        address, _ = scope.get("server") or ("", None)
        return not name or ANY in self._names or name in self._names or name == _bracketed(address)

    def _refuse_name(self, scope: Scope, host: str) -> ASGIApp:
        return problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            title="Misdirected request",
            detail=f"the service is not known as {_without_port(host)[:200]!r}, only as "
            f"{', '.join(sorted(self._names))}; STEPSIZE_ALLOWED_HOSTS names others",
            instance=scope["path"],
        )


class _Unsniffed:
    """Tells browsers to take every answer as what it says it is: a log is text, whatever a trial printed."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(raw=message["headers"]).setdefault("X-Content-Type-Options", "nosniff")
        await self._send(message)


def own_names(configured: Iterable[str], listening_on: str | None) -> frozenset[str]:
    """Return the names that a service answers to.

    Args:
        listening_on: the host it was told to listen on; where other machines reach it, this machine's name counts too.
    """
    names = {*_LOOPBACK, *map(str.lower, configured)}
    if listening_on is not None and not is_loopback(listening_on):
        names |= {_bracketed(listening_on.lower()), socket.gethostname().lower()} - {"0.0.0.0", "[::]"}
    return frozenset(names)


def _is_from_here(headers: Headers) -> bool:
    # Set by browsers alone, and kept by a proxy that rewrites Host; over plain HTTP between machines it is absent.
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in _OWN_PAGES
    if (origin := headers.get("origin")) is None:
        return True
    parts = urlsplit(origin)
    default = _DEFAULT_PORTS.get(parts.scheme, "")
    host = headers.get("host", "").lower()
    return bool(default) and parts.netloc.removesuffix(default) == host.removesuffix(default)


def _refuse_origin(scope: Scope) -> ASGIApp:
    return problem(
        HTTPStatus.FORBIDDEN,
        title="Foreign origin",
        detail="a page of another origin may not change anything here; open the service's own page, or send the "
        "request from a program",
        instance=scope["path"],
    )


def _without_port(host: str) -> str:
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower().removesuffix(".")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
