"""The catalogue, workers and health."""

import re

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from tests.builders import make_card, make_job, make_trial
from tests.integration.api.conftest import enlist, pointers


def test_trainers_are_the_built_in_and_those_of_living_workers(client: TestClient, database: Database) -> None:
    enlist(database, worker_id="w1", trainers=(make_card("own"), make_card("synthetic")))
    trainers = {trainer["name"]: trainer for trainer in client.get("/v1/trainers").json()["items"]}
    assert {"synthetic", "image_classifier", "own"} <= trainers.keys()
    assert trainers["own"]["workers"] == ["w1"]
    assert trainers["image_classifier"]["workers"] == []
    assert trainers["synthetic"].keys() == {
        *("name", "version", "help", "params_schema", "metrics", "step_unit", "default_search_space"),
        *("default_objectives", "capabilities", "workers"),
    }


@pytest.mark.parametrize("kind", ["samplers", "pruners", "schedules", "optimizers"])
def test_entries_have_a_schema_and_a_line_of_help(client: TestClient, kind: str) -> None:
    for entry in client.get(f"/v1/{kind}").json()["items"]:
        assert entry["name"]
        assert entry["help"].endswith(".")
        assert entry["params_schema"]["properties"]["name"]["const"] == entry["name"]


def test_samplers_say_what_they_support(client: TestClient) -> None:
    for sampler in client.get("/v1/samplers").json()["items"]:
        assert sampler["supports"].keys() == {"categorical", "conditional", "multi_objective", "infeasible"}


def test_a_schedule_is_previewed_exactly(client: TestClient) -> None:
    response = client.get("/v1/schedules/exponential/preview?learning_rate=0.01&steps=5&gamma=0.8")
    rates = [point["learning_rate"] for point in response.json()["points"]]
    assert rates == [0.01, 0.008, 0.0064, 0.00512, 0.004096]


def test_a_schedules_own_parameters_are_checked(client: TestClient) -> None:
    here = "/v1/schedules/exponential/preview"
    assert "did you mean 'gamma'?" in pointers(client.get(f"{here}?gama=0.8"))["?gama"]
    assert list(pointers(client.get(f"{here}?gamma=2"))) == ["?gamma"]
    assert list(pointers(client.get(f"{here}?learning_rate=nan"))) == ["?learning_rate"]


def test_workers_show_what_runs_where(client: TestClient, database: Database) -> None:
    enlist(database)
    with database.write() as connection:
        job = make_job(connection)
        make_trial(connection, job.id, state=TrialState.RUNNING, worker="worker-1", device="cpu")
        make_trial(connection, job.id, state=TrialState.RUNNING, worker="another")
    (worker,) = client.get("/v1/workers").json()["items"]
    assert worker["alive"] is True
    assert worker["slots"] == [{"index": 0, "device": "cpu", "gpus": 0.0, "cpus": 1}]
    assert worker["trainers"] == [{"name": "synthetic", "version": "1"}]
    assert worker["running"] == [{"job_id": job.id, "number": 0, "device": "cpu", "group": None}]


def test_ready_means_that_the_database_is_at_head(client: TestClient, database: Database) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 200
    with database.write() as connection:
        connection.execute(text("UPDATE stepsize_alembic_version SET version_num = '0042'"))
    assert "revision 0042" in client.get("/readyz").json()["detail"]
    with database.write() as connection:
        connection.execute(text("DELETE FROM stepsize_alembic_version"))
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "stepsize migrate" in response.json()["detail"]
    assert client.get("/healthz").status_code == 200


def test_the_home_page_leads_to_the_documentation(client: TestClient) -> None:
    assert "/docs" in client.get("/").text
    assert client.get("/docs").status_code == 200


def test_the_documentation_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")

    assert page.headers["content-security-policy"].startswith("default-src 'self'; script-src 'self'; style-src 'self'")
    files = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page.text)
    assert len(files) == 3
    assert [client.get(file).status_code for file in files] == [200] * 3
    assert client.get("/redoc").status_code == 404, "FastAPI's own pages load scripts from the internet"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/schedules/cosin/preview", "there is no schedule 'cosin'; did you mean 'cosine'?"),
        ("/v1/schedules/sgdr/preview/plot.svg", "there is no schedule 'sgdr'; did you mean 'cosine_restarts'?"),
        ("/v1/datasets/digit", "there is no data set 'digit'; did you mean 'digits'?"),
    ],
)
def test_a_mistyped_name_is_answered_with_what_was_meant(client: TestClient, path: str, said: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["detail"]) == (404, said)
