"""Constraints, warm start, replicates and range tests over HTTP."""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from stepsize.asking.questions import Reply
from stepsize.domain.trial import TrialState
from stepsize.store.answers import StoredAnswer
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import NewTrial, open_ledger
from tests.builders import make_job, make_spec, make_trial
from tests.fake_analyst import best_rate
from tests.integration.api.conftest import pointers, submit


@pytest.fixture
def database(settings: Any) -> Any:
    opened = Database(settings.database_url)
    yield opened
    opened.dispose()


def replicate(database: Database, job_id: str, number: int, values: list[float]) -> None:
    """Record completed replicates of a trial."""
    for value in values:
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            new = ledger.job.n_trials
            trial = NewTrial(new, TrialState.RUNNING, {"learning_rate": 0.01}, seed=new, replicate_of=number)
            ledger.insert_trials([trial])
            ledger.move_trial(new, TrialState.RUNNING, TrialState.COMPLETED, objective=value, values={"loss": value})


def test_best_ranks_by_replicates_and_says_what_is_tied(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, spec=make_spec(replicates={"top": 3, "seeds": 3}))
        for value in (0.1, 0.2, 0.3, 0.4):
            make_trial(connection, job.id, state=TrialState.COMPLETED, objective=value, values={"loss": value})
    replicate(database, job.id, 0, [0.8, 0.9, 1.0])
    replicate(database, job.id, 1, [0.20, 0.21, 0.22])
    replicate(database, job.id, 2, [0.19, 0.21, 0.20])
    best = client.get(f"/v1/jobs/{job.id}/best", params={"n": 5}).json()["items"]
    assert [one["number"] for one in best] == [2, 1, 0, 3]
    assert [one["tied"] for one in best] == [[1], [2], [], []]
    assert best[0]["replicates"]["n"] == 3
    assert best[0]["replicates"]["values"] == [0.19, 0.21, 0.20]
    # Student's interval of three values with standard deviation 0.01: 4.303 * 0.01 / sqrt(3) on either side.
    assert best[0]["replicates"]["mean"]["value"] == pytest.approx(0.20, rel=1e-12)
    assert best[0]["replicates"]["mean"]["high"] == pytest.approx(0.20 + 4.3027 * 0.01 / 3**0.5, abs=1e-5)
    assert best[3]["replicates"] is None
    assert client.get(f"/v1/jobs/{job.id}").json()["best"]["number"] == 2


def test_an_enqueued_configuration_that_breaks_a_constraint_is_refused(client: TestClient) -> None:
    job = submit(client, parameter_constraints=["batch_size * learning_rate <= 1"])
    path = f"/v1/jobs/{job['id']}/trials"
    response = client.post(path, json={"params": {"batch_size": 64, "learning_rate": 0.5}})
    assert pointers(response) == {
        "/params": "this configuration breaks the constraint batch_size * learning_rate <= 1: "
        "batch_size was 64, learning_rate was 0.5"
    }
    assert client.post(path, json={"params": {"batch_size": 64}}).status_code == 201


def test_warm_start_names_jobs_that_are_there(client: TestClient) -> None:
    earlier = submit(client)["id"]
    body = {"trainer": {"name": "synthetic"}, "warm_start": {"jobs": [earlier, "job-nowhere"]}}
    response = client.post("/v1/jobs", json=body)
    assert pointers(response) == {"/warm_start/jobs/1": "there is no job 'job-nowhere'"}
    assert pointers(client.post("/v1/jobs", json=body | {"warm_start": {}})) == {"/warm_start": "name jobs or labels"}


def test_warm_start_by_labels_is_settled_at_submission(client: TestClient, database: Database) -> None:
    labels = {"task": "digits"}
    earlier = submit(client, labels=labels, trainer={"name": "synthetic", "params": {"lr_opt": 0.1}})["id"]
    submit(client, labels={"task": "letters"})
    job = submit(client, labels=labels, warm_start={"labels": labels})
    submit(client, labels=labels)
    with database.read() as connection:
        details = get_job(connection, job["id"]).details
    assert details is not None
    assert [(one["job_id"], one["defaults"]["batch_size"]) for one in details["warm_start"]] == [(earlier, 32)]


def test_labels_that_nobody_carries_yet_are_a_warning(client: TestClient) -> None:
    job = submit(client, warm_start={"labels": {"task": "digits"}})
    assert job["warnings"] == ["warm start found no job with these labels: the search starts from nothing"]


def test_a_job_whose_range_is_to_be_found_says_so_until_it_is(client: TestClient, database: Database) -> None:
    space = {"learning_rate": {"type": "float", "range_test": True}}
    job = submit(client, search_space=space)
    assert job["search_space_resolved"]["learning_rate"]["range_test"]
    with database.write() as connection, open_ledger(connection, job["id"]) as ledger:
        found = {**space["learning_rate"], "low": 1e-3, "high": 1e-1, "range_test": False, "log": True}
        ledger.set_job(findings={"search_space": {"learning_rate": found}})
    shown = client.get(f"/v1/jobs/{job['id']}").json()
    assert shown["search_space_resolved"]["learning_rate"]["high"] == 0.1
    assert shown["spec"] == job["spec"], "the spec posts back unchanged"


