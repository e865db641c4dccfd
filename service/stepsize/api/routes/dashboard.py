"""The dashboard at `/`: one page and its static files, read once.

Every file stands under a digest of all of them, so browsers keep them for ever and never mix two versions; only the
page itself is asked for again.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated

import brotli
from fastapi import APIRouter, Header, Path, Response
from starlette.exceptions import HTTPException

from stepsize.api.negotiation import preferred_encoding

router = APIRouter(include_in_schema=False)

_SECURITY = {
    # Everything comes from here, nothing is inline: text that a trainer or a client wrote can't become a script.
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_PAGE = "index.html"
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2", ".svg": "image/svg+xml"}
"""Not left to the machine's own table, which may call a script text/plain."""
_TEXTS = (".js", ".css", ".svg")


@dataclass(frozen=True)
class Bundle:
    """The dashboard's files by path, the page with their addresses filled in, and a digest of it all."""

    files: dict[str, bytes]
    page: bytes
    digest: str


@cache
def load_bundle() -> Bundle:
    """Read the files that come with the package."""
    found = dict(_walk(files("stepsize") / "dashboard"))
    summary = hashlib.sha256()
    for path, content in sorted(found.items()):
        summary.update(f"{path}\0{len(content)}\0".encode() + content)
    digest = summary.hexdigest()[:16]
    page = found.pop(_PAGE).decode()
    page = page.replace("<!-- modules -->", _preloads(found)).replace("@assets", f"/dashboard/{digest}")
    return Bundle(found, page.encode(), digest)


@router.get("/")
def home(if_none_match: Annotated[str, Header()] = "") -> Response:
    bundle = load_bundle()
    headers = {**_SECURITY, "ETag": f'"{bundle.digest}"', "Cache-Control": "no-cache"}
    if bundle.digest in if_none_match:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(bundle.page, headers=headers, media_type="text/html")


@router.get("/dashboard/{digest}/{path:path}")
def asset(
    digest: Annotated[str, Path()], path: Annotated[str, Path()], accept_encoding: Annotated[str, Header()] = ""
) -> Response:
    bundle = load_bundle()
    if path not in bundle.files or digest != bundle.digest:
        raise HTTPException(HTTPStatus.NOT_FOUND, "the dashboard has no such file; reload the page")
    suffix = "." + path.rpartition(".")[2]
    media_type = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "text/plain"
    headers = {**_SECURITY, **_FOREVER, "Vary": "Accept-Encoding"}
    coding = preferred_encoding(accept_encoding, ["br", "gzip"]) if suffix in _TEXTS else None
    if coding is not None:
        headers["Content-Encoding"] = coding
    return Response(_encoded(path, coding), headers=headers, media_type=media_type)


@cache
def _encoded(path: str, coding: str | None) -> bytes:
    """Return a file in a content coding: once for all who ask, so as small as it gets."""
    content = load_bundle().files[path]
    match coding:
        case "br":
            return bytes(brotli.compress(content, mode=brotli.MODE_TEXT, quality=9))
        case "gzip":
            return gzip.compress(content, mtime=0)
        case _:
            return content


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        path = prefix + entry.name
        found += _walk(entry, path + "/") if entry.is_dir() else [(path, entry.read_bytes())]
    return found


def _preloads(found: dict[str, bytes]) -> str:
    """Name every module in the page: without a bundler, browsers would find them one import at a time."""
    modules = sorted(path for path in found if path.endswith(".js") and path not in ("theme.js", "vendor/uplot.js"))
    return "\n    ".join(f'<link rel="modulepreload" href="@assets/{path}">' for path in modules)
