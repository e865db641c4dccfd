"""Range tests over HTTP: submitting, reading, refusing."""

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from stepsize.api.routes.range_tests import RANGE_TEST_BODIES
from stepsize.domain.estimate import Estimate
from stepsize.domain.range_test import RangeTestCurve, RangeTestFindings, RangeTestResult
from stepsize.store.database import Database
from stepsize.store.models import jobs
from tests.integration.api.conftest import pointers, submit

BODY = {"trainer": {"name": "synthetic"}, "batch_sizes": [32, 128], "seeds": 2, "seed": 7}
FINDINGS = RangeTestFindings(
    sweep_low=1e-7,
    sweep_high=10.0,
    results=[
        RangeTestResult(
            batch_size=32,
            low=Estimate(value=0.001, low=0.0005, high=0.002),
            suggestion=Estimate(value=0.01, low=0.005, high=0.02),
            high=Estimate(value=None, low=None, high=None, caveat="the loss did not explode up to the highest rate"),
            curve=RangeTestCurve(learning_rate=[1e-7, 10.0], losses=[[1.0, 0.5], [1.0]], smoothed=[1.0, None]),
        )
    ],
)


def test_a_range_test_is_a_job_with_all_its_sweeps_queued(client: TestClient) -> None:
    response = client.post("/v1/range-tests", json=BODY)
    assert response.status_code == 201, response.text
    test = response.json()
    assert response.headers["Location"] == f"/v1/range-tests/{test['id']}"
    assert (test["job_id"], test["state"], test["results"]) == (test["id"], "queued", [])
    assert test["counts"]["queued"] == 4
    job = client.get(test["links"]["job"]).json()
    assert job["kind"] == "range_test"
    assert job["progress"]["max_trials"] == 4
    trials = client.get(f"/v1/jobs/{test['id']}/trials?sort=number").json()["items"]
    assert [trial["params"] for trial in trials] == [{"batch_size": size} for size in (32, 32, 128, 128)]
    seeds = [trial["seed"] for trial in trials]
    assert seeds[:2] == seeds[2:]  # every batch size is swept with the same seeds
    assert seeds[0] != seeds[1]


def test_its_spec_has_every_default_and_posts_back_unchanged(client: TestClient) -> None:
    first = client.post("/v1/range-tests", json={"trainer": {"name": "synthetic"}}).json()
    assert first["spec"]["batch_sizes"] == [32]
    assert first["spec"]["trainer"]["version"] == "1"
    clone = client.post("/v1/range-tests", json=first["spec"]).json()
    assert clone["id"] != first["id"]
    assert clone["spec"] == first["spec"]


def test_a_wish_for_company_is_told_to_change_nothing(client: TestClient) -> None:
    for fuse, n_warnings in ((1, 0), (4, 1), ("auto", 1)):
        test = client.post("/v1/range-tests", json={**BODY, "resources": {"fuse": fuse}}).json()
        warnings = client.get(f"/v1/jobs/{test['id']}").json()["warnings"]
        assert len(warnings) == n_warnings
        assert all(words.startswith("resources.fuse changes nothing") for words in warnings)


@pytest.mark.parametrize("name", RANGE_TEST_BODIES)
def test_every_documented_example_is_accepted(client: TestClient, name: str) -> None:
    assert client.post("/v1/range-tests", json=RANGE_TEST_BODIES[name]["value"]).status_code == 201


def test_the_same_idempotency_key_makes_one_test(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = (client.post("/v1/range-tests", json=BODY, headers=headers) for _ in range(2))
    assert (second.status_code, second.json()) == (201, first.json())
    assert len(client.get("/v1/jobs").json()["items"]) == 1


def test_findings_are_shown_as_the_worker_wrote_them(client: TestClient, database: Database) -> None:
    test_id = client.post("/v1/range-tests", json=BODY).json()["id"]
    with database.write() as connection:
        findings = FINDINGS.model_dump(mode="json")
        connection.execute(update(jobs).where(jobs.c.id == test_id).values(findings=findings))
    (result,) = client.get(f"/v1/range-tests/{test_id}").json()["results"]
    assert result == FINDINGS.results[0].model_dump(mode="json")
    assert result["high"] == {
        "value": None,
        "low": None,
        "high": None,
        "caveat": "the loss did not explode up to the highest rate",
        "is_guess": False,
    }


@pytest.mark.parametrize("control", ["cancel", "stop"])
def test_a_test_that_was_ended_says_that_its_sweeps_were_never_read(client: TestClient, control: str) -> None:
    test_id = client.post("/v1/range-tests", json=BODY).json()["id"]
    assert client.post(f"/v1/jobs/{test_id}/{control}").is_success  # no worker lives
    results = client.get(f"/v1/range-tests/{test_id}").json()["results"]
    assert [result["batch_size"] for result in results] == [32, 128]
    assert all("ended before its sweeps were read" in result["inconclusive"] for result in results)


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"batch_sizes": [0]}, "/batch_sizes/0", "must be at least 1"),
        ({"batch_sizes": []}, "/batch_sizes", "must not be empty"),
        ({"batchsizes": [32]}, "/batchsizes", "did you mean 'batch_sizes'?"),
        ({"rule": "stepest"}, "/rule", "did you mean 'steepest'?"),
        ({"low": 1.0, "high": 0.1}, "", "low must be below high"),
        ({"trainer": {"name": "synthetik"}}, "/trainer/name", "did you mean 'synthetic'?"),
        ({"trainer": {"name": "synthetic", "params": {"flor": 1}}}, "/trainer/params/flor", "did you mean 'floor'?"),
        ({"steps": 5}, "/steps", "must be at least 10"),
        (
            {"trainer": {"name": "image_classifier", "params": {"dataset": "digit"}}},
            "/trainer/params/dataset",
            "did you mean 'digits'?",
        ),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, changes: dict[str, object], pointer: str, words: str) -> None:
    assert words in pointers(client.post("/v1/range-tests", json=BODY | changes))[pointer]


def test_a_tuning_job_is_no_range_test(client: TestClient) -> None:
    job = submit(client)
    for test_id in (job["id"], "job_0"):
        response = client.get(f"/v1/range-tests/{test_id}")
        assert response.status_code == 404
        assert response.json()["title"] == "No such range test"
