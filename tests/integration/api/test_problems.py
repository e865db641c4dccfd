"""Errors: problem documents everywhere, with pointers and hints for what is wrong, and nothing of our insides."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from stepsize.settings import Settings
from stepsize.store.database import Database
from tests.integration.api.conftest import pointers, submit

TRAINER = {"name": "synthetic"}
LOSS = [{"metric": "loss", "direction": "minimize"}]
RANGE: dict[str, Any] = {"type": "float", "low": 0.1, "high": 1}
JSON = {"Content-Type": "application/json"}


def _submit(client: TestClient, body: object) -> dict[str, str]:
    return pointers(client.post("/v1/jobs", json=body))


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({}, "/trainer", "required"),
        ({"trainr": TRAINER, "trainer": TRAINER}, "/trainr", "did you mean 'trainer'?"),
        ({"trainer": {"name": "synthetic", "parms": {}}}, "/trainer/parms", "did you mean 'params'?"),
        ({"trainer": TRAINER, "budget": {"max_trails": 1}}, "/budget/max_trails", "did you mean 'max_trials'?"),
        ({"trainer": TRAINER, "sampler": {"name": "tep"}}, "/sampler/name", "did you mean 'tpe'?"),
        ({"trainer": TRAINER, "sampler": {}}, "/sampler/name", "name one of"),
        ({"trainer": TRAINER, "sampler": "tpe"}, "/sampler", "its 'name' one of cmaes, gp, grid"),
        ({"trainer": "synthetic"}, "/trainer", "with the fields name, version, params"),
        ({"trainer": TRAINER, "replicates": 3}, "/replicates", "with the fields top, seeds"),
        ({"trainer": TRAINER, "search_space": {"x": [0, 1]}}, "/search_space/x", "its 'type' one of"),
        ({"trainer": TRAINER, "sampler": {"name": "tpe", "tpe": 1}}, "/sampler/tpe", "there is no field 'tpe' here"),
        ({"trainer": TRAINER, "max_parallel_trials": 1}, "/max_parallel_trials", "it belongs in budget"),
        ({"trainer": TRAINER, "budget": {"priority": 1}}, "/budget/priority", "it belongs outside of budget"),
        ({"trainer": TRAINER, "sampler": {"name": "grid", "pionts": 3}}, "/sampler/pionts", "did you mean 'points'?"),
        (
            {"engine": "external", "objectives": LOSS, "search_space": {"a/b~c": {**RANGE, "lg": True}}},
            "/search_space/a~1b~0c/lg",
            "did you mean 'log'?",
        ),
        (
            {"trainer": TRAINER, "search_space": {"x": {"type": "float", "low": 2, "high": 1}}},
            "/search_space/x",
            "swap",
        ),
        (
            {"trainer": TRAINER, "search_space": {"x": {"type": "float", "low": 0, "high": 1, "log": True}}},
            "/search_space/x",
            "above 0",
        ),
        (
            {"trainer": TRAINER, "search_space": {"x": {"type": "categorical", "choices": [1, [2]]}}},
            "/search_space/x/choices/1",
            "not a value of type boolean or integer or number or string",
        ),
        ({"trainer": {"name": "synthetic", "params": {"floor": None}}}, "/trainer/params/floor", "not a value of type"),
        (
            {"trainer": TRAINER, "objectives": [{"metric": "loss", "direction": "minimise"}]},
            "/objectives/0/direction",
            "did you mean 'minimize'?",
        ),
        ({"trainer": TRAINER, "labels": {"a": 1}}, "/labels/a", "text"),
        ({"trainer": TRAINER, "name": "a\0b"}, "/name", "NUL"),
        ({"trainer": {"name": "synthetic", "params": {"a\0": 1}}}, "/trainer/params", "NUL"),
        ({"trainer": {"name": "synthetic", "params": {"batch_size": 2**63}}}, "/trainer/params/batch_size", "64 bits"),
        ({"trainer": TRAINER, "resources": {"cpus": 2**40}}, "/resources/cpus", "must be at most 1024"),
        ([], "", "JSON object"),
    ],
)
def test_a_wrong_field_is_named_with_what_to_do(client: TestClient, body: Any, pointer: str, message: str) -> None:
    errors = _submit(client, body)
    assert list(errors) == [pointer]
    assert message in errors[pointer]


def test_every_wrong_field_is_named_at_once(client: TestClient) -> None:
    errors = _submit(client, {"trainer": {"nam": "x"}, "priority": "high", "budget": {"max_trials": 0}})
    assert errors.keys() == {"/trainer/name", "/trainer/nam", "/priority", "/budget/max_trials"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"trainer": {"name": "synthetik", "params": {"flor": 1}}, "budget": {"max_trials": -1}},
            {"/trainer/name", "/trainer/params/flor", "/budget/max_trials"},
        ),
        (
            {"trainer": TRAINER, "search_space": {"learning_rat": RANGE}, "sampler": {"name": "bayes"}, "name": 5},
            {"/search_space/learning_rat", "/sampler/name", "/name"},
        ),
        (
            {
                "trainer": {"name": "synthetic", "params": {"floor": "low", "noise": None}},
                "search_space": {"learning_rate": {**RANGE, "low": 2}, "batchsize": RANGE},
                "objectives": [{"metric": "los", "direction": "minimize"}],
                "outcome_constraints": ["acc > 0", "loss >"],
                "pruner": {},
            },
            {
                "/trainer/params/floor",
                "/trainer/params/noise",
                "/search_space/learning_rate",
                "/search_space/batchsize",
                "/objectives/0/metric",
                "/outcome_constraints/1",
                "/pruner/name",
            },
        ),
        (
            {"trainer": {"name": "image_classifier", "params": {"dataset": "digts"}}, "warm_start": {"jobs": ["nope"]}},
            {"/trainer/params/dataset", "/warm_start/jobs/0"},
        ),
        ({"engine": "externl", "trainer": {"name": "resnet"}}, {"/engine"}),
        (
            {"engine": "external", "search_space": {"x": {**RANGE, "low": 2}}, "priority": "high"},
            {"/search_space/x", "/priority", "/objectives"},
        ),
        (
            {"trainer": {"name": "synthetic"}, "labels": [], "enqueue": [{"learning_rate": [1]}]},
            {"/labels", "/enqueue/0/learning_rate"},
        ),
    ],
)
def test_all_that_can_be_known_to_be_wrong_is_named_in_one_answer(
    client: TestClient, body: Any, expected: set[str]
) -> None:
    assert _submit(client, body).keys() == expected


def test_a_range_test_too_is_told_all_that_is_wrong_at_once(client: TestClient) -> None:
    body = {"trainer": {"name": "synthetik", "params": {"flor": 1}}, "seeds": 0}
    errors = pointers(client.post("/v1/range-tests", json=body))
    assert errors.keys() == {"/trainer/name", "/trainer/params/flor", "/seeds"}


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({"sampler": {"name": "bayes"}}, "/sampler/name", "did you mean 'tpe' or 'gp'?"),
        ({"sampler": {"name": "asha"}}, "/sampler/name", "'asha' is a pruner"),
        ({"pruner": {"name": "tpe"}}, "/pruner/name", "'tpe' is a sampler"),
        (
            {"search_space": {"learning_rate": {**RANGE, "log": "yes"}}},
            "/search_space/learning_rate/log",
            "true or false",
        ),
        ({"search_space": {"learning_rate": {**RANGE, "step": 5e-324}}}, "/search_space/learning_rate", "larger one"),
        ({"budget": {"trial_timeout_s": 5e-324}}, "/budget/trial_timeout_s", "must be at least 0.01"),
        ({"outcome_constraints": ["val loss < 1"]}, "/outcome_constraints/0", "stands in backticks"),
    ],
)
def test_a_slip_is_told_with_the_right_word(client: TestClient, body: Any, pointer: str, message: str) -> None:
    errors = _submit(client, {"trainer": TRAINER, **body})
    assert list(errors) == [pointer]
    assert message in errors[pointer]


def test_more_filters_than_a_statement_can_hold_are_refused(client: TestClient) -> None:
    params: dict[str, list[str]] = {"filter": ["number>=0"] * 2000}
    for path in ("/v1/trials", f"/v1/jobs/{submit(client)['id']}/trials"):
        assert list(pointers(client.get(path, params=params))) == ["?filter"]
        assert client.get(path, params={"filter": params["filter"][:50]}).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"trainer": {"name": "synthetic"}, "priority": NaN}',
        b'{"trainer": {"name": "synthetic", "params": {"floor": 1e400}}}',
        b'{"trainer": {"name": "synthetic", "params": {"floor": Infinity}}}',
        b'{"trainer": {"name": "synthetic"}, "name": "\\ud800"}',
        b'{"trainer": {"name": "synthetic"}, "\\ud800": 1}',
        b'{"trainer": {"name": "\xff"}}',
        b'{"trainer": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_is_no_proper_json_is_refused(client: TestClient, content: bytes) -> None:
    assert pointers(client.post("/v1/jobs", content=content, headers=JSON))


def test_a_body_without_its_content_type_is_refused(client: TestClient) -> None:
    response = client.post("/v1/jobs", content=json.dumps({"trainer": TRAINER}))
    assert "application/json" in pointers(response)[""]


@pytest.mark.parametrize("action", ["pause", "retry-failed"])
def test_a_body_that_is_not_wanted_does_no_harm(client: TestClient, action: str) -> None:
    job_id = submit(client)["id"]
    response = client.post(f"/v1/jobs/{job_id}/{action}", content=b"{", headers={**JSON, "Idempotency-Key": "k"})
    assert response.status_code in (200, 409)


@pytest.mark.parametrize(
    "body",
    [
        '{"trainer": {"name": "synthetic"}, "trainer": {"name": "image_classifier"}}',
        '{"trainer": {"name": "synthetic"}, "budget": {"max_trials": 3, "max_trials": 3}}',
    ],
)
def test_a_name_given_twice_is_refused(client: TestClient, body: str) -> None:
    response = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert "is given twice in one object" in response.json()["errors"][0]["message"]


def test_a_query_parameter_given_twice_is_refused_unless_it_may_be_repeated(client: TestClient) -> None:
    assert "?limit" in pointers(client.get("/v1/jobs?limit=1&limit=2"))
    assert client.get("/v1/jobs?label=a:b&label=c:d").status_code == 200
    assert client.get("/v1/trials?filter=number>1&filter=number<3").status_code == 200


def test_unknown_query_parameters_are_refused(client: TestClient) -> None:
    assert "did you mean 'limit'?" in pointers(client.get("/v1/jobs?limt=3"))["?limt"]
    assert "did you mean 'dry_run'?" in pointers(client.post("/v1/jobs?dryrun=1", json={"trainer": TRAINER}))["?dryrun"]
    assert "?x" in pointers(client.get("/v1/samplers?x=1"))


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "urn:stepsize:not-found"),
        ("GET", "/v1/jobs/", 404, "urn:stepsize:not-found"),
        ("GET", "/v1/jobs/none", 404, "urn:stepsize:no-such-job"),
        ("POST", "/v1/jobs/none/pause", 404, "urn:stepsize:no-such-job"),
        ("PUT", "/v1/jobs", 405, "urn:stepsize:method-not-allowed"),
        ("GET", "/v1/jobs/a%00b", 422, "urn:stepsize:invalid-request"),
        ("GET", "/v1/schedules/none/preview", 404, "urn:stepsize:no-such-entry"),
    ],
)
def test_every_error_is_a_problem_document(client: TestClient, method: str, path: str, status: int, kind: str) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["status"]) == (kind, status)
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"]
    if status == 405:
        assert response.headers["Allow"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/x/pause"])
@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_too_large_is_refused(client: TestClient, settings: Settings, path: str, is_declared: bool) -> None:
    size = settings.max_body_bytes + 1
    content: Any = b" " * size if is_declared else (b" " * 1000 for _ in range(size // 1000 + 1))
    response = client.post(path, content=content, headers=JSON)
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"


def _break_commits(database: Database) -> None:
    """Let a deferred constraint fail each commit that inserts a job: the statement succeeds, the COMMIT does not."""
    with database.write() as connection:
        connection.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
        connection.execute(
            text("CREATE TABLE orphans (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)")
        )
        if database.is_postgresql:
            connection.execute(
                text(
                    "CREATE FUNCTION orphan() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN INSERT INTO orphans VALUES (1); RETURN NEW; END $$"
                )
            )
            action = "FOR EACH ROW EXECUTE FUNCTION orphan()"
        else:
            action = "BEGIN INSERT INTO orphans VALUES (1); END"
        connection.execute(text(f"CREATE TRIGGER breaks AFTER INSERT ON stepsize_jobs {action}"))


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_a_failing_commit_answers_500_and_never_201(
    client: TestClient, database: Database, headers: dict[str, str]
) -> None:
    _break_commits(database)
    with capture_logs() as logged:
        response = client.post("/v1/jobs", json={"trainer": TRAINER}, headers=headers)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert [line.get("correlation_id") for line in logged] == [response.json()["correlation_id"]]
    assert "Traceback" not in response.text
    assert "orphans" not in response.text, "nothing of our insides"
    assert client.get("/v1/jobs").json()["items"] == []
    with database.write() as connection:
        drop = "DROP TRIGGER breaks ON stepsize_jobs" if database.is_postgresql else "DROP TRIGGER breaks"
        connection.execute(text(drop))
    again = client.post("/v1/jobs", json={"trainer": TRAINER}, headers=headers)
    assert again.status_code == 201, "the failed request took neither its key nor the connection with it"


@pytest.mark.parametrize(
    "error",
    [OperationalError("SELECT 1", {}, Exception("server closed the connection")), PoolTimeout("no connection is free")],
)
def test_a_database_that_does_not_answer_is_503(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(app.state.site.database, "read", fail)
    response = client.get("/v1/jobs")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert client.get("/healthz").status_code == 200
