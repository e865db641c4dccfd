"""`stepsize datasets` and `stepsize upload`."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from stepsize.cli import app
from stepsize.cli import connection as cli_connection
from stepsize.client import Client, ServerUnreachableError
from tests.unit.fake_service import FakeService

FLOWERS: dict[str, Any] = {
    "name": "flowers",
    "format": "npz",
    "kind": "image",
    "n": 20,
    "shape": [3, 8, 8],
    "n_classes": 2,
    "content_hash": "0" * 64,
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    fake = FakeService()
    monkeypatch.setattr(cli_connection, "Client", lambda server: fake.client(server))
    return fake


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_data_sets_are_listed_with_what_is_wrong(service: FakeService) -> None:
    broken = {"name": "wine", "format": "csv", "content_hash": "1" * 64, "problem": "line 3 has no acid"}
    service.on("GET /v1/datasets", {"items": [FLOWERS, broken], "next_page_token": None})
    result = run("datasets")
    assert result.exit_code == 0
    assert "3×8×8" in result.stdout
    assert "can't be used: line 3 has no acid" in result.stdout


def test_a_file_is_uploaded_under_its_own_name(service: FakeService, tmp_path: Path) -> None:
    service.on("POST /v1/datasets", httpx.Response(201, json=FLOWERS))
    path = tmp_path / "flowers.npz"
    path.write_bytes(b"content")
    result = run("upload", str(path), "--target", "kind", "--json")
    assert result.exit_code == 0, result.stderr
    (request,) = service.requests
    assert dict(request.url.params) == {"name": "flowers", "format": "npz", "target": "kind"}
    assert request.read() == b"content"
    assert '"n": 20' in result.stdout


def test_a_refusal_is_told(service: FakeService, tmp_path: Path) -> None:
    problem = {"title": "Invalid request", "status": 422, "errors": [{"pointer": "", "message": "no array 'y'"}]}
    service.on("POST /v1/datasets", httpx.Response(422, json=problem))
    path = tmp_path / "flowers.npz"
    path.touch()
    result = run("upload", str(path))
    assert result.exit_code == 1
    assert "no array 'y'" in result.stderr


def test_a_file_of_another_kind_is_not_sent(service: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.touch()
    result = run("upload", str(path))
    assert result.exit_code == 1
    assert ".npz, .csv" in result.stderr
    assert service.requests == []


def test_a_service_that_goes_away_is_told(service: FakeService, tmp_path: Path) -> None:
    service.on("POST /v1/datasets", httpx.ConnectError("refused"))
    path = tmp_path / "flowers.npz"
    path.touch()
    client: Client = service.client()
    with pytest.raises(ServerUnreachableError):
        client.upload(path, name="flowers", format="npz")
