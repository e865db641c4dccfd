"""The trainers in examples/ train, and the documented snippet loads a model."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stepsize import Task
from stepsize_workers.trainers.registry import extra_cards, load_trainer
from stepsize_workers.training.datasets import load as load_data
from stepsize_workers.training.task import Task as HalfATask
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
NAMES = {"own_trainer": "linear_classifier", "plain_trainer": "my_digits", "task_template": "sine"}


@pytest.fixture(autouse=True)
def _in_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker started in examples/ would find them."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.mark.parametrize(("module", "name"), NAMES.items())
def test_an_example_trainer_learns(module: str, name: str, tmp_path: Path) -> None:
    cards, problems = extra_cards([module])
    assert ([card.name for card in cards], problems) == ([name], [])
    trainer = load_trainer(name, [module])
    context = RecordingContext(params=trainer.Params.model_validate({"epochs": 5}), directory=tmp_path)
    trainer().train(context)
    losses = [values["val_loss"] for _, values in context.reports]
    assert len(losses) == 5
    assert losses[-1] < losses[0]


def test_the_example_program_runs(tmp_path: Path) -> None:
    trainer = load_trainer("newton", [str(EXAMPLES / "commands.toml")])
    context = RecordingContext(params=trainer.Params.model_validate({"damping": 1.0}), directory=tmp_path)
    trainer().train(context)
    assert context.reports[-1][0] == 8
    assert context.reports[-1][1]["error"] < 1e-12  # Newton's steps double the digits


def test_the_manuals_parameter_groups_train_with_their_own_rates(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "how-to" / "write-a-trainer.md").read_text()
    (source,) = [block for block in re.findall(r"```python\n(.*?)```", manual, re.DOTALL) if "ParameterGroup" in block]
    found: dict[str, Any] = {}
    exec(compile(source, "write-a-trainer.md", "exec"), found)
    trainer = found["FineTuned"]
    context = RecordingContext(params=trainer.Params.model_validate({"epochs": 5}), directory=tmp_path)
    trainer().train(context)
    losses = [values["val_loss"] for _, values in context.reports]
    assert losses[-1] < losses[0]
    head, body = trainer().parameter_groups(trainer().build(context.params, torch.Generator()))
    assert (head.rate_ratio, body.rate_ratio) == (1.0, 0.1)
    assert [len(head.parameters), len(body.parameters)] == [2, 2], "weights and biases"


def test_the_help_of_a_task_begins_with_all_that_may_be_written() -> None:
    said = Task.__doc__ or ""
    own = {name for name, member in vars(HalfATask).items() if inspect.isfunction(member)}
    assert {name for name in own if f"{name}(" not in said} == set()
    must, _, may = said.partition("You may write")
    assert {name for name in Task.__abstractmethods__ if f"{name}(" not in must} == set()
    assert {name for name in own - Task.__abstractmethods__ if f"{name}(" not in may} == set()


def test_the_manual_shows_the_example_file() -> None:
    manual = (ROOT / "docs" / "how-to" / "command-trainer.md").read_text()
    shown = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)[0]
    assert shown in (EXAMPLES / "commands.toml").read_text()


def test_the_trainer_is_the_script_but_for_the_lines_the_manual_names() -> None:
    script = (EXAMPLES / "plain_script.py").read_text()
    trainer = {line.strip() for line in (EXAMPLES / "plain_trainer.py").read_text().splitlines()}
    _, _, training = script.partition("EPOCHS = 5\n")
    changed = [line.strip() for line in training.splitlines() if line.strip() not in trainer]
    assert changed == [
        "torch.manual_seed(0)",
        "optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)",
        "for epoch in range(1, EPOCHS + 1):",
        "for batch in torch.randperm(len(x_train)).split(BATCH_SIZE):",
        'sys.stdout.write(f"epoch {epoch}: {val_loss:.3f}\\n")',
        'torch.save(model.state_dict(), "model.pt")',
    ]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("image_classifier", {"dataset": "digits", "model": "cnn", "epochs": 3, "activation": "leaky_relu"}),
        ("tabular_classifier", {"epochs": 5, "dropout": 0.1}),
    ],
)
def test_the_documented_snippet_loads_a_model_in_plain_pytorch(
    name: str, params: dict[str, Any], tmp_path: Path
) -> None:
    trainer = load_trainer(name)
    context = RecordingContext(params=trainer.Params.model_validate(params), directory=tmp_path, data_dir=DATA_DIR)
    trainer().train(context)
    data = load_data(context.params.model_dump()["dataset"], data_dir=DATA_DIR)
    shape = (1, -1, *[1] * (len(data.shape) - 1))
    raw = data.test.inputs * torch.tensor(data.std).view(shape) + torch.tensor(data.mean).view(shape)
    directory = context.artifact("config.json").parent
    torch.save({"x": raw, "y": data.test.labels}, directory / "test.pt")
    page = (ROOT / "docs" / "how-to" / "load-a-model.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(ast.parse(snippet).body) == 5
    use = (
        "import sys\n"
        "test = torch.load('test.pt')\n"
        "right = (model((test['x'] - mean) / std).argmax(1) == test['y']).float().mean().item()\n"
        "assert abs(right - config['metrics']['test_accuracy']) < 1e-6, right\n"
        "assert not [name for name in sys.modules if name.startswith(('stepsize', 'stepsize_workers'))]\n"
    )
    subprocess.run([sys.executable, "-P", "-c", snippet + use], cwd=directory, check=True, timeout=120)
