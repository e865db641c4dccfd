"""Submitting, reading, listing, changing and deleting jobs."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update
from starlette.testclient import TestClient

from stepsize.api.examples import JOB_BODIES
from stepsize.domain.job import JobReason, JobState
from stepsize.domain.trial import TrialState
from stepsize.settings import Settings
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.models import jobs
from tests.builders import make_job, make_spec, make_trial
from tests.integration.api.conftest import enlist, hold, pointers, submit

JOB_KEYS = {
    *(
        "id",
        "kind",
        "name",
        "labels",
        "priority",
        "state",
        "reason",
        "error",
        "advice",
        "desired",
        "spec",
        "warnings",
        "work_s",
    ),
    *("search_space_resolved", "progress", "answer", "best", "created_at", "started_at", "finished_at", "revision"),
    *("change", "links"),
}


def test_a_job_that_was_just_read_is_read_again_once_it_has_changed(client: TestClient, database: Database) -> None:
    """Whatever the process keeps of it: reports alone raise `change`, another process's writes too."""
    with database.write() as connection:
        job = make_job(connection, state=JobState.RUNNING)
    here = f"/v1/jobs/{job.id}"
    assert client.get(here).json() == client.get(here).json()

    with database.write() as connection, open_ledger(connection, job.id) as ledger:
        ledger.insert_trials([NewTrial(0, TrialState.RUNNING, {"learning_rate": 0.1, "batch_size": 32}, seed=0)])
    assert client.get(here).json()["progress"]["counts"]["running"] == 1
    with database.write() as connection, open_ledger(connection, job.id) as ledger:
        values = {"loss": 0.5}
        ledger.move_trial(0, TrialState.RUNNING, TrialState.COMPLETED, values=values, objective=0.5)
    read = client.get(here).json()
    assert (read["best"]["number"], read["best"]["values"]) == (0, {"loss": 0.5})
    assert client.get("/v1/jobs").json()["items"] == [read]
    assert client.patch(here, json={"labels": {"a": "b"}}).json() == client.get(here).json()
    assert client.get(here).json()["labels"] == {"a": "b"}


def test_a_submitted_job_is_created_with_its_defaults_and_found_again(client: TestClient) -> None:
    response = client.post("/v1/jobs", json={"trainer": {"name": "synthetic"}, "labels": {"team": "vision"}})
    assert response.status_code == 201
    job = response.json()
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert job.keys() == JOB_KEYS
    assert (job["state"], job["desired"], job["reason"]) == ("queued", "run", "no_worker")
    assert job["spec"]["budget"]["max_trials"] == 40
    assert job["created_at"].endswith("Z")
    assert client.get(job["links"]["self"]).json() == job


def test_a_jobs_spec_posts_back_unchanged(client: TestClient) -> None:
    first = submit(client, sampler={"name": "grid", "points": 3})
    clone = client.post("/v1/jobs", json=first["spec"]).json()
    assert clone["id"] != first["id"]
    assert clone["spec"] == first["spec"]


@pytest.mark.parametrize("name", JOB_BODIES)
def test_every_documented_example_is_accepted(client: TestClient, name: str) -> None:
    response = client.post("/v1/jobs", params={"dry_run": True}, json=JOB_BODIES[name]["value"])
    assert response.status_code == 200, response.text
    assert response.json()["warnings"] == []


def test_a_dry_run_tells_the_cells_and_stores_nothing(client: TestClient) -> None:
    body = {"trainer": {"name": "synthetic"}, "sampler": {"name": "grid", "points": 4}}
    response = client.post("/v1/jobs?dry_run=true", json=body, headers={"Idempotency-Key": "k"})
    assert response.status_code == 200
    # 4 points of the learning rate × 16, 32, 64, 128, 256.
    assert response.json()["cells"] == 20
    assert response.json()["spec"]["budget"]["max_trials"] == 20
    assert client.get("/v1/jobs").json()["items"] == []


def test_enqueued_configurations_are_the_first_trials(client: TestClient) -> None:
    job = submit(client, enqueue=[{"learning_rate": 0.1, "batch_size": 64}, {}])
    trials = client.get(f"/v1/jobs/{job['id']}/trials").json()["items"]
    assert [(trial["number"], trial["state"], trial["params"]) for trial in trials] == [
        (0, "queued", {"learning_rate": 0.1, "batch_size": 64}),
        (1, "queued", {}),
    ]


def test_a_queued_job_says_when_nobody_alive_can_run_it(client: TestClient, database: Database) -> None:
    job = submit(client)
    assert job["reason"] == "no_worker"
    tag = client.get(f"/v1/jobs/{job['id']}").headers["ETag"]
    enlist(database)
    response = client.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": tag})
    assert response.status_code == 200, "the answer has changed although nothing was written to the job"
    assert response.json()["reason"] is None


