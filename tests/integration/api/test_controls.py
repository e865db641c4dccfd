"""What clients want of jobs and trials, with a worker that holds the job and without."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from stepsize.domain.job import Desired, JobState
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import open_ledger
from stepsize.store.trials import get_trial, load_reports, load_trials
from tests.builders import expire_lease, make_job, make_report, make_trial
from tests.integration.api.conftest import hold, pointers, submit


def _post(client: TestClient, job_id: str, action: str) -> dict[str, Any]:
    response = client.post(f"/v1/jobs/{job_id}/{action}")
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job


def _running_job(database: Database, *, alive: bool) -> str:
    """Record a running job with a running, a queued and a completed trial, its worker alive or dead."""
    with database.write() as connection:
        job = make_job(connection)
    hold(database, job.id)
    with database.write() as connection:
        make_trial(connection, job.id, state=TrialState.RUNNING, attempt=2, step=7, checkpoint_step=5, worker="w")
        make_trial(connection, job.id, state=TrialState.QUEUED)
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=1.0)
        with open_ledger(connection, job.id) as ledger:
            ledger.add_reports([make_report(0, step) for step in (5, 6, 7)])
        if not alive:
            expire_lease(connection, job.id)
    return job.id


def _trial_states(database: Database, job_id: str) -> list[TrialState]:
    with database.read() as connection:
        return [trial.state for trial in load_trials(connection, job_id)]


@pytest.mark.parametrize(
    ("action", "desired"), [("pause", "pause"), ("stop", "stop"), ("cancel", "cancel"), ("resume", "run")]
)
def test_with_a_live_lease_only_the_wish_is_written(
    client: TestClient, database: Database, action: str, desired: str
) -> None:
    job_id = _running_job(database, alive=True)
    before = _trial_states(database, job_id)
    job = _post(client, job_id, action)
    assert (job["state"], job["desired"]) == ("running", desired)
    assert _trial_states(database, job_id) == before


def test_without_a_lease_pausing_requeues_what_a_dead_worker_ran(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=False)
    job = _post(client, job_id, "pause")
    assert (job["state"], job["desired"], job["reason"]) == ("paused", "pause", "user")
    with database.read() as connection:
        trial = get_trial(connection, job_id, 0)
        steps = [report.step for report in load_reports(connection, job_id, 0)]
    assert (trial.state, trial.attempt, trial.worker, trial.step) == (TrialState.QUEUED, 2, None, 5)
    assert steps == [5], "the next attempt reports again what lies beyond the checkpoint"
    assert _post(client, job_id, "resume")["state"] == "queued"


@pytest.mark.parametrize(("action", "state"), [("stop", "completed"), ("cancel", "cancelled")])
def test_without_a_lease_stop_and_cancel_end_the_job_at_once(
    client: TestClient, database: Database, action: str, state: str
) -> None:
    job_id = _running_job(database, alive=False)
    job = _post(client, job_id, action)
    assert (job["state"], job["reason"]) == (state, "user")
    assert job["finished_at"] is not None
    assert _trial_states(database, job_id) == [TrialState.CANCELLED, TrialState.CANCELLED, TrialState.COMPLETED]
    assert job["best"]["number"] == 2, "results so far are kept"


def test_a_dead_workers_stopping_job_is_completed_by_stopping_again(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=True)
    _post(client, job_id, "stop")
    with database.write() as connection:
        with open_ledger(connection, job_id) as ledger:
            ledger.move_job(JobState.STOPPING)
        expire_lease(connection, job_id)
    assert _post(client, job_id, "stop")["state"] == "completed"


def test_the_dead_worker_cannot_come_back_after_the_api_moved_its_job(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=False)
    _post(client, job_id, "pause")
    with database.read() as connection:
        job = get_job(connection, job_id)
    assert (job.lease_owner, job.lease_live) == (None, False)


@pytest.mark.parametrize("action", ["pause", "resume", "stop", "cancel"])
def test_asking_again_changes_nothing(client: TestClient, action: str) -> None:
    job = submit(client)
    if action == "resume":
        _post(client, job["id"], "pause")
    first = _post(client, job["id"], action)
    if first["state"] in ("completed", "cancelled"):
        assert client.post(f"/v1/jobs/{job['id']}/{action}").status_code == 409
    else:
        assert _post(client, job["id"], action)["change"] == first["change"]


@pytest.mark.parametrize("action", ["pause", "resume", "stop", "cancel"])
@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
def test_a_finished_job_is_beyond_control(client: TestClient, database: Database, state: JobState, action: str) -> None:
    with database.write() as connection:
        job = make_job(connection, state=state)
    response = client.post(f"/v1/jobs/{job.id}/{action}")
    assert response.status_code == 409
    assert response.json()["state"] == state


@pytest.mark.parametrize(("first", "second"), [("stop", "pause"), ("stop", "resume"), ("cancel", "stop")])
def test_what_winds_up_is_not_held_back(client: TestClient, database: Database, first: str, second: str) -> None:
    job_id = _running_job(database, alive=True)
    _post(client, job_id, first)
    assert client.post(f"/v1/jobs/{job_id}/{second}").status_code == 409
    with database.read() as connection:
        assert get_job(connection, job_id).desired is Desired(first)


def test_a_stopping_job_may_still_be_cancelled(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=True)
    _post(client, job_id, "stop")
    assert _post(client, job_id, "cancel")["desired"] == "cancel"


def test_failed_trials_are_retried_and_the_finished_job_with_them(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.RUNNING)
        error = {"type": "ValueError", "message": "x"}
        make_trial(connection, job.id, state=TrialState.FAILED, reason=TrialReason.ERROR, error=error, attempt=3)
        make_trial(connection, job.id, state=TrialState.INFEASIBLE)
        with open_ledger(connection, job.id) as ledger:
            ledger.add_reports([make_report(0)])
            ledger.move_job(JobState.FAILED)
    retried = _post(client, job.id, "retry-failed")
    assert (retried["state"], retried["desired"], retried["finished_at"]) == ("queued", "run", None)
    with database.read() as connection:
        first, second = load_trials(connection, job.id)
        assert list(load_reports(connection, job.id)) == []
    assert (first.state, first.reason, first.error, first.attempt) == (TrialState.QUEUED, None, None, 0)
    assert second.state is TrialState.INFEASIBLE


def test_retrying_nothing_is_a_conflict(client: TestClient) -> None:
    assert client.post(f"/v1/jobs/{submit(client)['id']}/retry-failed").status_code == 409


def test_a_configuration_is_enqueued_with_the_next_number(client: TestClient, database: Database) -> None:
    job_id = submit(client, enqueue=[{}])["id"]
    response = client.post(f"/v1/jobs/{job_id}/trials", json={"params": {"learning_rate": 0.1}})
    assert response.status_code == 201
    trial = response.json()
    assert (trial["number"], trial["state"], trial["params"]) == (1, "queued", {"learning_rate": 0.1})
    found = client.get(response.headers["Location"]).json()
    assert trial.items() <= found.items(), "the trial by itself also has what its job fixes"


def test_an_enqueued_configuration_must_fit_the_search(client: TestClient) -> None:
    here = f"/v1/jobs/{submit(client, trainer={'name': 'synthetic', 'params': {'floor': 0.5}})['id']}/trials"
    assert list(pointers(client.post(here, json={"params": {"learning_rate": 50}}))) == ["/params/learning_rate"]
    assert list(pointers(client.post(here, json={"params": {"floor": 0.5}}))) == ["/params/floor"]
    wrong = pointers(client.post(here, json={"params": {"learningrate": 0.1}}))
    assert "did you mean 'learning_rate'?" in wrong["/params/learningrate"]


def test_a_finished_job_takes_no_trials(client: TestClient) -> None:
    job_id = submit(client)["id"]
    _post(client, job_id, "cancel")
    assert client.post(f"/v1/jobs/{job_id}/trials", json={"params": {}}).status_code == 409


def test_cancelling_a_running_trial_asks_its_living_worker(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=True)
    assert client.post(f"/v1/jobs/{job_id}/trials/0/cancel").json()["state"] == "running"
    with database.read() as connection:
        trial = get_trial(connection, job_id, 0)
    assert trial.cancel_requested
    again = client.post(f"/v1/jobs/{job_id}/trials/0/cancel")
    assert again.status_code == 200
    with database.read() as connection:
        assert get_trial(connection, job_id, 0).change == trial.change


@pytest.mark.parametrize(("alive", "number"), [(False, 0), (False, 1), (True, 1)])
def test_a_trial_nobody_runs_is_cancelled_at_once(
    client: TestClient, database: Database, alive: bool, number: int
) -> None:
    job_id = _running_job(database, alive=alive)
    trial = client.post(f"/v1/jobs/{job_id}/trials/{number}/cancel").json()
    assert (trial["state"], trial["reason"]) == ("cancelled", "user")


def test_an_ended_trial_is_not_cancelled_and_a_success_not_retried(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=True)
    assert client.post(f"/v1/jobs/{job_id}/trials/2/cancel").status_code == 409
    assert client.post(f"/v1/jobs/{job_id}/trials/2/retry").status_code == 409
    assert client.post(f"/v1/jobs/{job_id}/trials/9/retry").status_code == 404


def test_a_cancelled_trial_is_retried(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=False)
    client.post(f"/v1/jobs/{job_id}/trials/0/cancel")
    trial = client.post(f"/v1/jobs/{job_id}/trials/0/retry").json()
    assert (trial["state"], trial["reason"], trial["attempt"], trial["step"]) == ("queued", None, 0, None)


def test_a_trial_of_a_job_being_stopped_is_not_retried(client: TestClient, database: Database) -> None:
    job_id = _running_job(database, alive=True)
    client.post(f"/v1/jobs/{job_id}/trials/1/cancel")
    _post(client, job_id, "stop")
    assert client.post(f"/v1/jobs/{job_id}/trials/1/retry").status_code == 409
