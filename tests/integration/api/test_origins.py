"""Pages of other origins: by a foreign name, by a form or by `fetch`; and what they could read in the answers."""

import socket
import stat
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from stepsize.api.app import create_app
from stepsize.api.origins import own_names
from stepsize.domain.trial import trial_dir
from stepsize.settings import Settings
from stepsize.store.database import Database
from tests.integration.api.conftest import submit

BRIDGE = "172.18.0.3"
"""The address that a container's connections come in on, wherever its port is published."""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("LocalHost", 200),
        ("localhost.", 200),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.9.8.7", 421),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", BRIDGE])
def test_foreign_names_are_refused_wherever_it_listens(app: FastAPI, address: str, host: str, status: int) -> None:
    bracketed = f"[{address}]" if ":" in address else address
    with TestClient(app, base_url=f"http://{bracketed}:8000") as client:
        assert client.get("/v1/jobs", headers={"Host": host}).status_code == status
        assert client.get("/v1/jobs").status_code == 200, "by the address itself"


def test_names_are_the_configured_ones(settings: Settings) -> None:
    named = create_app(settings.model_copy(update={"allowed_hosts": "tuning.example, Other"}))
    with TestClient(named, base_url=f"http://{BRIDGE}") as client:
        assert client.get("/v1/jobs", headers={"Host": "tuning.example"}).status_code == 200
        assert client.get("/v1/jobs", headers={"Host": "other:8000"}).status_code == 200
        refused = client.get("/v1/jobs", headers={"Host": "evil.example"})
    assert refused.status_code == 421
    assert "STEPSIZE_ALLOWED_HOSTS" in refused.json()["detail"]


def test_a_service_for_other_machines_answers_to_its_own_name_too() -> None:
    mine = socket.gethostname().lower()
    assert mine in own_names([], "0.0.0.0")
    assert "0.0.0.0" not in own_names([], "0.0.0.0")
    assert "10.1.2.3" in own_names([], "10.1.2.3")
    assert own_names([], "127.0.0.1") == own_names([], None) == {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", BRIDGE])
def test_a_page_of_another_origin_changes_nothing(
    app: FastAPI, database: Database, address: str, headers: dict[str, str]
) -> None:
    with TestClient(app, base_url=f"http://{address}:8000") as client:
        job = submit(client)
        before = client.get(f"/v1/jobs/{job['id']}").json()
        form = headers | {"Content-Type": "text/plain;charset=UTF-8", "Host": "127.0.0.1:8000"}
        table = b"a,label\n" + b"1,x\n2,y\n" * 20
        requests = [
            client.post("/v1/datasets?name=x&format=csv", content=table, headers=form),
            client.post(f"/v1/jobs/{job['id']}/cancel", headers=form),
            client.patch(f"/v1/jobs/{job['id']}", json={"priority": 3}, headers=form),
            client.delete(f"/v1/jobs/{job['id']}", headers=form),
        ]
        assert [request.status_code for request in requests] == [403] * 4
        assert requests[0].json()["type"] == "urn:stepsize:foreign-origin"
        assert client.get(f"/v1/jobs/{job['id']}").json() == before
        assert "x" not in [each["name"] for each in client.get("/v1/datasets").json()["items"]]
        assert client.get("/v1/jobs", headers=form).status_code == 200, "the browser keeps the answer from the page"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"},
        # A proxy that ends TLS and rewrites Host.
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://tuning.example"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_its_own_page_and_programs_may(app: FastAPI, headers: dict[str, str]) -> None:
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        job = submit(client)
        assert client.post(f"/v1/jobs/{job['id']}/cancel", headers=headers).status_code == 200


def test_a_default_port_may_be_written_or_not(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"allowed_hosts": "tuning.example"}))) as client:
        for host in ("tuning.example", "tuning.example:443"):
            headers = {"Host": host, "Origin": "https://tuning.example"}
            assert client.post("/v1/jobs", json={"trainer": {"name": "synthetic"}}, headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/v1/jobs", "/healthz"])
def test_pages_and_answers_are_taken_as_what_they_say(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")


def test_logs_are_text_whatever_is_in_them(client: TestClient, settings: Settings, database: Database) -> None:
    job = submit(client, enqueue=[{"learning_rate": 0.1}])
    folder = trial_dir(settings.data_dir, job["id"], 0)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("<script>alert(1)</script>")
    answer = client.get(f"/v1/jobs/{job['id']}/trials/0/log")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    Settings(data_dir=tmp_path / "by settings").make_data_dir()
    Database(f"sqlite:///{tmp_path / 'by the database' / 'stepsize.db'}").dispose()
    for folder in tmp_path.iterdir():
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