def test_a_worker_whose_slots_are_too_small_does_not_count(client: TestClient, database: Database) -> None:
    enlist(database)
    assert submit(client, resources={"gpus": 1})["reason"] == "no_worker"
    assert submit(client, resources={"cpus": 2})["reason"] == "no_worker"
    assert submit(client)["reason"] is None


def test_an_etag_follows_the_revision_and_reports_leave_it(client: TestClient, database: Database) -> None:
    job = submit(client)
    here = f"/v1/jobs/{job['id']}"
    tag = client.get(here).headers["ETag"]
    response = client.get(here, headers={"If-None-Match": f'"other", {tag}'})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == tag
    client.post(f"{here}/pause")
    assert client.get(here, headers={"If-None-Match": tag}).status_code == 200


def test_lists_carry_etags_too(client: TestClient) -> None:
    tag = client.get("/v1/jobs").headers["ETag"]
    assert client.get("/v1/jobs", headers={"If-None-Match": tag}).status_code == 304
    submit(client)
    assert client.get("/v1/jobs", headers={"If-None-Match": tag}).status_code == 200


def test_progress_and_best_come_from_the_jobs_row(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.RUNNING, spec=make_spec(budget={"max_trials": 10}))
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=0.5, values={"loss": 0.5})
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=0.2, values={"loss": 0.2})
        make_trial(connection, job.id, state=TrialState.INFEASIBLE)
        make_trial(connection, job.id, state=TrialState.CANCELLED)
        make_trial(connection, job.id, state=TrialState.RUNNING)
    shown = client.get(f"/v1/jobs/{job.id}").json()
    assert shown["best"]["number"] == 1
    assert shown["best"]["values"] == {"loss": 0.2}
    progress = shown["progress"]
    assert progress["total"] == 5
    assert progress["counts"]["completed"] == 2
    # Two completed and one infeasible of ten; a cancelled trial does not count.
    assert progress["fraction"] == 0.3
    assert progress["limited_by"] == "slots"


def test_a_job_whose_trials_have_ended_is_answering(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.RUNNING, spec=make_spec(budget={"max_trials": 2}))
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(work_s=10.0))
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=0.5, values={"loss": 0.5})

    def progress() -> tuple[float | None, str | None]:
        shown = client.get(f"/v1/jobs/{job.id}").json()["progress"]
        return shown["eta_s"], shown["limited_by"]

    assert progress() == (10.0, None)
    with database.write() as connection:
        make_trial(connection, job.id, state=TrialState.RUNNING)
    assert progress() == (10.0, None)
    with database.write() as connection, open_ledger(connection, job.id) as ledger:
        ledger.move_trial(1, TrialState.RUNNING, TrialState.COMPLETED, objective=0.4, values={"loss": 0.4})
    assert progress() == (None, "answer")  # it was "0 ms left" while that took its seconds


