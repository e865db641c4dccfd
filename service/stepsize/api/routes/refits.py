"""Refits: submit; they are read as jobs."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from fastapi.openapi.models import Example

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import JobId, Post, answer
from stepsize.api.responses import ALWAYS, POSTED
from stepsize.api.schemas import JobOut
from stepsize.application import datasets, jobs, refits
from stepsize.spec.refit import RefitSpec
from stepsize.store.database import Connection

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=STRICT_QUERY, responses=ALWAYS)

_BODIES: dict[str, Example] = {
    "smallest": {"summary": "The best trial's configuration, once", "value": {}},
    "longer": {"summary": "Longer, and five times: how much is luck?", "value": {"epochs": 30, "seeds": 5}},
}
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"description": "The refit's path", "schema": {"type": "string"}}}}
}


@router.post(
    "/{job_id}/refit",
    status_code=HTTPStatus.CREATED,
    response_model=JobOut,
    responses=_CREATED | POSTED,
    summary="Train the best configuration on all but the test data",
)
def submit(
    job_id: JobId, post: Post, refit: Annotated[RefitSpec | None, Body(openapi_examples=_BODIES)] = None
) -> Response:
    """A job of kind `refit`: training and validation data together, then test metrics, once, on each trial."""
    settings = post.site.settings
    lease_s = settings.lease_s

    def effect(connection: Connection) -> str:
        refit_id = refits.submit(connection, job_id, refit or RefitSpec(), lease_s=lease_s)
        spec = jobs.read_job(connection, refit_id, lease_s=lease_s).job.spec
        most = settings.max_dataset_bytes
        datasets.check_named(connection, spec, settings.data_dir, lease_s=lease_s, max_bytes=most)
        return refit_id

    def show(connection: Connection, name: str, status: int) -> Response:
        headers = {"Location": f"/v1/jobs/{name}"}
        return answer(JobOut.of(jobs.read_job(connection, name, lease_s=lease_s)), status, headers)

    return post.run(effect, show=show, status=HTTPStatus.CREATED)
