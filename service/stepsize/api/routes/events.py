"""Events: a job's changes as they happen."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId
from stepsize.api.responses import ALWAYS, problems
from stepsize.application import jobs

router = APIRouter(prefix="/v1", tags=["events"], dependencies=STRICT_QUERY, responses=ALWAYS)

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The stream", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def existing_job(job_id: JobId, site: AnySite) -> str:
    """Return the id of a job that exists: once a stream has begun, it is too late for a 404."""
    with site.database.read() as connection:
        return jobs.read_job(connection, job_id, lease_s=site.settings.lease_s).job.id


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses=_STREAM | problems(404),
    summary="Follow a job (events)",
)
async def follow(
    job_id: Annotated[str, Depends(existing_job)],
    site: AnySite,
    last_event_id: Annotated[
        int | None,
        Header(
            alias="Last-Event-ID",
            ge=0,
            lt=2**62,
            description="Go on after this event or this `change` of the job; without it the stream begins with now.",
        ),
    ] = None,
) -> Response:
    """Server-Sent Events `job`, `trial` and `report` hold the rows as they are now, in the order of their last change.

    It begins with the `job` as it is now. To miss nothing, read the job (and of its trials what you need, by pages),
    and send its `change` as `Last-Event-ID`. Ids are changes; the last event of each change carries it. The stream ends
    when the job has finished and all is told.
    """
    return EventSourceResponse(site.feed.follow(job_id, after=last_event_id), headers=_HEADERS)


@router.get("/events", response_class=StreamingResponse, responses=_STREAM, summary="Follow all jobs (events)")
async def follow_all(site: AnySite) -> Response:
    """Server-Sent Events `job`: once a second, what changes of each unfinished job (`state`, `progress`, `answer`,
    `best`, …), without its spec. It begins with now; to miss nothing, begin to listen before reading the list. Jobs
    that are submitted or finish are told; labels of finished ones and deletions are not.
    """
    return EventSourceResponse(site.job_feed.follow(), headers=_HEADERS)
