"""Workers: who is alive, and what runs where."""

from fastapi import APIRouter, Response

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, answer
from stepsize.api.responses import ALWAYS, NOT_MODIFIED
from stepsize.api.schemas import PageOut, WorkerOut
from stepsize.application import workers

router = APIRouter(prefix="/v1/workers", tags=["operations"], dependencies=STRICT_QUERY, responses=ALWAYS)


@router.get("", response_model=PageOut[WorkerOut], responses=NOT_MODIFIED, summary="List workers")
def list_workers(site: AnySite) -> Response:
    """Those seen within a day, oldest first."""
    with site.database.read() as connection:
        found = workers.list_workers(connection, lease_s=site.settings.lease_s)
    return answer(PageOut(items=[WorkerOut.of(reading) for reading in found]))
