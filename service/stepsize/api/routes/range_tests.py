"""Learning-rate range tests: submit, read."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from fastapi.openapi.models import Example

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, Post, answer
from stepsize.api.range_test_schemas import RangeTestOut
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.application import datasets, range_tests
from stepsize.errors import checked_beside
from stepsize.spec.range_test import RangeTestSpec
from stepsize.store.database import Connection

router = APIRouter(prefix="/v1/range-tests", tags=["range tests"], dependencies=STRICT_QUERY, responses=ALWAYS)

RANGE_TEST_BODIES: dict[str, Example] = {
    "smallest": {
        "summary": "At the trainer's own batch size, everything by default",
        "value": {"trainer": {"name": "synthetic", "params": {"diverge_above": 0.3}}},
    },
    "image_classifier": {
        "summary": "How do the bounds depend on the batch size?",
        "value": {
            "name": "digits-mlp",
            "trainer": {"name": "image_classifier", "params": {"dataset": "digits", "model": "mlp"}},
            "batch_sizes": [32, 128],
            "low": 1e-7,
            "high": 10,
            "steps": 100,
            "seeds": 3,
            "rule": "steepest",
        },
    },
}

_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"description": "The range test's path", "schema": {"type": "string"}}}}
}


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=RangeTestOut,
    responses=_CREATED | problems(409, 413),
    summary="Submit a learning-rate range test",
)
def submit(spec: Annotated[RangeTestSpec, Body(openapi_examples=RANGE_TEST_BODIES)], post: Post) -> Response:
    """The rate rises with every update, once per batch size and seed; the losses say between which rates to search."""
    settings = post.site.settings
    lease_s = settings.lease_s

    def effect(connection: Connection) -> str:
        most = settings.max_dataset_bytes
        return checked_beside(
            lambda: range_tests.submit(connection, spec, lease_s=lease_s),
            lambda: datasets.check_choice(
                connection, spec.trainer, {}, settings.data_dir, lease_s=lease_s, max_bytes=most
            ),
        )

    return post.run(effect, show=_show, status=HTTPStatus.CREATED)


@router.get(
    "/{job_id}", response_model=RangeTestOut, responses=NOT_MODIFIED | problems(404), summary="Read a range test"
)
def read(job_id: JobId, site: AnySite) -> Response:
    """Each result has the lowest rate worth searching, a suggestion, and the divergence edge; or why it has not."""
    with site.database.read() as connection:
        return _show(connection, job_id, HTTPStatus.OK)


def _show(connection: Connection, job_id: str, status: int) -> Response:
    headers = {"Location": f"/v1/range-tests/{job_id}"} if status == HTTPStatus.CREATED else {}
    return answer(RangeTestOut.of(range_tests.read(connection, job_id)), status, headers)