def test_reading_a_large_job_costs_as_many_queries_as_a_small_one(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        small, large = make_job(connection), make_job(connection)
        make_trial(connection, small.id, state=TrialState.COMPLETED, objective=1.0)
        for number in range(30):
            make_trial(connection, large.id, state=TrialState.COMPLETED, objective=1.0 + number)
    site = client.app.state.site  # type: ignore[attr-defined]

    def cost(job_id: str) -> tuple[int, int]:
        rows, statements = [], []

        def note(*arguments: Any) -> None:
            statements.append(arguments[2])
            rows.append(max(arguments[1].rowcount, 0))

        event.listen(site.database.engine, "after_cursor_execute", note)
        client.get(f"/v1/jobs/{job_id}")
        event.remove(site.database.engine, "after_cursor_execute", note)
        return len(statements), sum(rows)

    assert cost(small.id) == cost(large.id)


def test_jobs_are_filtered(client: TestClient, database: Database) -> None:
    kept = submit(client, name="mine", labels={"team": "vision", 'odd"key': "x"})
    other = submit(client, name="other", labels={"team": "speech"})
    client.post(f"/v1/jobs/{other['id']}/pause")

    def ids(**query: Any) -> list[str]:
        return [job["id"] for job in client.get("/v1/jobs", params=query).json()["items"]]

    assert ids(state="queued") == [kept["id"]]
    assert ids(name="mine") == [kept["id"]]
    assert ids(label="team:vision") == [kept["id"]]
    assert ids(label=["team:vision", 'odd"key:x']) == [kept["id"]]
    assert ids(label=["team:vision", "team2:x"]) == []
    assert ids(trainer="synthetic") == [other["id"], kept["id"]]
    assert ids(trainer="none") == []


def test_pages_of_jobs_are_stable_under_inserts(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        jobs = [make_job(connection, created_at=float(index // 2)).id for index in range(7)]
    seen: list[str] = []
    token = None
    while True:
        page = client.get("/v1/jobs", params={"limit": 2, **({"page_token": token} if token else {})}).json()
        seen += [job["id"] for job in page["items"]]
        submit(client)  # newest first: every one would shift pages counted by offset
        token = page["next_page_token"]
        if token is None:
            break
    assert sorted(seen) == sorted(jobs)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("sort", ["name", "-name", "priority", "-priority", "started_at", "-finished_at", "state"])
def test_jobs_sorted_by_any_column_page_completely(client: TestClient, database: Database, sort: str) -> None:
    with database.write() as connection:
        for index in range(6):
            spec = make_spec(name=f"n{index % 3}", priority=index % 2)
            make_job(connection, spec=spec, state=JobState.COMPLETED if index % 2 else JobState.QUEUED)
    whole = [job["id"] for job in client.get("/v1/jobs", params={"sort": sort}).json()["items"]]
    paged, token = [], None
    while True:
        page = client.get("/v1/jobs", params={"sort": sort, "limit": 1, **({"page_token": token} if token else {})})
        paged += [job["id"] for job in page.json()["items"]]
        token = page.json()["next_page_token"]
        if token is None:
            break
    assert len(whole) == 6
    assert paged == whole


def test_labels_and_priority_are_changed(client: TestClient) -> None:
    job = submit(client, labels={"a": "1"})
    changed = client.patch(f"/v1/jobs/{job['id']}", json={"labels": {"b": "2"}, "priority": 7})
    assert changed.status_code == 200
    assert (changed.json()["labels"], changed.json()["priority"]) == ({"b": "2"}, 7)
    assert (changed.json()["spec"]["labels"], changed.json()["spec"]["priority"]) == ({"b": "2"}, 7)
    assert changed.json()["revision"] > job["revision"]


def test_a_budget_may_only_grow(client: TestClient) -> None:
    here = f"/v1/jobs/{submit(client, budget={'max_trials': 10, 'timeout_s': 60})['id']}"
    assert "it is 10 now" in pointers(client.patch(here, json={"budget": {"max_trials": 9}}))["/budget/max_trials"]
    assert list(pointers(client.patch(here, json={"budget": {"max_trials": None}}))) == ["/budget/max_trials"]
    assert list(pointers(client.patch(here, json={"budget": {"max_gpu_seconds": 5}}))) == ["/budget/max_gpu_seconds"]
    grown = client.patch(here, json={"budget": {"max_trials": 20, "timeout_s": None}}).json()
    assert grown["spec"]["budget"]["max_trials"] == 20
    assert grown["spec"]["budget"]["timeout_s"] is None
    assert grown["state"] == "queued"


@pytest.mark.parametrize(
    ("state", "reason", "budget", "becomes"),
    [
        (JobState.COMPLETED, JobReason.MAX_TRIALS, {"max_trials": 50}, "queued"),
        (JobState.FAILED, JobReason.MAX_FAILED_TRIALS, {"max_failed_trials": 20}, "queued"),
        (JobState.COMPLETED, JobReason.USER, {"max_trials": 50}, "queued"),
        (JobState.PAUSED, JobReason.USER, {"max_trials": 50}, "paused"),
    ],
)
def test_a_larger_budget_reopens_the_job_it_ended(
    client: TestClient, database: Database, state: JobState, reason: JobReason, budget: dict[str, int], becomes: str
) -> None:
    with database.write() as connection:
        job = make_job(connection, state=state, reason=reason)
    changed = client.patch(f"/v1/jobs/{job.id}", json={"budget": budget}).json()
    assert changed["state"] == becomes
    if becomes == "queued":
        assert (changed["desired"], changed["finished_at"]) == ("run", None)


@pytest.mark.parametrize(
    ("reason", "budget", "detail"),
    [
        (JobReason.TARGET, {"max_trials": 50}, "its target was met, which a larger max_trials does not change"),
        (JobReason.TIMEOUT, {"max_trials": 50}, "it reached its timeout_s, which a larger max_trials does not change"),
        (JobReason.MAX_TRIALS, {"max_attempts": 5}, "its max_trials, which a larger max_attempts does not change"),
    ],
)
def test_a_larger_budget_that_would_change_nothing_is_refused_and_says_why(
    client: TestClient, database: Database, reason: JobReason, budget: dict[str, int], detail: str
) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.COMPLETED, reason=reason, spec=make_spec(budget={"max_trials": 40}))
    refused = client.patch(f"/v1/jobs/{job.id}", json={"budget": budget})
    assert refused.status_code == 409
    assert detail in refused.json()["detail"]
    assert client.patch(f"/v1/jobs/{job.id}", json={"budget": {"max_trials": 40}, "priority": 3}).status_code == 200


def test_only_a_finished_job_is_deleted_with_all_it_has(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job_id = submit(client, enqueue=[{}])["id"]
    files = settings.data_dir / "jobs" / job_id / "trials" / "0"
    files.mkdir(parents=True)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 409
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 404
    assert client.get("/v1/trials").json()["items"] == []
    assert not Path(files).exists()


def test_best_lists_completed_trials_in_the_objectives_order(client: TestClient, database: Database) -> None:
    spec = make_spec(objectives=[{"metric": "loss", "direction": "maximize"}])
    with database.write() as connection:
        job = make_job(connection, spec=spec)
        for value in (0.1, 0.9, 0.5):
            make_trial(connection, job.id, state=TrialState.COMPLETED, objective=value)
        make_trial(connection, job.id, state=TrialState.PRUNED, values={"loss": 2.0})
    best = client.get(f"/v1/jobs/{job.id}/best", params={"n": 2}).json()["items"]
    assert [trial["number"] for trial in best] == [1, 2]


def test_best_of_several_objectives_points_to_the_pareto_front(client: TestClient, database: Database) -> None:
    objectives = [{"metric": name, "direction": "minimize"} for name in ("loss", "time")]
    with database.write() as connection:
        job = make_job(connection, spec=make_spec(objectives=objectives))
    response = client.get(f"/v1/jobs/{job.id}/best")
    assert response.status_code == 409
    assert "/pareto" in response.json()["detail"]
    assert client.get(f"/v1/jobs/{job.id}").json()["best"] is None


def test_holding_a_job_shows_in_its_state(client: TestClient, database: Database) -> None:
    job = submit(client)
    hold(database, job["id"])
    shown = client.get(f"/v1/jobs/{job['id']}").json()
    assert shown["state"] == "running"
    assert shown["started_at"] is not None


def test_a_recorded_spec_that_would_be_refused_today_stays_readable(client: TestClient, database: Database) -> None:
    job_id = submit(client, name="old")["id"]
    with database.write() as connection:
        spec = get_job(connection, job_id).spec.model_dump(mode="json")
        spec["budget"]["trial_timeout_s"] = 5e-324
        spec["search_space"]["learning_rate"]["step"] = 1e-300
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(spec=spec))

    (listed,) = client.get("/v1/jobs").json()["items"]

    assert listed["spec"] == spec
    assert client.get(f"/v1/jobs/{job_id}").json()["spec"]["budget"]["trial_timeout_s"] == 5e-324
    assert client.patch(f"/v1/jobs/{job_id}", json={"labels": {"a": "b"}}).json()["labels"] == {"a": "b"}
    assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert set(pointers(client.post("/v1/jobs", json=spec))) == {
        "/budget/trial_timeout_s",
        "/search_space/learning_rate",
    }


def test_a_job_that_fixes_the_trainers_defaults_reads_like_one_that_leaves_them_out(client: TestClient) -> None:
    left_out = submit(client)
    defaults = left_out["spec"]["trainer"]["params"]
    fixed = submit(client, trainer={"name": "synthetic", "params": defaults})
    assert fixed["spec"]["trainer"] == left_out["spec"]["trainer"]
    (card,) = [one for one in client.get("/v1/trainers").json()["items"] if one["name"] == "synthetic"]
    for name, schema in card["params_schema"]["properties"].items():
        if schema.get("default") is not None and name not in left_out["spec"]["search_space"]:
            assert defaults[name] == schema["default"]


def test_a_whole_number_written_as_a_float_is_taken_wherever_a_configuration_is_given(client: TestClient) -> None:
    job = submit(client, enqueue=[{"batch_size": 32.0}])
    assert job["spec"]["enqueue"] == [{"batch_size": 32}]
    response = client.post(f"/v1/jobs/{job['id']}/trials", json={"params": {"batch_size": 64.0}})
    assert response.status_code == 201, response.text
    for text, numbers in (("32.0", [0]), ("64", [1]), ("6.4e1", [1])):
        found = client.get(f"/v1/jobs/{job['id']}/trials", params={"filter": f"params.batch_size={text}"}).json()
        assert [trial["number"] for trial in found["items"]] == numbers
