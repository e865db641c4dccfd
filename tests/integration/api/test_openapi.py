"""The OpenAPI document: what it promises is what happens, whatever is sent."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route
from starlette.testclient import TestClient

from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from stepsize.store.ledger import open_ledger
from tests.builders import make_job, make_report, make_trial
from tests.databases import POSTGRESQL_WHEN_SLOW

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
N_EXAMPLES = {"sqlite": 5, "postgresql": 20}
"""For each operation and mode; many in `make test-slow` alone."""


@pytest.fixture
def job_ids(database: Database) -> list[str]:
    """Jobs in every state, with trials and reports: requests shall find something."""
    found = []
    with database.write() as connection:
        for state in JobState:
            job = make_job(connection, state=state)
            for trial_state in TrialState:
                make_trial(connection, job.id, state=trial_state)
            with open_ledger(connection, job.id) as ledger:
                ledger.add_reports([make_report(0, step) for step in (1, 2)])
            found.append(job.id)
    return found


def _operations(app: FastAPI) -> Iterator[Any]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # raises where our document is wrong
        # The stream of an unfinished job has no end; tests of its own look at it.
        if not operation.path.endswith("/events"):
            yield operation


def _can_be_wrong(operation: Any) -> bool:
    return bool(operation.body or operation.path_parameters or operation.query or operation.headers)


def _fuzz(operation: Any, mode: GenerationMode, job_ids: list[str], *, n_examples: int) -> Callable[[], None]:
    @settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(generation_mode=mode),
        job_id=st.sampled_from([*job_ids, None]),
        number=st.sampled_from([0, 1, 2, None]),
    )
    def call(case: Any, job_id: str | None, number: int | None) -> None:
        if mode is GenerationMode.POSITIVE:
            _aim(case, job_id, number)
        case.call_and_validate(checks=CHECKS)

    return call


def _aim(case: Any, job_id: str | None, number: int | None) -> None:
    """Let a request find a job, a trial and a trainer: drawn at random, none would get beyond those."""
    if job_id is not None and "job_id" in case.path_parameters:
        case.path_parameters["job_id"] = job_id
    if number is not None and "number" in case.path_parameters:
        case.path_parameters["number"] = number
    if job_id is not None and isinstance(case.body, dict) and "trainer" in case.body:
        case.body["trainer"] = {"name": "synthetic"}


@POSTGRESQL_WHEN_SLOW
@pytest.mark.filterwarnings("ignore")  # schemathesis's own
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_gets_a_5xx_or_an_undocumented_answer(
    app: FastAPI, client: TestClient, database: Database, job_ids: list[str], mode: GenerationMode
) -> None:
    operations = [operation for operation in _operations(app) if _can_be_wrong(operation) or mode.is_positive]
    client.get(f"/v1/jobs/{job_ids[0]}/report")  # starts the analysis process; schemathesis waits 10 s for an answer
    n_examples = N_EXAMPLES[database.engine.dialect.name]
    for operation in operations:
        _fuzz(operation, mode, job_ids, n_examples=n_examples)()
    assert len(operations) >= 20


def test_every_operation_has_a_summary_and_every_error_its_media_type(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], f"{method} {path}"
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], f"{method} {path} {status}"


def test_examples_are_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    examples = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples["smallest"]["value"] == {"trainer": {"name": "synthetic"}}


def test_the_application_has_one_list_of_routes(app: FastAPI) -> None:
    """FastAPI looks through included routers twice for each request, half of what the last of them cost."""
    assert {route.path for route in app.routes if isinstance(route, Route)} >= {"/v1/jobs/{job_id}", "/healthz"}
