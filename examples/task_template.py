"""A template: copy it, and replace data, model and loss by your own.

A task inherits optimisers, schedules, clipping, accumulation, the watch for divergence, checkpoints with exact resume,
range tests and the saved best model, and all of their parameters.

STEPSIZE_TRAINERS=task_template stepsize up           (in this directory)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stepsize import (
    LOOP_METRICS,
    Direction,
    Float,
    Int,
    Metric,
    Metrics,
    Objective,
    SearchSpace,
    Task,
    TrainingParams,
)

N_TRAIN, N_VALIDATION = 512, 128


class SineParams(TrainingParams):
    """Your own parameters; learning_rate, batch_size, epochs, optimizer, schedule and the rest are inherited."""

    width: int = Field(default=32, ge=1, le=1024)
    """Units of the hidden layer."""


class Sine(Task[SineParams, Tensor]):
    """Fits a sine; a batch is a tensor of indices (B,) into the training samples."""

    name = "sine"
    version = "1"  # raise it whenever the same parameters give other results
    help = "A template: one hidden layer fitted to a sine."
    Params = SineParams
    metrics = (Metric(name="val_loss", direction=Direction.MINIMIZE), *LOOP_METRICS)
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "batch_size": Int(8, 128, powers_of_two=True),
    }
    default_objectives = (Objective(metric="val_loss", direction=Direction.MINIMIZE),)

    params: SineParams
    x: Tensor
    y: Tensor

    def prepare(self, params: SineParams, *, device: torch.device, data_dir: Path) -> None:
        """Load data. Its seed is a constant: all trials of a job are judged on the same data."""
        self.params = params
        rng = torch.Generator().manual_seed(0)
        self.x = (6 * torch.rand(N_TRAIN + N_VALIDATION, 1, generator=rng) - 3).to(device)
        self.y = torch.sin(self.x)

    def build(self, params: SineParams, rng: torch.Generator) -> nn.Module:
        """Return a fresh model; torch's global generator is seeded for the trial."""
        return nn.Sequential(nn.Linear(1, params.width), nn.Tanh(), nn.Linear(params.width, 1))

    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[Tensor]:
        """Return an epoch's batches: anything that `loss` understands."""
        return torch.split(torch.randperm(N_TRAIN, generator=rng), self.params.batch_size)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the mean loss over a batch."""
        return mse_loss(model(self.x[batch]), self.y[batch])

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return what is reported after each epoch, beside what the loop reports."""
        return {"val_loss": mse_loss(model(self.x[N_TRAIN:]), self.y[N_TRAIN:])}
