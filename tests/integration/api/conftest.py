"""The API on real databases, in process; and under uvicorn where sockets and event loops matter."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stepsize.api.app import create_app
from stepsize.api.connections import ImpatientProtocol
from stepsize.domain.lease import Lease
from stepsize.settings import Settings
from stepsize.store.database import Database
from stepsize.store.workers import register_worker
from tests.builders import make_worker, take_lease
from tests.waiting import wait_for


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings for the test's database and an empty data directory."""
    return Settings(database_url=database_url, data_dir=tmp_path / "data")


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """The API in process, on SQLite and on PostgreSQL."""
    with TestClient(app) as opened:
        yield opened


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    """The API under uvicorn on loopback; the fixture is its URL."""
    with serving(app) as url:
        yield url


@contextmanager
def serving(app: FastAPI, *, http: type[HttpToolsProtocol] = ImpatientProtocol) -> Iterator[str]:
    """Serve an app on a free port of loopback."""
    config = uvicorn.Config(app, port=0, http=http, log_level="warning", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    wait_for(lambda: running.started)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join(timeout=10)


def submit(client: TestClient, **fields: Any) -> dict[str, Any]:
    """Submit a job of the `synthetic` trainer and return it."""
    response = client.post("/v1/jobs", json={"trainer": {"name": "synthetic"}, **fields})
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job


def hold(database: Database, job_id: str) -> Lease:
    """Let a living worker hold the job."""
    with database.write() as connection:
        return take_lease(connection, job_id)


def enlist(database: Database, **changes: Any) -> None:
    """Register a living worker."""
    with database.write() as connection:
        register_worker(connection, make_worker(**changes))


def pointers(response: Any) -> dict[str, str]:
    """Return the wrong fields of a 422: pointer → message."""
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return {error["pointer"]: error["message"] for error in response.json()["errors"]}
