"""The API's documentation at `/docs`: Swagger UI from our own files, under the same policy as the dashboard."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

import stepsize.api

router = APIRouter(include_in_schema=False)

_FOLDER = Path(stepsize.api.__file__).with_name("swagger")
_SECURITY = {
    # It runs what it is served from here alone, and its requests reach this service alone.
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@router.get("/docs")
def page() -> FileResponse:
    return FileResponse(_FOLDER / "index.html", media_type="text/html", headers=_SECURITY)


router.mount("/docs", StaticFiles(directory=_FOLDER))
