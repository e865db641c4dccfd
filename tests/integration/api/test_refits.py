"""Refits over HTTP."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from stepsize.domain.job import JobKind
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials
from tests.builders import make_job, make_spec, make_trial


@pytest.fixture
def job_id(database: Database) -> str:
    """A job that fixed one parameter and found another."""
    spec = make_spec(trainer={"name": "synthetic", "version": "1", "params": {"lr_opt": 0.1}}, name="valley")
    with database.write() as connection:
        job = make_job(connection, spec=spec)
        for rate, loss in ((0.5, 2.0), (0.1, 1.0)):
            make_trial(connection, job.id, state=TrialState.COMPLETED, objective=loss, params={"learning_rate": rate})
    return job.id


def refit(client: TestClient, job_id: str, body: dict[str, Any] | None = None) -> Any:
    return client.post(f"/v1/jobs/{job_id}/refit", json=body)


def test_the_best_trials_configuration_is_trained_once(client: TestClient, database: Database, job_id: str) -> None:
    response = refit(client, job_id)
    assert response.status_code == 201, response.text
    job = response.json()
    assert (job["kind"], job["name"], job["state"]) == ("refit", "refit of valley", "queued")
    assert job["spec"]["trainer"]["params"] == {"lr_opt": 0.1, "learning_rate": 0.1}
    assert job["spec"]["search_space"] == {}
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    with database.read() as connection:
        stored = get_job(connection, job["id"])
        (trial,) = load_trials(connection, job["id"])
    assert (stored.kind, stored.details) == (JobKind.REFIT, {"job": job_id, "trial": 1})
    assert (trial.state, trial.params) == (TrialState.QUEUED, {})


def test_seeds_steps_and_configuration_are_the_clients_to_choose(
    client: TestClient, database: Database, job_id: str
) -> None:
    job = refit(client, job_id, {"params": {"learning_rate": 0.3}, "epochs": 9, "seeds": 3}).json()
    assert job["spec"]["trainer"]["params"] == {"lr_opt": 0.1, "learning_rate": 0.3, "n_reports": 9}
    assert job["spec"]["budget"]["max_trials"] == 3
    with database.read() as connection:
        assert len({trial.seed for trial in load_trials(connection, job["id"])}) == 3


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"params": {"learning_rat": 0.1}}, "/params/learning_rat"),
        ({"params": {"learning_rate": -1}}, "/params/learning_rate"),
        ({"epochs": 0}, "/epochs"),
        ({"seeds": 0}, "/seeds"),
        ({"seed": 1}, "/seed"),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, job_id: str, body: dict[str, Any], at: str) -> None:
    response = refit(client, job_id, body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [at]


def test_a_job_without_a_best_trial_needs_a_configuration(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
    assert refit(client, job.id).status_code == 409
    assert refit(client, job.id, {"params": {"learning_rate": 0.1}}).status_code == 201
    assert refit(client, "job_none").status_code == 404


def test_a_refit_can_not_be_refitted(client: TestClient, job_id: str) -> None:
    again = refit(client, refit(client, job_id).json()["id"], {"params": {}})
    assert again.status_code == 422


def test_the_data_must_still_be_there(client: TestClient, database: Database) -> None:
    fixed = {"name": "image_classifier", "version": "1", "params": {"dataset": "gone"}}
    with database.write() as connection:
        job = make_job(connection, spec=make_spec(trainer=fixed))
    response = refit(client, job.id, {"params": {"learning_rate": 0.1}})
    assert response.status_code == 422
    assert "there is no data set 'gone'" in response.text
    assert len(client.get("/v1/jobs").json()["items"]) == 1
