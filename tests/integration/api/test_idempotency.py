"""Idempotency keys: a POST repeated has its effect once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update
from starlette.testclient import TestClient

from stepsize.clock import now
from stepsize.store.database import Database
from stepsize.store.idempotency import KEEP_S
from stepsize.store.models import idempotency_keys, jobs
from tests.integration.api.conftest import submit

BODY = {"trainer": {"name": "synthetic"}}
KEY = {"Idempotency-Key": "key-1"}


def _n_jobs(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(jobs)) or 0


def test_a_repeated_submission_answers_with_the_job_as_it_is_now(client: TestClient, database: Database) -> None:
    first = client.post("/v1/jobs", json=BODY, headers=KEY)
    client.post(f"/v1/jobs/{first.json()['id']}/pause")
    again = client.post("/v1/jobs", json=BODY, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["state"] == "paused"
    assert _n_jobs(database) == 1


def test_the_same_body_written_otherwise_is_the_same(client: TestClient, database: Database) -> None:
    client.post("/v1/jobs", content=b'{"priority": 1, "trainer": {"name":"synthetic"}}', headers=_json(KEY))
    again = client.post("/v1/jobs", content=b'{"trainer":{"name":"synthetic"},"priority":1}', headers=_json(KEY))
    assert again.status_code == 201
    assert _n_jobs(database) == 1


def test_another_body_with_the_same_key_is_a_conflict(client: TestClient, database: Database) -> None:
    client.post("/v1/jobs", json=BODY, headers=KEY)
    response = client.post("/v1/jobs", json={**BODY, "priority": 1}, headers=KEY)
    assert (response.status_code, response.json()["type"]) == (409, "urn:stepsize:idempotency-key-reused")
    assert _n_jobs(database) == 1


def test_a_key_belongs_to_its_path(client: TestClient) -> None:
    first, second = (submit(client)["id"] for _ in range(2))
    assert client.post(f"/v1/jobs/{first}/pause", headers=KEY).json()["state"] == "paused"
    assert client.post(f"/v1/jobs/{second}/pause", headers=KEY).json()["state"] == "paused"


def test_a_refused_request_does_not_take_the_key(client: TestClient) -> None:
    assert client.post("/v1/jobs", json={"trainer": {"name": "none"}}, headers=KEY).status_code == 422
    assert client.post("/v1/jobs", json=BODY, headers=KEY).status_code == 201


def test_a_control_repeated_does_not_act_again(client: TestClient) -> None:
    here = f"/v1/jobs/{submit(client)['id']}"
    client.post(f"{here}/pause", headers=KEY)
    client.post(f"{here}/resume")
    assert client.post(f"{here}/pause", headers=KEY).json()["state"] == "queued"


def test_an_enqueued_trial_is_answered_again(client: TestClient) -> None:
    here = f"/v1/jobs/{submit(client)['id']}/trials"
    answers = [client.post(here, json={"params": {}}, headers=KEY) for _ in range(2)]
    assert [(answer.status_code, answer.json()["number"]) for answer in answers] == [(201, 0), (201, 0)]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]


def test_a_resource_deleted_since_is_not_found(client: TestClient) -> None:
    here = f"/v1/jobs/{client.post('/v1/jobs', json=BODY, headers=KEY).json()['id']}"
    client.post(f"{here}/cancel")
    client.delete(here)
    assert client.post("/v1/jobs", json=BODY, headers=KEY).status_code == 404


def test_a_key_is_forgotten_after_a_day(client: TestClient, database: Database) -> None:
    client.post("/v1/jobs", json=BODY, headers=KEY)
    with database.write() as connection:
        connection.execute(update(idempotency_keys).values(created_at=now() - KEEP_S - 1))
    client.post("/v1/jobs", json=BODY, headers=KEY)
    assert _n_jobs(database) == 2


@pytest.mark.parametrize("key", ["", "a b", "k" * 256])
def test_an_improper_key_is_refused(client: TestClient, key: str) -> None:
    assert client.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": key}).status_code == 422


def test_concurrent_duplicates_have_one_effect(app: FastAPI, database: Database) -> None:
    with ThreadPoolExecutor(8) as pool, TestClient(app) as client:
        answers = list(pool.map(lambda _: client.post("/v1/jobs", json=BODY, headers=KEY), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert _n_jobs(database) == 1


def test_a_duplicate_waits_for_the_first(app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the first request inside its transaction; the second must answer only after it, and with its job."""
    entered, go_on = threading.Event(), threading.Event()
    submit_once = _held("stepsize.application.jobs.submit", entered, go_on, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/v1/jobs", json=BODY, headers=KEY)
        assert entered.wait(10)
        second = pool.submit(client.post, "/v1/jobs", json=BODY, headers=KEY)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.5)  # long enough for an answer that does not wait, which takes milliseconds
        go_on.set()
        assert second.result(timeout=20).json()["id"] == first.result(timeout=20).json()["id"]
    assert submit_once() == 1


def _held(
    name: str, entered: threading.Event, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], int]:
    from stepsize.application import jobs as application  # noqa: PLC0415

    real, calls = application.submit, list[str]()

    def held(*arguments: Any, **named: Any) -> str:
        job_id = real(*arguments, **named)
        calls.append(job_id)
        entered.set()
        assert go_on.wait(20)
        return job_id

    monkeypatch.setattr(name, held)
    return lambda: len(calls)


def _json(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}
