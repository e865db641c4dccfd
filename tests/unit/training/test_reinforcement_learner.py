"""Agents: poles stay up, links swing up, and what is wrong with a rate or an installation is said."""

import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.reinforcement_learner import ReinforcementLearner, ReinforcementLearnerParams
from stepsize_workers.training.environments import REQUIREMENT, Environments, MissingGymnasiumError
from tests.fakes import RecordingContext

ROOT = Path(__file__).parents[3]


def make_context(directory: Path, **params: object) -> RecordingContext[ReinforcementLearnerParams]:
    chosen = ReinforcementLearnerParams.model_validate(params)
    return RecordingContext(params=chosen, directory=directory)


# Measured: 489 to 500 over five seeds, and −81 to −80 over three.
@pytest.mark.slow
@pytest.mark.parametrize(("environment", "epochs", "wanted"), [("CartPole-v1", 12, 450.0), ("Acrobot-v1", 20, -100.0)])
def test_an_agent_learns(environment: str, epochs: int, wanted: float, tmp_path: Path) -> None:
    context = make_context(tmp_path, environment=environment, epochs=epochs)
    ReinforcementLearner().train(context)
    assert max(values["mean_return"] for _, values in context.reports) >= wanted


@pytest.mark.parametrize("environment", ["CartPole-v1", "Acrobot-v1"])
def test_a_rate_a_hundred_times_too_high_explodes(environment: str, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"the training loss rose from .* in epoch 1 at learning rate 0\.3"):
        ReinforcementLearner().train(make_context(tmp_path, environment=environment, learning_rate=0.3))


def test_what_is_missing_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingGymnasiumError, match=f"run: pip install {REQUIREMENT}"):
        Environments("CartPole-v1", 1)


def test_that_command_brings_what_the_workers_extra_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [each for each in project["optional-dependencies"]["worker"] if each.startswith("gymnasium")]
    (version,) = [each.version for each in Requirement(REQUIREMENT).specifier]
    assert version in Requirement(wanted).specifier
    assert REQUIREMENT in (ROOT / "constraints.txt").read_text().splitlines()
