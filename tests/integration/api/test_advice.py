"""What a job says of what stands in its way."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database, db_now
from stepsize.store.leases import claim_job
from stepsize.store.models import jobs, workers
from stepsize.store.workers import register_worker
from tests.builders import make_job, make_trial, make_worker


@pytest.fixture
def orphan(database: Database) -> str:
    """The id of a running job whose worker was killed eight leases ago."""
    with database.write() as connection:
        register_worker(connection, make_worker())
        job_id = make_job(connection).id
        assert claim_job(connection, job_id, owner="worker-1", lease_s=30.0)
        connection.execute(update(jobs).values(lease_expires_at=db_now() - 240.0))
        connection.execute(update(workers).values(last_seen=db_now() - 270.0))
    return job_id


def test_a_running_job_whose_worker_is_gone_says_so_since_when_and_what_to_do(
    client: TestClient, database: Database, orphan: str
) -> None:
    read = client.get(f"/v1/jobs/{orphan}")
    job = read.json()
    assert (job["state"], job["reason"], job["progress"]["limited_by"]) == ("running", "no_worker", None)
    for said in ("no worker has it since 20", "no worker is alive", "`stepsize worker`", f"stepsize cancel {orphan}"):
        assert said in job["advice"]
    listed = client.get("/v1/jobs").json()["items"][0]
    assert listed["advice"] == job["advice"]

    again = client.get(f"/v1/jobs/{orphan}", headers={"If-None-Match": read.headers["ETag"]})
    assert again.status_code == 304
    with database.write() as connection:
        register_worker(connection, make_worker("worker-2"))
    later = client.get(f"/v1/jobs/{orphan}", headers={"If-None-Match": read.headers["ETag"]})
    assert later.status_code == 200, "a worker that can take it is news"
    assert later.json()["reason"] is None
    assert "another takes it" in later.json()["advice"]
    with database.write() as connection:
        assert claim_job(connection, orphan, owner="worker-2", lease_s=30.0)
    assert client.get(f"/v1/jobs/{orphan}").json()["advice"] is None


def test_a_job_that_completed_with_nothing_but_failures_says_where_they_are(
    client: TestClient, database: Database
) -> None:
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.COMPLETED).id
        make_trial(connection, job_id, state=TrialState.FAILED)
    assert f"stepsize trials {job_id} --state failed" in client.get(f"/v1/jobs/{job_id}").json()["advice"]
    with database.write() as connection:
        make_trial(connection, job_id, state=TrialState.COMPLETED)
    assert client.get(f"/v1/jobs/{job_id}").json()["advice"] is None


def test_a_job_of_which_no_trial_was_feasible_says_what_to_change(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.COMPLETED).id
        make_trial(connection, job_id, state=TrialState.INFEASIBLE)
    assert "no trial was feasible" in client.get(f"/v1/jobs/{job_id}").json()["advice"]
    with database.write() as connection:
        make_trial(connection, job_id, state=TrialState.PRUNED)
    assert client.get(f"/v1/jobs/{job_id}").json()["advice"] is None


def test_a_trainer_that_only_a_worker_could_bring_is_not_just_unknown(client: TestClient) -> None:
    refused = client.post("/v1/jobs", json={"trainer": {"name": "my_own"}})
    assert "no worker is alive yet, and a trainer of your own comes with one" in refused.text
    assert "worker" not in client.post("/v1/jobs", json={"trainer": {"name": "synthetik"}}).text


def test_a_queued_job_says_why_no_worker_can_run_it(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
    assert "no worker is alive" in client.get(f"/v1/jobs/{job_id}").json()["advice"]
    with database.write() as connection:
        register_worker(connection, make_worker(trainers=()))
    assert "offers synthetic in version" in client.get(f"/v1/jobs/{job_id}").json()["advice"]
