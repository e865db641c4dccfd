"""The detector: finds the shuttle's odd readings, having seen normal ones only."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from stepsize.datasets.cards import UnreadableDatasetError
from stepsize_workers.trainers.anomaly_detector import AnomalyDetector, AnomalyDetectorParams, average_precision
from stepsize_workers.trainers.base import Diverged
from stepsize_workers.training.datasets import packaged
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

GOOD_RATE = 0.03


def make_context(directory: Path, **params: object) -> RecordingContext[AnomalyDetectorParams]:
    chosen = AnomalyDetectorParams.model_validate({"epochs": 1, **params})
    return RecordingContext(params=chosen, directory=directory, data_dir=DATA_DIR)


def test_it_finds_the_odd_readings(tmp_path: Path) -> None:
    context = make_context(tmp_path, learning_rate=GOOD_RATE)
    AnomalyDetector().train(context)
    values = context.reports[-1][1]
    assert values["val_average_precision"] > 0.97
    # Rows given back as their mean have 0.34.
    assert values["val_loss"] < 0.05


def test_a_rate_a_hundred_times_too_high_shows(tmp_path: Path) -> None:
    with pytest.raises(Diverged):
        AnomalyDetector().train(make_context(tmp_path, learning_rate=100 * GOOD_RATE))


def test_only_normal_rows_are_trained_on() -> None:
    task = AnomalyDetector()
    context = make_context(Path("/nonexistent"))
    task.prepare(context.params, device=torch.device("cpu"), data_dir=DATA_DIR)
    normal = task.data.class_names.index("normal")
    assert set(task.train_part.labels.tolist()) == {normal}
    assert len(task.train_part) == int((task.data.train.labels == normal).sum())
    task.train_on_validation()
    assert set(task.train_part.labels.tolist()) == {normal}


@pytest.fixture(params=[3, 1000], ids=["many ties", "few ties"])
def scored(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, request.param, 200)).double(), torch.from_numpy(rng.random(200) < 0.2)


def test_average_precision_is_scikit_learns(scored: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, is_positive = scored
    expected = average_precision_score(is_positive.numpy(), scores.numpy())
    assert float(average_precision(scores, is_positive)) == pytest.approx(expected, abs=1e-12)


def test_missing_data_names_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(packaged, "find_spec", nowhere)
    with pytest.raises(UnreadableDatasetError, match=r"pip install --no-deps river==0\.26\.1"):
        packaged.find_file("river", "datasets/shuttle.csv.gz", "river==0.26.1")
