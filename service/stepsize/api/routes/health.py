"""Health: is the process alive, is it ready."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from stepsize.api.dependencies import AnySite, answer
from stepsize.api.problems import problem, storage_problem
from stepsize.api.responses import NOT_MODIFIED, problems
from stepsize.api.schemas import HealthOut
from stepsize.store.migrate import why_not_at_head

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_model=HealthOut, responses=NOT_MODIFIED, summary="Is the process alive?")
async def healthz() -> Response:
    return answer(HealthOut())


@router.get(
    "/readyz", response_model=HealthOut, responses=NOT_MODIFIED | problems(500, 503), summary="Is the database ready?"
)
def readyz(request: Request, site: AnySite) -> Response:
    """It answers, has the schema this version expects, and can be written."""
    trouble = site.database.trouble()
    if trouble is not None:
        return storage_problem(trouble, instance=request.url.path, status=HTTPStatus.SERVICE_UNAVAILABLE)
    with site.database.read() as connection:
        if (wrong := why_not_at_head(connection)) is None:
            return answer(HealthOut())
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        title="Database not migrated",
        detail=str(wrong),
        instance=request.url.path,
    )
