"""`stepsize range-test`, against a scripted service."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from stepsize.cli import app, connection
from tests.unit.fake_service import FakeService, job_json


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    service = FakeService()
    monkeypatch.setattr(connection, "Client", service.client)
    return service


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "range-test.yaml"
    file.write_text("trainer: {name: synthetic}\nbatch_sizes: [32, 64]")
    return str(file)


def range_test_json(**changes: Any) -> dict[str, Any]:
    """Return a range test as the service sends it."""
    test: dict[str, Any] = {
        "id": "job_1",
        "job_id": "job_1",
        "state": "queued",
        "spec": {"trainer": {"name": "synthetic"}},
        "results": [],
        "created_at": "2026-11-24T00:00:00Z",
    }
    return test | changes


def result_json(batch_size: int, **changes: Any) -> dict[str, Any]:
    result: dict[str, Any] = {
        "batch_size": batch_size,
        "low": {"value": 0.00123, "low": 0.001, "high": 0.0015, "caveat": None},
        "suggestion": {"value": 0.0123, "low": None, "high": None, "caveat": "one sweep"},
        "high": {"value": None, "low": None, "high": None, "caveat": "the loss did not explode"},
        "curve": {"learning_rate": [], "losses": [], "smoothed": []},
        "inconclusive": None,
    }
    return result | changes


def refused_json(batch_size: int) -> dict[str, Any]:
    nothing = {"low": None, "suggestion": None, "high": None}
    return result_json(batch_size, inconclusive="the loss never fell", **nothing)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["range-test", *arguments])


def finish(fake: FakeService, **changes: Any) -> dict[str, Any]:
    fake.on("POST /v1/range-tests", range_test_json())
    fake.on("GET /v1/jobs/job_1", job_json(state="completed"))
    finished = range_test_json(**{"state": "completed", **changes})
    fake.on("GET /v1/range-tests/job_1", finished)
    return finished


def test_the_id_alone_goes_to_stdout(fake: FakeService, path: str) -> None:
    fake.on("POST /v1/range-tests", range_test_json())
    result = run(path)
    assert (result.exit_code, result.stdout) == (0, "job_1\n")
    assert "stepsize read-range-test job_1" in result.stderr
    assert fake.bodies() == [{"trainer": {"name": "synthetic"}, "batch_sizes": [32, 64]}]


def test_waiting_prints_a_line_a_batch_size_and_every_caveat(fake: FakeService, path: str) -> None:
    finish(fake, results=[result_json(32), refused_json(64)])
    result = run(path, "--wait")
    assert result.exit_code == 0
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["batch", "size", "low", "suggestion", "high"]
    assert first.split() == ["32", "0.0012", "(0.001", "to", "0.0015)", "0.012", "-"]
    assert second.split() == ["64", "inconclusive"]
    assert "batch size 32: suggestion: one sweep" in result.stderr
    assert "batch size 64: the loss never fell" in result.stderr


@pytest.mark.parametrize(
    "changes", [{"results": [refused_json(64)]}, {"state": "failed", "error": "no such data"}, {"state": "cancelled"}]
)
def test_nothing_conclusive_is_exit_code_1(fake: FakeService, path: str, changes: dict[str, Any]) -> None:
    finish(fake, **changes)
    result = run(path, "--wait")
    assert result.exit_code == 1
    assert (changes.get("error") or changes.get("state") or "never fell") in result.stderr


def test_json_is_what_the_service_sent(fake: FakeService, path: str) -> None:
    finished = finish(fake, results=[result_json(32)])
    assert json.loads(run(path, "--wait", "--json").stdout) == finished
