"""`stepsize try`: one trial here, the file read anew, what is wrong said."""

import json
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
        (["--trainer=bowll"], "there is no trainer 'bowll'; did you mean 'bowl'?"),
    ],
)
def test_wrong_usage_says_what_to_mend(
    path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main([str(path), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_raises_shows_where(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("1 / 0")
    assert main([str(path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
