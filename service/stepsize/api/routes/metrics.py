"""What monitoring reads."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from stepsize.api.dependencies import AnySite
from stepsize.api.responses import problems
from stepsize.application.census import read_census

router = APIRouter(tags=["operations"])


@router.get("/metrics", response_class=PlainTextResponse, responses=problems(421, 500), summary="What monitoring reads")
def metrics(request: Request, site: AnySite) -> Response:
    """Prometheus' text format, or OpenMetrics where `Accept` asks for it.

    Requests, streams and waiters are this process's; jobs, trials, workers and slots are the whole service's, and
    every API process of it tells the same. Where the database doesn't answer, they are absent and
    `stepsize_database_up` is 0.
    """
    reading = read_census(site.database, lease_s=site.settings.lease_s)
    text, media_type = site.metrics.expose(reading, accept=request.headers.get("accept", ""))
    return Response(text, media_type=media_type)
