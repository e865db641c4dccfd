"""Every framework with the real library: each measurement is reported, the verdict ends it, and it can go on."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from stepsize_workers.trainers.base import Params
from tests.unit.integrations.trainings import TRAININGS, Context

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # theirs
]


@pytest.fixture(params=TRAININGS)
def training(request: pytest.FixtureRequest) -> tuple[Callable[[Context, Path], None], list[int]]:
    library, train, steps = TRAININGS[request.param]
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install -c constraints.txt -e '.[integrations]'")
    return train, steps


def context(directory: Path, **options: Any) -> Context:
    return Context(params=Params(), directory=directory, **options)


def test_every_measurement_is_reported(training: Any, tmp_path: Path) -> None:
    train, steps = training
    trial = context(tmp_path)
    train(trial, tmp_path)
    assert [step for step, _ in trial.reports] == steps


def test_the_verdict_ends_it(training: Any, tmp_path: Path) -> None:
    train, steps = training
    trial = context(tmp_path, stop_at_step=steps[1])
    train(trial, tmp_path)
    assert [step for step, _ in trial.reports] == steps[:2]


def test_who_is_asked_to_stop_stops_soon(training: Any, tmp_path: Path) -> None:
    train, steps = training
    trial = context(tmp_path, stop_after_polls=2)
    train(trial, tmp_path)
    assert len(trial.reports) < len(steps)


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(training: Any, tmp_path: Path) -> None:
    train, steps = training
    whole = context(tmp_path / "whole")
    train(whole, tmp_path / "whole")
    resumed = context(tmp_path / "resumed", attempt=2, checkpoint=whole.checkpoint_after(steps[1]))
    train(resumed, tmp_path / "resumed")
    assert [step for step, _ in resumed.reports] == steps[2:]
    for (_, later), (_, before) in zip(resumed.reports, whole.reports[2:], strict=True):
        assert later == pytest.approx(before, rel=1e-5)  # single precision; LightGBM adds trees in another order
