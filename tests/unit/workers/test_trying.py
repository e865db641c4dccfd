"""`stepsize try`: one trial here, the file read anew, what is wrong said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stepsize_workers.trying import main

TRAINER = """
from pydantic import Field
from stepsize import Float, Params, TrialContext, trainer

class P(Params):
    learning_rate: float = Field(default=0.1, gt=0, le=10)
    epochs: int = 3

@trainer(name="bowl", params=P, metrics={"loss": "minimize"}, search_space={"learning_rate": Float(1e-3, 1, log=True)})
def train(context: TrialContext[P]) -> None:
    x = 1.0
    for epoch in range(1, context.params.epochs + 1):
        x -= context.params.learning_rate * 2 * x
        context.report(epoch, {"loss": FACTOR * x * x})
    context.artifact("x.txt").write_text(str(x))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "bowl_trainer.py"
    found.write_text(TRAINER.replace("FACTOR", "1.0"))
    return found


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_report_is_a_line_and_files_are_kept_where_asked(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(path), "--param=learning_rate=0.25", "--output", str(tmp_path / "out")]) == 0
    *reports, end = lines(capsys)
    assert [report["values"] for report in reports] == [{"loss": 0.25}, {"loss": 0.0625}, {"loss": 0.015625}]
    assert end == {"state": "completed", "values": {"loss": 0.015625}}
    assert (tmp_path / "out" / "artifacts" / "x.txt").read_text() == "0.125"


def test_the_file_is_read_anew(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(path), "--param=learning_rate=0.25", "--param=epochs=1"]) == 0
    path.write_text(TRAINER.replace("FACTOR", "-2.0"))
    assert main([str(path), "--param=learning_rate=0.25", "--param=epochs=1"]) == 0
    ends = [line["values"] for line in lines(capsys) if "state" in line]
    assert ends == [{"loss": 0.25}, {"loss": -0.5}]


def test_a_loss_that_explodes_is_infeasible(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(TRAINER.replace("FACTOR", 'float("nan")'))
    assert main([str(path)]) == 1
    assert lines(capsys)[-1]["reason"] == "diverged"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--param=learning_rat=1"], "learning_rat: bowl has no such parameter; known: learning_rate, epochs"),
        (["--param=learning_rate=-1"], "learning_rate: must be above 0"),
        (["--param=learning_rate"], "a parameter is written NAME=VALUE"),
        (["--param=learning_rate=0.1", "--param=learning_rate=0.2"], "'learning_rate' stands there twice"),
        (["--device=banana"], "--device: there is no 'banana' here; known: cpu"),
        (["--trainer=bowll"], "there is no trainer 'bowll'; did you mean 'bowl'?"),
    ],
)
def test_wrong_usage_says_what_to_mend(
    path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main([str(path), *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "can't be imported: ZeroDivisionError: division by zero"),
        ("{}['DATA']", "can't be imported: KeyError: 'DATA'"),
        ("import sys; sys.exit(3)", "can't be imported: SystemExit: its code called sys.exit(3)"),
    ],
)
def test_a_file_that_raises_shows_where(path: Path, capsys: pytest.CaptureFixture[str], source: str, said: str) -> None:
    path.write_text(source)
    assert main([str(path)]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert f'File "{path}", line 1' in told


def test_a_trial_without_its_objective_has_failed_as_at_a_worker(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(TRAINER.replace('{"loss": FACTOR', '{"los": 1.0'))
    assert main([str(path)]) == 1
    assert lines(capsys)[-1] == {
        "state": "failed",
        "reason": "error",
        "error": "ObjectiveNotReported: the trainer ended without reporting loss; it reported los",
    }


def test_a_training_that_exits_has_failed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(TRAINER.replace("x = 1.0", "raise SystemExit(0)"))
    assert main([str(path)]) == 1
    assert "sys.exit(0)" in str(lines(capsys)[-1]["error"])


def test_what_the_trainer_prints_stays_apart_from_the_lines_of_json(path: Path) -> None:
    noise = "import os; print('by print'); os.system('echo by a child'); x = 1.0"
    path.write_text(TRAINER.replace("FACTOR", "1.0").replace("x = 1.0", noise))
    done = subprocess.run(
        [sys.executable, "-m", "stepsize_workers.trying", str(path)], capture_output=True, text=True, check=True
    )
    assert [json.loads(line) for line in done.stdout.splitlines()][-1]["state"] == "completed"
    assert {"by print", "by a child"} <= set(done.stderr.splitlines())


def test_a_trial_ends_quietly_with_whoever_reads_its_lines(path: Path) -> None:
    forever = TRAINER.replace("FACTOR", "1.0").replace("context.params.epochs + 1", "10**9")
    path.write_text(forever)
    command = [sys.executable, "-m", "stepsize_workers.trying", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as trial:
        assert trial.stdout is not None
        assert trial.stderr is not None
        trial.stdout.readline()
        trial.stdout.close()
        assert trial.wait(60) == 1
        assert trial.stderr.read() == ""
