"""The regressor: as good as a linear model where that is good, and in the target's own unit."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from stepsize.datasets.cards import TargetKind, UnreadableDatasetError
from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.tabular_regressor import TabularRegressor, TabularRegressorParams
from stepsize_workers.training.datasets import load as load_data
from stepsize_workers.training.models import load as load_model
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

GOOD = {
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "weight_decay": 0.1,
    "batch_size": 32,
    "epochs": 30,
    "activation": "gelu",
    "dropout": 0.2,
}


def make_context(directory: Path, **params: object) -> RecordingContext[TabularRegressorParams]:
    chosen = TabularRegressorParams.model_validate(params)
    return RecordingContext(params=chosen, directory=directory, data_dir=DATA_DIR)


@pytest.mark.slow
def test_it_predicts_as_well_as_ridge_regression(tmp_path: Path) -> None:
    scores, rivals = [], []
    for split_seed in range(10, 16):  # 66 test patients say little; `GOOD` was chosen on other splits
        context = make_context(tmp_path, **GOOD, split_seed=split_seed)
        TabularRegressor().train(context)
        config = json.loads(context.artifact("config.json").read_text())
        scores.append(config["metrics"]["test_r2"])
        data = load_data("diabetes", data_dir=DATA_DIR, split_seed=split_seed, target=TargetKind.NUMBER)
        ridge = Ridge().fit(data.train.inputs.numpy(), data.train.labels.numpy())
        rivals.append(r2_score(data.test.labels.numpy(), ridge.predict(data.test.inputs.numpy())))
    assert np.mean(scores) >= np.mean(rivals) - 0.02


def test_the_saved_model_predicts_in_the_targets_unit(tmp_path: Path) -> None:
    context = make_context(tmp_path, **GOOD)
    TabularRegressor().train(context)
    data = load_data("diabetes", data_dir=DATA_DIR, target=TargetKind.NUMBER)
    rows = data.test.inputs * torch.tensor(data.std) + torch.tensor(data.mean)
    predicted = load_model(context.artifact("config.json").parent)(rows).squeeze(1).detach()
    test_r2 = json.loads(context.artifact("config.json").read_text())["metrics"]["test_r2"]
    assert r2_score(data.test.labels.numpy(), predicted.numpy()) == pytest.approx(test_r2, abs=1e-4)  # float32


def test_the_unit_of_the_target_changes_nothing() -> None:
    task = TabularRegressor()
    task.prepare(TabularRegressorParams.model_validate({}), device=torch.device("cpu"), data_dir=DATA_DIR)
    model = task.build(task.params, torch.Generator().manual_seed(0))
    with torch.no_grad():
        # The target itself goes from 25 to 346; scaled, the untrained model's loss is of the order of 1.
        assert 0.5 < float(task.evaluate(model)["val_loss"]) < 5


def test_a_rate_a_hundred_times_too_high_shows(tmp_path: Path) -> None:
    context = make_context(tmp_path, learning_rate=100 * 0.01, epochs=10)  # sgd
    with suppress(Diverged):
        TabularRegressor().train(context)
        assert context.reports[-1][1]["val_r2"] < 0.2  # about 0.5 at a hundredth of the rate


def test_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDatasetError, match="predicts numbers"):
        TabularRegressor().train(make_context(tmp_path, dataset="breast_cancer"))
