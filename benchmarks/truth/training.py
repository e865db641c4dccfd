"""Trains one configuration through the product's own loop, with the watch for explosions off, and keeps every loss.

A training ends early only where its loss is no longer a number. Whether the product would have ended it is judged
afterwards from its losses: a changed rule needs no new training.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.truth.tasks import TruthTask
from stepsize.spec.space import Scalar
from stepsize_workers.trainers.base import Diverged, Params
from stepsize_workers.trainers.classifier import Classifier, ClassifierParams
from stepsize_workers.trainers.image_classifier import ImageClassifier
from stepsize_workers.trainers.tabular_classifier import TabularClassifier
from stepsize_workers.training import loop
from stepsize_workers.training.datasets.labelled import LabelledData, Part
from stepsize_workers.training.models import MODELS
from tests.fakes import RecordingContext

Losses = NDArray[np.float32]


@dataclass(frozen=True)
class Training:
    """One training to its end."""

    values: Mapping[str, float]
    """The last epoch's measurements; empty where it ended before the first."""
    losses: Losses
    """Training loss of each update; the last one is not finite where that ended it."""
    n_epochs: int
    """Epochs that were measured."""
    time_s: float


@dataclass
class QuietContext(RecordingContext[Params]):
    """Keeps reports and nothing on disk."""

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        """Skip it: no training here is interrupted."""


class _NoFiles:
    """A task that writes no model."""

    def _write_best(self, run: object, context: object) -> None:
        """Skip it: a file a training takes longer than some of them."""


class _Asked(_NoFiles):
    """A classifier that takes `init` and `scale` from outside its parameters."""

    is_plain: bool = False
    is_raw: bool = False

    def build(self, params: ClassifierParams, rng: torch.Generator) -> nn.Module:
        """Return the model, as PyTorch initialises it where that is asked for."""
        assert isinstance(self, Classifier)
        if self.is_plain:  # the loop has seeded torch's generator for this
            return MODELS[params.model].build(self.sizes)
        return Classifier.build(self, params, rng)

    def prepare(self, params: ClassifierParams, *, device: torch.device, data_dir: Path) -> None:
        """Load the data, as it is in its file where that is asked for."""
        assert isinstance(self, Classifier)
        Classifier.prepare(self, params, device=device, data_dir=data_dir)
        if self.is_raw:
            self.train_part = _raw(self.train_part, self.data)
            self.data = replace(self.data, validation=_raw(self.data.validation, self.data))


def _raw(part: Part, data: LabelledData) -> Part:
    """Undo the normalisation."""
    shape = (1, -1, *[1] * (len(data.shape) - 1))
    mean, std = (torch.tensor(constants).reshape(shape) for constants in (data.mean, data.std))
    return Part(part.inputs * std + mean, part.labels)


class _Image(_Asked, ImageClassifier):
    pass


class _Table(_Asked, TabularClassifier):
    pass


_TRAINERS: Mapping[str, type[Classifier]] = {"image_classifier": _Image, "tabular_classifier": _Table}


def train(
    task: TruthTask, *, batch_size: int, learning_rate: float, seed: int, data_dir: Path, **changes: Scalar
) -> Training:
    """Train once."""
    trainer, context = prepare(
        task, batch_size=batch_size, learning_rate=learning_rate, seed=seed, data_dir=data_dir, **changes
    )
    losses: list[float] = []
    with _watch_off(losses):
        try:
            trainer.train(context)
        except Diverged:
            if not losses or math.isfinite(losses[-1]):
                losses.append(math.nan)  # a measurement was not finite
    reports = context.reports
    values = reports[-1][1] if reports else {}
    return Training(values, np.array(losses, dtype=np.float32), len(reports), values.get("train_time_s", 0.0))


def train_watched(
    task: TruthTask, metric: str, *, batch_size: int, learning_rate: float, seed: int, data_dir: Path
) -> float | None:
    """Train once as the product does and return the last value of a metric; None: the training diverged."""
    trainer, context = prepare(task, batch_size=batch_size, learning_rate=learning_rate, seed=seed, data_dir=data_dir)
    try:
        trainer.train(context)
    except Diverged:
        return None
    return context.reports[-1][1][metric]


def prepare(
    task: TruthTask, *, batch_size: int, learning_rate: float, seed: int, data_dir: Path, **changes: Scalar
) -> tuple[Classifier[ClassifierParams], QuietContext]:
    """Return a trainer and its context."""
    params = {**task.params, "batch_size": batch_size, "learning_rate": learning_rate, **changes}
    trainer_class = _TRAINERS[task.trainer]
    trainer = trainer_class()
    trainer.is_plain = params.pop("init", "ours") == "torch"
    trainer.is_raw = not params.pop("scale", True)
    context = QuietContext(
        params=trainer_class.Params.model_validate(params), directory=data_dir, data_dir=data_dir, seed=seed
    )
    return trainer, context


@contextmanager
def _watch_off(losses: list[float]) -> Iterator[None]:
    def keep(run: object, loss: float, epoch: int, learning_rate: float) -> None:
        losses.append(loss)
        if not math.isfinite(loss):
            raise Diverged("the loss is no number", step=epoch, learning_rate=learning_rate)

    with patch.object(loop._Run, "check_loss", keep):
        yield
