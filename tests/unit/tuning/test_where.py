"""Which service a function is tuned with: what a call says counts before what the environment says."""

from pathlib import Path

import pytest

from stepsize import Float, TuneTrial, tune
from stepsize.tuning import function

SPACE = {"learning_rate": Float(1e-5, 1.0, log=True)}


class StartedError(Exception):
    """A service was started."""


def start(data_dir: Path) -> str:
    raise StartedError(data_dir)


def train(trial: TuneTrial) -> float:
    return float(trial["learning_rate"])


@pytest.fixture(autouse=True)
def _another_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "local_service", start)
    monkeypatch.setenv("STEPSIZE_SERVER", "http://127.0.0.1:1")


def test_a_directory_that_is_named_counts_before_a_server_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(StartedError, match=tmp_path.name):
        tune(train, SPACE, data_dir=tmp_path)
    with pytest.raises(ValueError, match="name= is needed"):
        tune(train, SPACE)


def test_a_server_and_a_directory_are_not_both_taken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="and not both"):
        tune(train, SPACE, data_dir=tmp_path, server="http://127.0.0.1:1", name="x")
