"""Sending what a trial left behind: files to download, pictures to look at."""

from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse

from stepsize.domain.figures import MEDIA_TYPES, media_type

_ANYTHING = "application/octet-stream"
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file; one named `….figure.svg` or `….figure.png` is a picture",
        "content": {kind: {"schema": {"type": "string"}} for kind in (_ANYTHING, *MEDIA_TYPES.values())},
    }
}
"""The answer in the OpenAPI document."""

# A trainer made it, so nothing in it may run, load or send anything, wherever it is opened.
_INERT = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"}


def send_file(path: Path, name: str) -> FileResponse:
    """Return a file as a download, or a picture as such."""
    if (kind := media_type(name)) is None:
        return FileResponse(path, media_type=_ANYTHING, filename=name)
    return FileResponse(path, media_type=kind, filename=name, content_disposition_type="inline", headers=_INERT)
