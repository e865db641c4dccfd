"""Trains one configuration through the product's own loop, with the watch for explosions off, and keeps every loss.

A training ends early only where its loss is no longer a number. Whether the product would have ended it is judged
afterwards from its losses: a changed rule needs no new training.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.truth.tasks import TruthTask
from stepsize.spec.space import Scalar
from stepsize_workers.trainers import labelled
from stepsize_workers.trainers.base import Diverged, Params, Trainer
from stepsize_workers.trainers.divergence import ExplosionWatch
from stepsize_workers.trainers.registry import load_trainer
from stepsize_workers.training.datasets import LabelledData, Part, load
from stepsize_workers.training.loop import Loop
from tests.fakes import RecordingContext

Losses = NDArray[np.float32]


@dataclass(frozen=True)
class Training:
    """One training to its end."""

    values: Mapping[str, float]
    """The last epoch's measurements; empty where it ended before the first."""
    losses: Losses
    """Training loss of each update; the last one is not finite where that ended it."""
    time_s: float


@dataclass
class QuietContext(RecordingContext[Params]):
    """Keeps reports and nothing on disk."""

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        """Skip it: no training here is interrupted."""


def train(task: TruthTask, *, batch_size: int, learning_rate: float, seed: int, data_dir: Path) -> Training:
    """Train once, to the end of the last epoch unless the loss becomes no number."""
    losses: list[float] = []

    def keep(watch: object, loss: float) -> bool:
        losses.append(loss)
        return not math.isfinite(loss)

    with prepared(task, batch_size=batch_size, learning_rate=learning_rate, seed=seed, data_dir=data_dir) as ready:
        trainer, context = ready
        try:
            with patch.object(ExplosionWatch, "has_exploded", keep):
                trainer.train(context)
        except Diverged:
            if not losses or math.isfinite(losses[-1]):
                losses.append(math.nan)  # a measurement was not finite
    values = context.reports[-1][1] if context.reports else {}
    return Training(values, np.array(losses, dtype=np.float32), values.get("train_time_s", 0.0))


def train_watched(
    task: TruthTask, metric: str, *, batch_size: int, learning_rate: float, seed: int, data_dir: Path
) -> float | None:
    """Train once as the product does and return the last value of a metric; None: the training diverged."""
    with prepared(task, batch_size=batch_size, learning_rate=learning_rate, seed=seed, data_dir=data_dir) as ready:
        trainer, context = ready
        try:
            trainer.train(context)
        except Diverged:
            return None
    return context.reports[-1][1][metric]


@contextmanager
def prepared(
    task: TruthTask, *, batch_size: int, learning_rate: float, seed: int, data_dir: Path
) -> Iterator[tuple[Trainer[Params], QuietContext]]:
    """Provide a trainer and its context, with the inputs the task asks for."""
    params: dict[str, Scalar] = {**task.params, "batch_size": batch_size, "learning_rate": learning_rate}
    is_raw = not params.pop("scale", True)
    trainer_class = load_trainer(task.trainer)
    chosen = trainer_class.Params.model_validate(params)
    context = QuietContext(params=chosen, directory=data_dir, data_dir=data_dir, seed=seed)
    with ExitStack() as changed:
        # A file a training takes longer than some of them.
        changed.enter_context(patch.object(Loop, "_write_model", lambda *_: None))
        if is_raw:
            changed.enter_context(patch.object(labelled, "load", load_raw))
        yield trainer_class(), context


def load_raw(name: str, **options: Any) -> LabelledData:
    """Return a data set as it is in its file."""
    data = load(name, **options)
    shape = (1, -1, *[1] * (len(data.shape) - 1))
    mean, std = (torch.tensor(constants).reshape(shape) for constants in (data.mean, data.std))

    def raw(part: Part) -> Part:
        return Part(part.inputs * std + mean, part.labels)

    return replace(data, train=raw(data.train), validation=raw(data.validation), test=raw(data.test))
