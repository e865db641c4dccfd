"""What a trial trained in a group promises: it is what it would be alone. New models and optimisers join by themselves.

Sums over a batch are taken in another order, so numbers differ in the last digits, and updates carry that on. Over
these trainings losses differ by up to 2e-6 of themselves; where a batch is normalised by few samples (resnet) small
differences grow, and with Adam a gradient that should be 0 (the bias of attention's keys) moves a weight either way.
So what is compared is what the models do, not their weights.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from stepsize.spec.optimizers import optimizer_types
from stepsize.spec.schedules import schedule_types
from stepsize.spec.space import Scalar
from stepsize_workers.trainers.base import Trainer
from stepsize_workers.trainers.registry import BUILT_IN, load_trainer
from stepsize_workers.training.models import Use, names_for
from tests.fakes import RecordingContext, RecordingGroup
from tests.unit.training.data import DATA_DIR

RELATIVE = 1e-4
"""Of losses; seen: 2e-6."""
COUNTED = 0.05
"""Of shares of samples, where one that was on the edge may fall to the other side; seen: 0."""

FUSED = [name for name in BUILT_IN if load_trainer(name).capabilities.fuse]
SMALL_TEXTS: dict[str, Scalar] = {"width": 8, "depth": 1, "context": 8, "heads": 2, "train_fraction": 0.01}
QUICK: dict[str, dict[str, Scalar]] = {
    "anomaly_detector": {"train_fraction": 0.005, "optimizer": "adam"},
    "image_classifier": {"dataset": "digits", "train_fraction": 0.1, "width": 8, "optimizer": "adam"},
    "language_model": {**SMALL_TEXTS, "train_fraction": 0.001},
    "tabular_classifier": {"train_fraction": 0.2, "label_noise": 0.1, "optimizer": "adam"},
    "tabular_regressor": {"train_fraction": 0.3, "optimizer": "adam"},
    "text_classifier": {**SMALL_TEXTS, "label_smoothing": 0.1},
}
MODELS = [  # lstm says why not
    *(("image_classifier", model) for model in names_for(Use.IMAGES)),
    *(("text_classifier", model) for model in names_for(Use.TEXTS) if model != "lstm"),
    *(("language_model", model) for model in names_for(Use.NEXT_TOKEN) if model != "lstm"),
]


def make_members(
    trainer: type[Trainer[Any]], directory: Path, shared: dict[str, Scalar], own: Sequence[dict[str, Scalar]]
) -> list[RecordingContext[Any]]:
    plain: dict[str, Scalar] = {"epochs": 2, "batch_size": 16, **QUICK.get(trainer.name, {}), **shared}
    return [
        RecordingContext(
            params=trainer.Params(**{**plain, **params}), directory=directory / str(k), seed=k, data_dir=DATA_DIR
        )
        for k, params in enumerate(own)
    ]


OWN: list[dict[str, Scalar]] = [
    {"learning_rate": 0.001},
    {"learning_rate": 0.01, "weight_decay": 0.01, "epochs": 3},
    {"learning_rate": 0.003, "clip_norm": 0.5},
]


def train_both(
    name: str, directory: Path, shared: dict[str, Scalar], own: Sequence[dict[str, Scalar]] = tuple(OWN)
) -> tuple[list[RecordingContext[Any]], list[RecordingContext[Any]]]:
    """Return the members of a group, trained, and the same trials trained alone."""
    trainer = load_trainer(name)
    alone = make_members(trainer, directory / "alone", shared, own)
    for context in alone:
        trainer().train(context)
    together = make_members(trainer, directory / "together", shared, own)
    group = RecordingGroup(together)
    trainer().train_group(group)
    assert list(group.errors.values()) == [None] * len(own)
    return together, alone


def check_same(together: RecordingContext[Any], alone: RecordingContext[Any]) -> None:
    """Compare everything that two contexts have been told."""
    assert [step for step, _ in together.reports] == [step for step, _ in alone.reports]
    for (_, one), (_, other) in zip(together.reports, alone.reports, strict=True):
        check_values(one, other)
    assert {path.name for path in (together.directory / "artifacts").iterdir()} == {
        path.name for path in (alone.directory / "artifacts").iterdir()
    }
    config, config_alone = read_config(together), read_config(alone)
    check_values(config.pop("metrics"), config_alone.pop("metrics"))
    assert config == config_alone
    assert read_shapes(together) == read_shapes(alone)
    assert together.data_hash == alone.data_hash
    assert (together.last_remark is None) == (alone.last_remark is None)  # its numbers may differ in the last digit
    assert list(together.checkpoints) == list(alone.checkpoints)


def check_values(together: dict[str, float], alone: dict[str, float]) -> None:
    assert together.keys() == alone.keys()
    for name in together.keys() - {"train_time_s"}:
        is_count = name.endswith(("accuracy", "f1", "precision"))
        assert together[name] == pytest.approx(alone[name], rel=0 if is_count else RELATIVE, abs=COUNTED * is_count)


def read_config(context: RecordingContext[Any]) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((context.directory / "artifacts/config.json").read_text())
    return config


def read_shapes(context: RecordingContext[Any]) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in load_file(context.directory / "artifacts/model.safetensors").items()}


@pytest.mark.parametrize("name", [name for name in FUSED if name.startswith(("tabular", "anomaly"))])
def test_every_trainer(tmp_path: Path, name: str) -> None:
    for together, alone in zip(*train_both(name, tmp_path, {}), strict=True):
        check_same(together, alone)


def marked(row: tuple[str, str]) -> Any:
    is_slow = row[1] in ("resnet34", "resnet50") or row[0] == "language_model"
    return pytest.param(*row, marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.parametrize(("name", "model"), [marked(row) for row in MODELS])
def test_every_model(tmp_path: Path, name: str, model: str) -> None:
    shared: dict[str, Scalar] = {"model": model}
    if model.startswith("resnet"):  # with few samples in a batch, normalisation makes much of the last digits
        shared |= {"width": 2, "batch_size": 125, "optimizer": "sgd"}
    for together, alone in zip(*train_both(name, tmp_path, shared), strict=True):
        check_same(together, alone)


@pytest.mark.parametrize("optimizer", optimizer_types())
def test_every_optimizer(tmp_path: Path, optimizer: str) -> None:
    own = [dict(params) for params in OWN]
    for together, alone in zip(*train_both("tabular_classifier", tmp_path, {"optimizer": optimizer}, own), strict=True):
        check_same(together, alone)


def test_each_has_its_own_schedule_and_amounts(tmp_path: Path) -> None:
    own: list[dict[str, Scalar]] = [
        {"schedule": schedule, "warmup_frac": 0.1 * (k % 3), "beta1": 0.8 + 0.01 * k, "eps": 1e-8 * 2**k}
        for k, schedule in enumerate(schedule_types())
    ]
    for together, alone in zip(*train_both("tabular_classifier", tmp_path, {}, own), strict=True):
        check_same(together, alone)


# Without the two deepest: through so many normalised layers some gradients are only rounding, of which Adam takes the
# sign.
SHALLOW = [row for row in MODELS if row[1] not in ("resnet34", "resnet50")]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", optimizer_types())
@pytest.mark.parametrize(("name", "model"), SHALLOW)
def test_every_model_with_every_optimizer_and_schedule(tmp_path: Path, name: str, model: str, optimizer: str) -> None:
    shared: dict[str, Scalar] = {"model": model, "optimizer": optimizer, "epochs": 1}
    if model.startswith("resnet"):
        shared |= {"width": 2, "batch_size": 125}
    # Three of the schedules, others with each: every pair is seen, of models, optimisers and schedules.
    first = 3 * list(optimizer_types()).index(optimizer) + SHALLOW.index((name, model))
    schedules = [*schedule_types(), *schedule_types(), *schedule_types(), *schedule_types()][first : first + 3]
    own: list[dict[str, Scalar]] = [{"schedule": schedule, "learning_rate": 1e-3} for schedule in schedules]
    for together, alone in zip(*train_both(name, tmp_path, shared, own), strict=True):
        check_same(together, alone)
