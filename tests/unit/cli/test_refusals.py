"""What commands say when they refuse: our words with the mend, and JSON wherever `--json` stands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from stepsize.cli import app, connection
from tests.unit.fake_service import FakeService, problem

FOREIGN = re.compile(r"Input should|Value error|pydantic|ValidationError|Traceback|\^\[|type=")
"""What Pydantic says, and what regular expressions look like."""


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeService:
    service = FakeService()
    monkeypatch.setattr(connection, "Client", service.client)
    monkeypatch.chdir(tmp_path)
    return service


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(result: Result) -> str:
    """Return standard error without the frame around it."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())


def _wrong_values() -> Iterator[tuple[str, ...]]:
    """Yield a call with a value that it can't take, for each parameter of each command that takes not just any text."""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        required = [param for param in command.params if param.param_type_name == "argument" and param.required]
        for param in command.params:
            kind = param.type_descriptor
            if not (kind.is_choice or kind.annotation in (int, float, int | None, float | None, list[int] | None)):
                continue
            before = ["0" if other.name == "number" else "x" for other in required if other is not param]
            if param.param_type_name == "option":
                yield (name, *before, param.opts[0], "wrong")
            elif param.required:
                yield (name, *before[: required.index(param)], "wrong", *before[required.index(param) :])


WRONG_VALUES = list(_wrong_values())


@pytest.mark.parametrize("call", WRONG_VALUES, ids=lambda call: " ".join(call))
def test_a_wrong_value_is_refused_in_our_words_with_the_parameters_name(call: tuple[str, ...]) -> None:
    result = run(*call)
    assert result.exit_code == 2
    assert re.search(r"'wrong'", said(result))
    assert re.search(r"did you mean|known: |number is expected here|true or false", said(result))
    assert not FOREIGN.search(result.output)


def test_the_wrong_values_are_those_of_many_commands() -> None:
    assert {call[0] for call in WRONG_VALUES} >= {"plot", "export", "trials", "log", "change", "tell", "upload", "up"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("plot job_1 histry", "there is no 'histry'; did you mean 'history'?"),
        ("plot job_1 history -o figure.pdf", "no figure ends in .pdf; write .svg or .png"),
        ("export job_1 --format json", "there is no 'json'; did you mean 'jsonl'?"),
        ("trials job_1 --limit 0", "Invalid value for '--limit': must be at least 1"),
        ("log job_1", "Missing argument 'TRIAL'. A trial's number, as `stepsize trials JOB` lists it."),
        ("log job_1 0 --tial 3", "there is no option --tial; did you mean --tail?"),
        ("change job_1", "say what to change: --label, --priority or --budget"),
        ("change job_1 --budget max_trials", "--budget: a limit is written NAME=VALUE, not 'max_trials'"),
        ("change job_1 --budget max_trials=many", "max_trials is a number, or null for no limit, not 'many'"),
        ("change job_1 --budget max_trials=NaN", "max_trials is a number, or null for no limit, not 'NaN'"),
        ("change job_1 --label a:1 --label a:2", "--label: 'a' stands there twice"),
        ("tell job_1 0 loss=1", "Missing option '--token'. As `stepsize ask` gave it."),
        ("submt job.yaml", "Did you mean 'submit'?"),
    ],
)
def test_a_slip_is_told_with_its_mend(call: str, words: str) -> None:
    result = run(*call.split())
    assert result.exit_code == 2
    assert words in said(result)
    assert "Invalid value: " not in said(result)


@pytest.mark.parametrize(
    "call",
    [
        "trials job_1 --limt 3 --json",
        "trials --json job_1 --limit 0",
        "frobnicate --json",
        "--json jobs",
        "submit --json",
        "submit absent.yaml --json",
        "plot job_1 histry --json",
    ],
)
def test_wrong_usage_is_a_problem_document_wherever_json_stands(call: str) -> None:
    result = run(*call.split())
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["type"] == "urn:stepsize:usage"
    assert document["detail"] in said(result)


def test_without_json_standard_output_stays_empty() -> None:
    assert run("trials", "job_1", "--limit", "0").stdout == ""


def test_a_refusal_of_the_service_is_its_problem_document(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/history", problem(404, "No such job"))
    result = run("history", "--json", "job_1")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["title"] == "No such job"


def test_a_refusal_of_the_command_itself_is_json_too() -> None:
    Path("notes.txt").write_text("x")
    result = run("upload", "notes.txt", "--json")
    assert result.exit_code == 1
    assert "name its format with --format" in json.loads(result.stdout)["detail"]
