"""`stepsize report` and `stepsize export` against a scripted service."""

from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from stepsize.cli import app, connection
from tests.unit.fake_service import FakeService, problem, report_json

MARKDOWN = "# Learning-rate report: mnist\n\n**Use a learning rate of 0.081**\n"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    fake = FakeService()
    monkeypatch.setattr(connection, "Client", fake.client)
    return fake


def test_a_report_is_printed_as_markdown_into_a_pipe(service: FakeService) -> None:
    service.on("GET /v1/jobs/job_1/report", httpx.Response(200, text=MARKDOWN))

    result = CliRunner().invoke(app, ["report", "job_1"])

    assert (result.exit_code, result.stdout) == (0, MARKDOWN)
    assert service.requests[0].headers["accept"] == "text/markdown"


def test_a_report_is_printed_as_json_where_asked(service: FakeService) -> None:
    service.on("GET /v1/jobs/job_1/report", report_json(recommendation="Use a learning rate of 0.081"))

    result = CliRunner().invoke(app, ["report", "job_1", "--json"])

    assert '"recommendation": "Use a learning rate of 0.081"' in result.stdout


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_report_of_several_jobs_compares_them(service: FakeService, command: str) -> None:
    service.on("GET /v1/reports", httpx.Response(200, text="# Learning rates of several jobs\n"))

    result = CliRunner().invoke(app, [command, "job_1", "job_2"])

    assert (result.exit_code, result.stdout) == (0, "# Learning rates of several jobs\n")
    assert service.requests[0].url.params.get_list("job") == ["job_1", "job_2"]


@pytest.mark.parametrize("ids", [["job_1"], ["job_1", "job_1"]])
def test_one_job_is_compared_with_nothing(service: FakeService, ids: list[str]) -> None:
    result = CliRunner().invoke(app, ["compare", *ids])

    assert result.exit_code == 2
    assert "two different jobs" in result.output
    assert not service.requests


def test_an_export_is_written_to_a_file(service: FakeService, tmp_path: Path) -> None:
    service.on("GET /v1/jobs/job_1/export", httpx.Response(200, content=b"number\r\n0\r\n"))
    path = tmp_path / "trials.csv"

    result = CliRunner().invoke(app, ["export", "job_1", "-o", str(path), "--rows", "reports"])

    assert result.exit_code == 0
    assert path.read_bytes() == b"number\r\n0\r\n"
    assert [child.name for child in tmp_path.iterdir()] == ["trials.csv"], "no partial file is left"
    assert service.requests[0].url.params["rows"] == "reports"


def test_an_export_goes_to_standard_output_by_default(service: FakeService) -> None:
    service.on("GET /v1/jobs/job_1/export", httpx.Response(200, content=b"{}\n"))

    assert CliRunner().invoke(app, ["export", "job_1", "--format", "jsonl"]).stdout_bytes == b"{}\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-o", "trials.parquet"], "parquet"),
        (["-o", "trials.jsonl"], "jsonl"),
        (["-o", "trials.CSV"], "csv"),
        (["-o", "trials"], "csv"),
        (["-o", "trials.txt", "--format", "csv"], "csv"),
        (["-o", "trials.parquet", "--format", "optuna"], "optuna"),
    ],
)
def test_a_file_is_written_in_the_format_its_name_says(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    service.on("GET /v1/jobs/job_1/export", httpx.Response(200, content=b""))

    CliRunner().invoke(app, ["export", "job_1", *options])

    assert service.requests[0].url.params["format"] == expected


@pytest.mark.parametrize(("name", "told"), [("trials.xlsx", "no format ends in .xlsx"), ("t.json", "mean .jsonl?")])
def test_a_file_in_a_format_there_is_not_is_refused_before_anything_is_asked_for(
    service: FakeService, tmp_path: Path, name: str, told: str
) -> None:
    result = CliRunner().invoke(app, ["export", "job_1", "-o", str(tmp_path / name)])

    assert result.exit_code == 2
    assert told in result.stderr
    assert not service.requests
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_no_file(service: FakeService, tmp_path: Path) -> None:
    service.on("GET /v1/jobs/job_1/export", problem(404, "No such job"))

    result = CliRunner().invoke(app, ["export", "job_1", "-o", str(tmp_path / "trials.csv")])

    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_written_is_said_so(service: FakeService, tmp_path: Path) -> None:
    service.on("GET /v1/jobs/job_1/export", httpx.Response(200, content=b"number"))

    result = CliRunner().invoke(app, ["export", "job_1", "-o", str(tmp_path / f"{'x' * 300}.csv")])

    assert (result.exit_code, result.exception.__class__) == (1, SystemExit)
    assert "can't be written: File name too long" in result.stderr

    result = CliRunner().invoke(app, ["export", "job_1", "-o", str(tmp_path / "nowhere" / "trials.csv")])

    assert result.exit_code == 2, "the value is wrong: nothing was asked for"
    assert "there is no directory" in result.stderr


@pytest.mark.parametrize("command", ["report", "export"])
def test_a_job_that_is_not_there_is_said_to_be_missing(service: FakeService, command: str) -> None:
    service.on(f"GET /v1/jobs/job_1/{command}", problem(404, "No such job"))

    result = CliRunner().invoke(app, [command, "job_1"])

    assert result.exit_code == 1
    assert "No such job" in result.stderr
