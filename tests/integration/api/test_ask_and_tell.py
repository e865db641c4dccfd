"""Ask and tell over HTTP: leases and their tokens, verdicts, ends, and what clients are told when there is nothing."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from stepsize.store.database import Database
from stepsize.store.models import jobs, trials
from tests.builders import expire_lease
from tests.fake_analyst import FakeAnalyst
from tests.integration.api.conftest import enlist, pointers, submit
from tests.searching import Searcher

SPACE = {"lr": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}}
OBJECTIVES = [{"metric": "loss", "direction": "minimize"}]
EXTERNAL = {"engine": "external", "search_space": SPACE, "objectives": OBJECTIVES}


class Asker:
    """A client by one name, on one job."""

    def __init__(self, http: TestClient, job_id: str, name: str = "gpu-1") -> None:
        self.http = http
        self.job_id = job_id
        self.path = f"/v1/jobs/{job_id}"
        self.name = name

    def ask(self, **more: Any) -> dict[str, Any]:
        response = self.http.post(f"{self.path}/suggestions", json={"client_id": self.name, **more})
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def take(self, **more: Any) -> tuple[int, int]:
        """Ask for one trial and return its number and token."""
        (trial,) = self.ask(**more)["trials"]
        return trial["number"], trial["lease"]["token"]

    def report(self, number: int, token: int, *points: tuple[int, float], **more: Any) -> Any:
        reports = [{"step": step, "values": {"loss": loss}} for step, loss in points]
        body = {"lease_token": token, "reports": reports, **more}
        return self.http.post(f"{self.path}/trials/{number}/reports", json=body)

    def complete(self, number: int, token: int, **told: Any) -> Any:
        return self.http.post(f"{self.path}/trials/{number}/complete", json={"lease_token": token, **told})

    def control(self, verb: str) -> None:
        assert self.http.post(f"{self.path}/{verb}").status_code == 200

    def trial(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"{self.path}/trials/{number}").json()
        return found

    def job(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(self.path).json()
        return found

    def beside(self, name: str) -> "Asker":
        """Return another client of the same job."""
        return Asker(self.http, self.job_id, name)


class World:
    """External jobs, each with a worker that searches, and a client."""

    def __init__(self, http: TestClient, database: Database, data_dir: Path) -> None:
        self.http, self.database, self.data_dir = http, database, data_dir

    def open(self, **spec: Any) -> tuple[Asker, Searcher]:
        body = {**EXTERNAL, "sampler": {"name": "random", "seed": 0}, **spec}
        response = self.http.post("/v1/jobs", json=body)
        assert response.status_code == 201, response.text
        job_id = response.json()["id"]
        return Asker(self.http, job_id), Searcher(self.database, job_id, self.data_dir)

    def lapse(self, number: int) -> None:
        """Let the lease on a trial have run out, as if its client had been silent."""
        with self.database.write() as connection:
            connection.execute(update(jobs).values(change=jobs.c.change + 1))
            lapsed = {"lease_expires_at": 1.0, "change": jobs.c.change}
            connection.execute(
                update(trials).where(trials.c.number == number, trials.c.job_id == jobs.c.id).values(lapsed)
            )


@pytest.fixture
def world(client: TestClient, database: Database, tmp_path: Path) -> World:
    return World(client, database, tmp_path)


def is_lease_lost(response: Any) -> bool:
    return (response.status_code, response.json().get("type")) == (409, "urn:stepsize:lease-lost")


# -- submitting ----------------------------------------------------------------------------------------------------


def test_an_external_job_says_itself_what_is_searched_and_for_what(client: TestClient) -> None:
    missing = pointers(client.post("/v1/jobs", json={"engine": "external"}))
    assert set(missing) == {"/search_space", "/objectives"}


def test_its_trainer_is_free_text_and_its_spec_posts_back_unchanged(client: TestClient) -> None:
    job = client.post("/v1/jobs", json={**EXTERNAL, "trainer": "cfd solver"}).json()
    assert job["spec"]["trainer"] == {"name": "cfd solver", "version": None, "params": {}}
    again = client.post("/v1/jobs", json=job["spec"])
    assert again.status_code == 201
    assert again.json()["spec"] == job["spec"]


def test_it_has_no_range_test(client: TestClient) -> None:
    space = {"learning_rate": {"type": "float", "range_test": True}}
    wrong = client.post("/v1/jobs", json={**EXTERNAL, "search_space": space})
    assert list(pointers(wrong)) == ["/search_space/learning_rate/range_test"]


def test_any_living_worker_can_run_it(client: TestClient, database: Database) -> None:
    path = f"/v1/jobs/{client.post('/v1/jobs', json={**EXTERNAL, 'resources': {'cpus': 64}}).json()['id']}"
    assert client.get(path).json()["reason"] == "no_worker"
    enlist(database, trainers=())
    assert client.get(path).json()["reason"] is None


# -- asking --------------------------------------------------------------------------------------------------------


def test_asking_again_gives_the_same_trial_with_the_same_token_renewed(world: World) -> None:
    asker, _ = world.open()
    first = asker.ask(lease_s=10)["trials"][0]
    again = asker.ask(lease_s=100)["trials"][0]
    assert again["lease"]["token"] == first["lease"]["token"]
    assert again["lease"]["expires_at"] > first["lease"]["expires_at"]
    assert {**again, "lease": None} == {**first, "lease": None}


def test_asking_for_more_tops_up(world: World) -> None:
    asker, searcher = world.open()
    held = asker.take()[0]
    for _ in range(3):  # one ready for each trial under way, and so on
        searcher.work()
        found = asker.ask(count=3)["trials"]
    assert [trial["number"] for trial in found] == [held, 1, 2]


def test_each_trial_given_out_has_a_seed_of_its_own_and_keeps_it(world: World) -> None:
    asker, searcher = world.open()
    asker.take()
    for _ in range(3):
        searcher.work()
        seeds = [trial["seed"] for trial in asker.ask(count=3)["trials"]]
    assert len(set(seeds)) == 3
    assert [trial["seed"] for trial in asker.ask(count=3)["trials"]] == seeds


def test_two_clients_never_have_the_same_trial(world: World) -> None:
    asker, searcher = world.open()
    mine = asker.take()[0]
    searcher.work()
    assert asker.beside("gpu-2").take()[0] != mine


def test_no_more_trials_than_max_parallel_are_given(world: World) -> None:
    asker, searcher = world.open(budget={"max_trials": 10, "max_parallel_trials": 2})
    asker.beside("a").take()
    searcher.work()
    number, token = asker.beside("b").take()
    searcher.work()
    assert asker.ask()["why_empty"] == "waiting"
    asker.complete(number, token, values={"loss": 1.0})
    searcher.work()
    assert len(asker.ask()["trials"]) == 1


def test_suggestions_end_with_the_budget_and_the_job_with_the_last_trial(world: World) -> None:
    asker, searcher = world.open(budget={"max_trials": 1})
    number, token = asker.take()
    searcher.work()
    late = asker.beside("late")
    assert late.ask() == {"trials": [], "why_empty": "budget", "job_state": "running"}
    asker.complete(number, token, values={"loss": 1.0})
    searcher.work()
    assert late.ask(wait_s=60) == {"trials": [], "why_empty": "finished", "job_state": "completed"}
    assert asker.job()["reason"] == "max_trials"
    assert asker.job()["best"]["number"] == number


def test_without_a_worker_a_client_is_told_so(client: TestClient, database: Database) -> None:
    asker = Asker(client, client.post("/v1/jobs", json=EXTERNAL).json()["id"])
    assert asker.ask()["why_empty"] == "no_worker"
    enlist(database)
    assert asker.ask()["why_empty"] == "waiting"


def test_a_job_of_slots_gives_no_suggestions(client: TestClient) -> None:
    response = client.post(f"/v1/jobs/{submit(client)['id']}/suggestions", json={"client_id": "a"})
    assert response.status_code == 409
    assert response.json()["type"] == "urn:stepsize:state-conflict"


def test_a_key_repeated_gives_no_second_trial(world: World) -> None:
    asker, searcher = world.open()
    body, headers = {"client_id": "a"}, {"Idempotency-Key": "k"}
    first = asker.http.post(f"{asker.path}/suggestions", json=body, headers=headers).json()
    asker.complete(first["trials"][0]["number"], first["trials"][0]["lease"]["token"], values={"loss": 1.0})
    searcher.work()
    again = asker.http.post(f"{asker.path}/suggestions", json=body, headers=headers).json()
    assert again["trials"] == []


def test_enqueued_configurations_go_first_completed_by_the_sampler(world: World) -> None:
    space = {**SPACE, "width": {"type": "int", "low": 1, "high": 64}}
    asker, searcher = world.open(search_space=space, enqueue=[{"lr": 0.5}, {"lr": 0.25, "width": 7}])
    first = asker.ask()["trials"][0]["params"]
    searcher.work()
    assert asker.beside("b").ask()["trials"][0]["params"] == {"lr": 0.25, "width": 7}
    assert first["lr"] == 0.5
    assert 1 <= first["width"] <= 64


# -- leases --------------------------------------------------------------------------------------------------------


def test_a_lapsed_trial_goes_to_the_next_client_with_a_higher_token_and_none_of_its_reports(world: World) -> None:
    asker, searcher = world.open()
    number, old = asker.take()
    asker.report(number, old, (1, 0.5))
    params = asker.trial(number)["params"]
    world.lapse(number)
    searcher.work()
    other = asker.beside("gpu-2")
    assert other.take() == (number, old + 1)
    trial = other.trial(number)
    assert (trial["params"], trial["attempt"], trial["step"], trial["values"]) == (params, 2, None, {})
    assert other.http.get(f"{other.path}/trials/{number}/reports").json()["items"] == []


def test_a_stale_token_writes_nothing_and_the_newer_owners_result_stands(world: World) -> None:
    asker, _ = world.open()
    number, old = asker.take()
    world.lapse(number)
    _, token = asker.beside("gpu-2").take()
    assert is_lease_lost(asker.report(number, old, (1, 0.5)))
    assert is_lease_lost(asker.complete(number, old, values={"loss": 9.0}))
    assert asker.complete(number, token, values={"loss": 0.1}).status_code == 200
    assert is_lease_lost(asker.complete(number, old, values={"loss": 9.0}))
    assert asker.trial(number)["values"] == {"loss": 0.1}


def test_a_lapsed_lease_that_nobody_took_is_renewed_by_its_token(world: World) -> None:
    asker, searcher = world.open()
    number, token = asker.take()
    world.lapse(number)
    searcher.work()
    assert asker.report(number, token, (1, 0.5)).json()["should_stop"] is False
    assert asker.beside("gpu-2").take()[0] != number
    assert asker.complete(number, token, values={"loss": 0.5}).json()["attempt"] == 1


def test_a_trial_that_every_client_lost_is_failed_lost(world: World) -> None:
    asker, searcher = world.open(budget={"max_trials": 5, "max_attempts": 2})
    for name in ("a", "b"):
        assert asker.beside(name).take()[0] == 0
        world.lapse(0)
    searcher.work()
    trial = asker.trial(0)
    assert (trial["state"], trial["reason"], trial["attempt"]) == ("failed", "lost", 2)
    assert asker.take()[0] == 1


def test_a_client_started_anew_has_its_trial_back_from_the_first_step(world: World) -> None:
    asker, searcher = world.open()
    number, old = asker.take()
    asker.report(number, old, (1, 0.5))
    assert asker.take(restarted=True) == (number, old + 1)
    trial = asker.trial(number)
    assert (trial["attempt"], trial["step"], trial["values"]) == (2, None, {})
    assert is_lease_lost(asker.report(number, old, (2, 0.4)))
    assert asker.report(number, old + 1, (1, 0.7)).status_code == 200, "another value: the old one is forgotten"
    assert asker.take() == (number, old + 1), "asking again is not starting anew"
    searcher.work()
    assert asker.beside("gpu-2").take(restarted=True)[0] != number, "each its own"
    assert asker.complete(number, old + 1, values={"loss": 0.5}).json()["state"] == "completed"


def test_a_trial_whose_client_is_interrupted_however_often_loses_no_attempt(world: World) -> None:
    asker, _ = world.open(budget={"max_trials": 5, "max_attempts": 2})
    number, token = asker.take()
    for again in range(1, 5):
        asker.report(number, token, (1, 0.1 * again))
        asker_has = asker.take(restarted=True, interrupted=True)
        assert asker_has == (number, token + 1)
        token += 1
    assert (asker.trial(number)["state"], asker.trial(number)["attempt"]) == ("running", 1)


def test_a_trial_that_kills_its_client_each_time_is_failed_lost(world: World) -> None:
    asker, searcher = world.open(budget={"max_trials": 5, "max_attempts": 2})
    assert [asker.take(restarted=True)[0] for _ in range(2)] == [0, 0]
    assert asker.ask(restarted=True)["trials"] == []
    searcher.work()
    assert asker.take(restarted=True)[0] == 1
    trial = asker.trial(0)
    assert (trial["state"], trial["reason"], trial["error"]["type"]) == ("failed", "lost", "Lost")


def test_a_client_says_what_it_trains_with(world: World) -> None:
    asker, _ = world.open()
    (trial,) = asker.ask(provenance={"packages": {"jax": "0.7"}, "device": "a TPU"})["trials"]
    (item,) = asker.http.get(f"{asker.path}/provenance").json()["items"]
    assert (item["id"], item["n_trials"]) == (trial["provenance"], 1)
    assert (item["provenance"]["packages"], item["provenance"]["device"]) == ({"jax": "0.7"}, "a TPU")
    sent = {"client_id": "gpu-1", "provenance": {"gpu": "a TPU"}}
    assert "/provenance/gpu" in pointers(asker.http.post(f"{asker.path}/suggestions", json=sent))


def test_a_trial_retried_is_nobodys_until_it_is_given_out_again(world: World) -> None:
    asker, searcher = world.open()
    number, token = asker.take()
    asker.complete(number, token, state="failed")
    searcher.work()
    assert asker.http.post(f"{asker.path}/trials/{number}/retry").status_code == 200
    assert is_lease_lost(asker.report(number, token, (1, 0.5)))
    searcher.work()
    assert asker.take() == (number, token + 1)
    assert asker.complete(number, token + 1, values={"loss": 1.0}).json()["state"] == "completed"
    searcher.work()
    assert asker.job()["best"]["number"] == number


# -- reporting -----------------------------------------------------------------------------------------------------


def test_repeating_a_step_alike_changes_nothing_and_otherwise_conflicts(world: World) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    asker.report(number, token, (1, 0.5), (2, 0.4))
    assert asker.report(number, token, (2, 0.4), (3, 0.3)).status_code == 200
    assert asker.report(number, token, (2, 0.9)).status_code == 409
    items = asker.http.get(f"{asker.path}/trials/{number}/reports").json()["items"]
    assert [(item["step"], item["values"]["loss"]) for item in items] == [(1, 0.5), (2, 0.4), (3, 0.3)]
    assert asker.trial(number)["step"] == 3


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e308", '"NaN"'])
def test_only_finite_numbers_enter(world: World, value: str) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    body = f'{{"lease_token": {token}, "reports": [{{"step": 1, "values": {{"loss": {value}}}}}]}}'
    json_type = {"Content-Type": "application/json"}
    wrong = asker.http.post(f"{asker.path}/trials/{number}/reports", content=body, headers=json_type)
    assert '"reason": "diverged"' in pointers(wrong)["/reports/0/values/loss"]


@pytest.mark.parametrize("text", ["0.5", "low", "", "٣"])
def test_text_is_no_number(world: World, text: str) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    for call, said, field in (
        ("reports", {"reports": [{"step": 1, "values": {"loss": text}}]}, "/reports/0/values/loss"),
        ("complete", {"values": {"loss": text}}, "/values/loss"),
    ):
        wrong = asker.http.post(f"{asker.path}/trials/{number}/{call}", json={"lease_token": token, **said})
        assert pointers(wrong)[field].startswith("this is the text ")


def test_the_pruners_verdict_is_heard_at_the_next_report(world: World) -> None:
    asker, searcher = world.open(pruner={"name": "threshold", "upper": 1.0})
    number, token = asker.take()
    assert asker.report(number, token, (1, 0.5)).json()["should_stop"] is False
    assert asker.report(number, token, (2, 5.0)).json()["should_stop"] is False
    searcher.work()
    verdict = asker.report(number, token, (3, 5.0), wait_s=5).json()
    assert verdict == {"should_stop": True, "reason": "pruner", "lease_expires_at": None}
    late = asker.complete(number, token, values={"loss": 0.1})
    assert (late.status_code, late.json()["state"]) == (200, "pruned")


def test_without_a_pruner_no_report_waits(world: World) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    response = asker.report(number, token, (1, 0.5), wait_s=60)
    assert response.elapsed.total_seconds() < 5


def test_a_trial_that_takes_too_long_is_failed_timeout(world: World) -> None:
    asker, searcher = world.open(budget={"max_trials": 5, "trial_timeout_s": 0.01})
    number, token = asker.take()
    time.sleep(0.02)
    searcher.work()
    assert asker.report(number, token).json() == {"should_stop": True, "reason": "timeout", "lease_expires_at": None}


# -- telling -------------------------------------------------------------------------------------------------------


def test_a_completion_names_the_objective_it_lacks(world: World) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    assert "'loss'" in pointers(asker.complete(number, token, values={"los": 1.0}))["/values"]


@pytest.mark.parametrize(
    ("told", "other"),
    [
        ({"values": {"loss": 0.5}}, {"values": {"loss": 0.6}}),
        ({"state": "infeasible", "reason": "oom"}, {"state": "infeasible", "reason": "diverged"}),
        ({"state": "failed"}, {"values": {"loss": 0.6}}),
    ],
)
def test_telling_again_alike_is_fine_and_otherwise_conflicts(
    world: World, told: dict[str, Any], other: dict[str, Any]
) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    first = asker.complete(number, token, **told)
    assert first.status_code == 200
    assert asker.complete(number, token, **told).json() == first.json()
    assert asker.complete(number, token, **other).status_code == 409
    assert first.json().items() <= asker.trial(number).items(), "the trial by itself also has what its job fixes"


def test_a_reason_must_fit_the_state(world: World) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    assert "/reason" in pointers(asker.complete(number, token, state="infeasible"))
    assert "/reason" in pointers(asker.complete(number, token, values={"loss": 1.0}, reason="oom"))


def test_a_trial_that_its_client_has_pruned_counts_as_pruned(world: World) -> None:
    asker, _ = world.open()
    number, token = asker.take()
    asker.report(number, token, (1, 0.4))
    assert asker.complete(number, token, state="pruned").status_code == 200
    trial = asker.trial(number)
    assert (trial["state"], trial["reason"], trial["values"]) == ("pruned", "pruner", {"loss": 0.4})


def test_an_outcome_constraint_makes_a_completion_infeasible(world: World) -> None:
    asker, _ = world.open(outcome_constraints=["seconds <= 60"])
    number, token = asker.take()
    told = {"values": {"loss": 0.1, "seconds": 61.0}}
    trial = asker.complete(number, token, **told).json()
    assert (trial["state"], trial["reason"]) == ("infeasible", None)
    assert "seconds <= 60" in trial["error"]["message"]
    assert asker.complete(number, token, **told).status_code == 200
    assert asker.job()["best"] is None


# -- controls ------------------------------------------------------------------------------------------------------


def test_a_paused_job_gives_nothing_and_its_running_trials_go_on(world: World) -> None:
    asker, searcher = world.open()
    number, token = asker.take()
    asker.control("pause")
    searcher.work()
    assert asker.beside("gpu-2").ask() == {"trials": [], "why_empty": "paused", "job_state": "running"}
    assert asker.report(number, token, (1, 0.5)).json()["should_stop"] is False
    assert asker.complete(number, token, values={"loss": 0.5}).status_code == 200
    searcher.work()
    assert asker.job()["state"] == "paused"


def test_a_stopped_job_lets_running_trials_finish(world: World) -> None:
    asker, searcher = world.open()
    number, token = asker.take()
    asker.control("stop")
    searcher.work()
    assert asker.job()["state"] == "stopping"
    assert asker.report(number, token, (1, 0.5)).json()["should_stop"] is False
    assert asker.complete(number, token, values={"loss": 0.5}).status_code == 200
    searcher.work()
    assert (asker.job()["state"], asker.job()["reason"]) == ("completed", "user")


def test_a_stopped_job_does_not_wait_for_clients_that_are_gone(world: World) -> None:
    asker, searcher = world.open()
    number, _ = asker.take()
    world.lapse(number)
    asker.control("stop")
    searcher.work()
    assert asker.job()["state"] == "completed"
    assert asker.trial(number)["state"] == "cancelled"


@pytest.mark.parametrize("has_worker", [True, False])
def test_a_cancelled_job_tells_its_clients_to_stop(world: World, has_worker: bool) -> None:
    asker, searcher = world.open()
    number, token = asker.take()
    if not has_worker:
        with world.database.write() as connection:
            expire_lease(connection, asker.job_id)
    asker.control("cancel")
    assert asker.report(number, token, (1, 0.5)).json()["should_stop"] is True
    if has_worker:
        searcher.work()
    verdict = asker.report(number, token).json()
    assert verdict == {"should_stop": True, "reason": "user", "lease_expires_at": None}
    assert asker.complete(number, token, values={"loss": 0.5}).status_code == 409
    assert asker.job()["state"] == "cancelled"


def test_a_cancelled_trial_is_stopped_and_the_job_goes_on(world: World) -> None:
    asker, searcher = world.open()
    number, token = asker.take()
    assert asker.http.post(f"{asker.path}/trials/{number}/cancel").status_code == 200
    assert asker.report(number, token).json()["reason"] == "user"
    searcher.work()
    assert asker.trial(number)["state"] == "cancelled"
    assert asker.take()[0] == number + 1


def test_a_target_met_ends_the_job_with_suggestions_left(world: World) -> None:
    asker, searcher = world.open(objectives=[{**OBJECTIVES[0], "target": 0.1}])
    number, token = asker.take()
    searcher.work()
    asker.complete(number, token, values={"loss": 0.05})
    searcher.work()
    job = asker.job()
    assert (job["state"], job["reason"]) == ("completed", "target")
    assert job["progress"]["counts"]["cancelled"] == job["progress"]["total"] - 1 >= 1


# -- checks --------------------------------------------------------------------------------------------------------


def test_clients_train_the_checks_of_an_answer_as_any_other_trial(
    client: TestClient, database: Database, tmp_path: Path
) -> None:
    space = {"learning_rate": SPACE["lr"]}
    spec = {**EXTERNAL, "search_space": space, "budget": {"max_trials": 20}, "confirm": True, "seeds": "fresh"}
    job_id = client.post("/v1/jobs", json={**spec, "sampler": {"name": "random", "seed": 0}}).json()["id"]
    asker = Asker(client, job_id)
    searcher = Searcher(database, job_id, tmp_path, analyst=FakeAnalyst(database))
    taken = []
    for _ in range(20):
        (trial,) = asker.ask()["trials"]
        taken.append(trial)
        told = {"loss": trial["params"]["learning_rate"]}
        assert asker.complete(trial["number"], trial["lease"]["token"], values=told).status_code == 200
        searcher.work()

    searched, checks = taken[:17], taken[17:]
    best = min(searched, key=lambda trial: float(trial["params"]["learning_rate"]))
    assert [trial["purpose"] for trial in taken] == ["search"] * 17 + ["confirm"] * 3
    assert all(trial["params"] == best["params"] for trial in checks)
    assert len({trial["seed"] for trial in taken}) == 20, "a client that honours seeds trains checks afresh"
    job = asker.job()
    assert (job["state"], job["reason"]) == ("completed", "max_trials")
    assert job["answer"]["confirmed"]["value"] == pytest.approx(best["params"]["learning_rate"])
