"""The image classifier: learns real digits, and its parameters do what they say."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stepsize_workers.trainers.image_classifier import ImageClassifier, ImageClassifierParams
from stepsize_workers.training.datasets import load as load_data
from stepsize_workers.training.models import load as load_model
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR


def make_context(directory: Path, **params: object) -> RecordingContext[ImageClassifierParams]:
    quick = {"dataset": "digits", "model": "mlp", "epochs": 1}
    return RecordingContext(
        params=ImageClassifierParams.model_validate(quick | params), directory=directory, data_dir=DATA_DIR
    )


def prepare(**params: object) -> ImageClassifier:
    task = ImageClassifier()
    context = make_context(Path("/nonexistent"), **params)
    task.prepare(context.params, device=torch.device("cpu"), data_dir=DATA_DIR)
    return task


@pytest.mark.parametrize(
    ("params", "accuracy"),
    [
        ({"dataset": "mnist5k", "model": "cnn", "learning_rate": 0.03, "epochs": 3}, 0.9),
        ({"dataset": "mnist5k", "model": "mlp", "learning_rate": 0.03, "width": 64, "epochs": 5}, 0.88),
        ({"dataset": "digits", "model": "cnn", "learning_rate": 0.03, "epochs": 10}, 0.95),
        ({"dataset": "digits", "model": "mlp", "learning_rate": 0.03, "epochs": 10}, 0.93),
    ],
)
def test_learns_real_digits(tmp_path: Path, params: dict[str, object], accuracy: float) -> None:
    context = make_context(tmp_path, **params)
    ImageClassifier().train(context)
    assert context.reports[-1][1]["val_accuracy"] > accuracy


def test_the_saved_model_classifies_raw_pixels_as_well_as_it_says(tmp_path: Path) -> None:
    context = make_context(tmp_path, epochs=5, dropout=0.2)
    ImageClassifier().train(context)
    directory = context.artifact("config.json").parent
    metrics = json.loads((directory / "config.json").read_text())["metrics"]
    data = load_data("digits", data_dir=DATA_DIR)
    model = load_model(directory)
    for part, name in ((data.validation, "val_accuracy"), (data.test, "test_accuracy")):
        pixels = part.inputs * data.std[0] + data.mean[0]
        accuracy = (model(pixels).argmax(1) == part.labels).float().mean().item()
        assert accuracy == pytest.approx(metrics[name], abs=1e-6)  # float32 against float64


def test_an_epoch_visits_every_training_image_once() -> None:
    task = prepare(batch_size=100, train_fraction=0.5)
    batches = task.batches(1, torch.Generator().manual_seed(0))
    n = len(task.train_part)
    assert n == round(0.5 * len(task.data.train))
    assert [len(batch) for batch in batches] == [100] * (n // 100) + [n % 100]
    assert torch.cat(batches).sort().values.tolist() == list(range(n))


def test_label_noise_touches_the_training_labels_only() -> None:
    clean, noisy = prepare(), prepare(label_noise=0.3)
    assert not torch.equal(noisy.train_part.labels, clean.train_part.labels)
    assert torch.equal(noisy.data.validation.labels, clean.data.validation.labels)
    assert torch.equal(prepare(label_noise=0.3).train_part.labels, noisy.train_part.labels)


def test_label_smoothing_counts_in_training_only() -> None:
    sharp, smooth = prepare(), prepare(label_smoothing=0.5)
    model = sharp.build(sharp.params, torch.Generator().manual_seed(0))
    batch = torch.arange(100)

    def loss(task: ImageClassifier) -> Tensor:
        return task.loss(model, batch)

    assert not torch.equal(loss(sharp), loss(smooth))
    assert sharp.evaluate(model) == smooth.evaluate(model)


def test_the_trial_says_which_data_it_was_trained_on(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    ImageClassifier().train(context)
    assert context.data_hash == load_data("digits", data_dir=DATA_DIR).content_hash
