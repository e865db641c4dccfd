"""`stepsize convert`, and `submit` of another tool's file: what is printed, written and sent."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from stepsize.cli import app, connection
from tests.unit.fake_service import FakeService, job_json

SWEEP = """
program: train.py
method: random
run_cap: 5
project: mine
metric: {name: loss, goal: minimize}
parameters: {lr: {distribution: log_uniform_values, min: 0.001, max: 1.0}}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_convert_writes_the_job_and_the_program(sweep: str, tmp_path: Path) -> None:
    job, commands = tmp_path / "job.yaml", tmp_path / "commands.yaml"
    result = run("convert", sweep, "-o", str(job), "--commands", str(commands))
    assert (result.exit_code, result.stdout) == (0, "")
    assert yaml.safe_load(job.read_text())["trainer"] == {"name": "train"}
    assert yaml.safe_load(commands.read_text())["trainers"]["train"]["metrics"] == {"loss": "minimize"}
    assert "project: not carried over: where W&B keeps results" in result.stderr


def test_convert_prints_json_for_other_programs(sweep: str) -> None:
    result = run("convert", sweep, "--trainer", "image_classifier", "--json")
    assert json.loads(result.stdout)["trainer"] == {"name": "image_classifier"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metric", "loss"], "no NAME:minimize or NAME:maximize"),
        (["-o", "/nowhere/job.yaml"], "can't be written: No such file or directory"),
    ],
)
def test_convert_refuses_what_it_can_not_do(sweep: str, arguments: list[str], said: str) -> None:
    result = run("convert", sweep, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_submit_takes_a_sweep_and_tells_what_changes(sweep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeService()
    monkeypatch.setattr(connection, "Client", fake.client)
    fake.on("POST /v1/jobs", job_json())
    result = run("submit", sweep)
    assert (result.exit_code, result.stdout) == (0, "job_1\n")
    (sent,) = fake.bodies()
    assert sent["search_space"] == {"lr": {"type": "float", "low": 0.001, "high": 1.0, "log": True}}
    assert "project: not carried over" in result.stderr
    assert "--commands commands.yaml` writes it" in result.stderr


def test_submit_refuses_a_sweep_with_a_slip(sweep: str) -> None:
    Path(sweep).write_text(SWEEP.replace("run_cap", "runcap"))
    result = run("submit", sweep)
    assert result.exit_code == 2
    assert "'run_cap' is meant?" in " ".join(result.stderr.replace("│", " ").split())


SPACE = '{"lr": {"loguniform": [1e-4, 0.1]}}'


def test_submit_has_the_options_that_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeService()
    monkeypatch.setattr(connection, "Client", fake.client)
    fake.on("POST /v1/jobs", job_json())
    space = tmp_path / "space.json"
    space.write_text(SPACE)
    refused = run("submit", str(space))
    assert refused.exit_code == 2
    assert "--metric NAME:minimize" in " ".join(refused.stderr.replace("│", " ").split())
    assert run("submit", str(space), "--metric", "loss:minimize").exit_code == 0
    assert run("submit", str(space), "--trainer", "synthetic").exit_code == 0
    external, trained = fake.bodies()
    assert external["objectives"] == [{"metric": "loss", "direction": "minimize"}]
    assert trained["trainer"] == {"name": "synthetic"}


def test_a_job_of_ours_takes_no_options_for_files_of_others(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("trainer: {name: synthetic}")
    refused = run("submit", str(job), "--metric", "loss:minimize")
    assert refused.exit_code == 2
    assert "is a job, which names its own" in " ".join(refused.stderr.replace("│", " ").split())


def test_where_a_command_lacks_the_options_it_says_which_has_them(tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(SPACE)
    refused = run("import", "optuna", "sqlite:///study.db", "--warm-start", str(space))
    assert refused.exit_code == 2
    said = "".join(refused.stderr.replace("│", " ").split())
    assert "-ojob.yaml`hastheseoptions" in said
