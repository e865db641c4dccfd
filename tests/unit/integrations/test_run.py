"""What the callbacks make of a trial, whichever way it came."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from stepsize.integrations.run import MetricMissingError, Run, Saved, framework, measured
from stepsize_workers.trainers.base import Checkpoint, Params
from tests.fakes import RecordingContext


class Elsewhere:
    """A trial of a client: no checkpoints, and `should_stop` is no method."""

    def __init__(self) -> None:
        self.should_stop = False
        self.reports: list[int] = []

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        self.reports.append(step)
        self.should_stop = step == 2
        return self.should_stop


def test_a_client_s_trial_is_reported_and_stopped_and_keeps_nothing(tmp_path: Path) -> None:
    trial = Elsewhere()
    run = Run(trial)
    run.save(1, lambda path: path.touch())
    assert run.saved is None
    assert not run.report(1, {"loss": 1.0})
    assert not run.should_stop()
    assert run.report(2, {"loss": 1.0})
    assert run.should_stop()
    assert trial.reports == [1, 2]


def test_a_trainer_s_trial_keeps_checkpoints_until_it_is_over(tmp_path: Path) -> None:
    left = Checkpoint(3, tmp_path / "left")
    context = RecordingContext(params=Params(), directory=tmp_path, checkpoint=left, stop_at_step=5)
    run = Run(context)
    assert run.saved == Saved(3, tmp_path / "left")
    run.report(4, {"loss": 1.0})
    run.save(4, lambda path: path.touch())
    run.report(5, {"loss": 1.0})
    run.save(5, lambda path: path.touch())
    assert list(context.checkpoints) == [4]


def test_a_metric_that_is_not_measured_is_named_with_the_nearest() -> None:
    assert measured({"valid-logloss": 0.5}, {"loss": "valid-logloss"}) == {"loss": 0.5}
    with pytest.raises(
        MetricMissingError, match=r"'val_los'; did you mean 'val_loss'\? The framework measures loss, val"
    ):
        measured({"val_loss": 1.0, "loss": 1.0}, {"val_los": "val_los"})


def test_a_framework_that_is_not_there_is_named_with_its_mend() -> None:
    with pytest.raises(ImportError, match="needs nowhere for this: pip install somewhere"):
        framework("nowhere", install="somewhere")