@pytest.mark.parametrize("seeds", ["fresh", "shared", {"blocks": 4}])
def test_the_rule_for_seeds_is_written_back(client: TestClient, seeds: Any) -> None:
    spec = submit(client, seeds=seeds)["spec"]
    assert spec["seeds"] == seeds
    assert client.post("/v1/jobs", json=spec).json()["spec"] == spec


def test_seeds_are_fresh_unless_asked_otherwise(client: TestClient) -> None:
    job = submit(client, enqueue=[{}, {}], budget={"max_trials": 3})
    trials = client.get(f"/v1/jobs/{job['id']}/trials").json()["items"]
    assert job["spec"]["seeds"] == "fresh"
    assert len({trial["seed"] for trial in trials}) == 2


@pytest.mark.parametrize("seeds", ["own", 3, {"blocks": 1}, {"blocks": 2.5}, {"n": 4}, {"blocks": 4, "n": 1}, None])
def test_a_rule_for_seeds_that_makes_no_sense_is_refused_with_the_mend(client: TestClient, seeds: Any) -> None:
    response = client.post("/v1/jobs", json={"trainer": {"name": "synthetic"}, "seeds": seeds})
    wanted = '"fresh", "shared", "unknown" or {"blocks": n} with n from 2 to 1000 is expected'
    assert pointers(response) == {"/seeds": wanted}


@pytest.mark.parametrize("confirm", [True, False, {"share": 0.2}])
def test_confirm_is_written_back_and_its_cost_is_told(client: TestClient, confirm: Any) -> None:
    job = submit(client, confirm=confirm)
    assert job["spec"]["confirm"] == confirm
    assert client.post("/v1/jobs", json=job["spec"]).json()["spec"] == job["spec"]
    dry = client.post("/v1/jobs?dry_run=true", json=job["spec"]).json()
    assert (
        dry["confirm_trials"]
        == job["progress"]["confirm_trials"]
        == (8 if confirm not in (True, False) else 6 * confirm)
    )


@pytest.mark.parametrize("confirm", ["yes", 1, {"share": 0.6}, {"share": 0}, {"n": 3}])
def test_a_confirm_that_makes_no_sense_is_refused_with_the_mend(client: TestClient, confirm: Any) -> None:
    response = client.post("/v1/jobs", json={"trainer": {"name": "synthetic"}, "confirm": confirm})
    assert pointers(response) == {
        "/confirm": 'true, false or {"share": s} with s above 0 and up to 0.5 is expected here'
    }


def answer_of(database: Database, job_id: str, *, is_final: bool) -> str:
    """Store an answer to the job as it is, and return its report."""
    report = f'{{"job_id": "{job_id}", "is_final": {str(is_final).lower()}}}'
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.set_answer(StoredAnswer(best_rate([]), report, ledger.change - 1, is_final))
    return report


def test_a_job_shows_the_stored_answer_and_a_new_one_is_news(client: TestClient, database: Database) -> None:
    job = submit(client)
    path = f"/v1/jobs/{job['id']}"
    assert job["answer"] is None
    tag = client.get(path).headers["etag"]
    answer_of(database, job["id"], is_final=False)
    found = client.get(path, headers={"If-None-Match": tag})
    assert found.status_code == 200
    assert found.json()["answer"]["words"] == "none"
    assert list(found.json()).index("answer") < list(found.json()).index("best")
    assert client.get("/v1/jobs").json()["items"][0]["answer"] == found.json()["answer"]
    assert client.get(path, headers={"If-None-Match": found.headers["etag"]}).status_code == 304


def test_a_report_is_served_as_stored_as_long_as_nothing_has_ended_since(
    client: TestClient, app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def ask(question: object, changes: tuple[int, ...]) -> Reply:
        asked.append(question)
        return Reply(b"{}", changes)

    monkeypatch.setattr(app.state.site.analyst, "ask", ask)
    with database.write() as connection:
        job = make_job(connection, spec=make_spec())
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=0.1, values={"loss": 0.1})
    path = f"/v1/jobs/{job.id}/report"
    report = answer_of(database, job.id, is_final=False)
    with database.write() as connection:
        make_trial(connection, job.id, state=TrialState.RUNNING)
    assert client.patch(f"/v1/jobs/{job.id}", json={"priority": 3}).status_code == 200
    found = client.get(path)
    assert (found.text, asked) == (report, [])
    assert client.get(path, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
    assert client.get(path, headers={"Accept": "text/markdown"}).status_code == 200
    assert len(asked) == 1

    with database.write() as connection:
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=0.2, values={"loss": 0.2})
    assert client.get(path).text == "{}"
    assert len(asked) == 2
    answer_of(database, job.id, is_final=True)
    assert client.get(path).text == "{}", "it speaks of a finished job, and this one is not"
