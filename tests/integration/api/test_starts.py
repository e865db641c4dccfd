"""Fine-tuning over HTTP: the model to start from is found at submission, or the reason why not is given."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from tests.builders import make_job, make_trial


@pytest.fixture
def earlier(database: Database) -> str:
    """A finished job: trial 1 is the best and has a model, trial 0 has lost its own."""
    with database.write() as connection:
        job = make_job(connection)
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=2.0)
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=1.0, artifacts=["model.safetensors"])
    return job.id


def submit(client: TestClient, init_from: str) -> tuple[int, dict[str, object]]:
    trainer = {"name": "image_classifier", "params": {"dataset": "digits", "init_from": init_from}}
    answer = client.post("/v1/jobs", json={"trainer": trainer})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("which", ["{job}", "{job}/1"])
def test_the_trial_stands_in_the_spec(client: TestClient, earlier: str, which: str) -> None:
    status, job = submit(client, which.format(job=earlier))
    assert status == 201
    assert job["spec"]["trainer"]["params"]["init_from"] == f"{earlier}/1"  # type: ignore[index]


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("job_nowhere", "there is no job 'job_nowhere'"),
        ("{job}/7", "has no trial 7"),
        ("{job}/0", "has no model.safetensors; a job keeps the models of its best three trials"),
    ],
)
def test_what_is_not_there_is_named(client: TestClient, earlier: str, which: str, words: str) -> None:
    status, problem = submit(client, which.format(job=earlier))
    assert status == 422
    errors: Any = problem["errors"]
    (error,) = errors
    assert error["pointer"] == "/trainer/params/init_from"
    assert words in error["message"]
