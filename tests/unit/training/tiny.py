"""A task as small as a task can be: one weight `w`, fitted to y = 3x."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.task import LOOP_METRICS, Metrics
from stepsize_workers.training.trainer import TaskTrainer

N_SAMPLES = 24


class TinyParams(TrainingParams):
    """Nothing beyond what every task has."""


class TinyTask(TaskTrainer[TinyParams, Tensor]):
    """Least squares; a batch is a tensor of indices (B,)."""

    name = "tiny"
    version = "1"
    help = "One weight fitted to y = 3x."
    Params = TinyParams
    metrics = (Metric(name="val_loss", direction=Direction.MINIMIZE), *LOOP_METRICS)
    default_search_space = {"learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True)}  # noqa: RUF012
    default_objectives = (Objective(metric="val_loss", direction=Direction.MINIMIZE),)

    params: TinyParams
    x: Tensor

    def prepare(self, params: TinyParams, *, device: torch.device, data_dir: Path) -> None:
        self.params = params
        self.x = torch.linspace(-1, 1, N_SAMPLES, device=device)[:, None]

    def build(self, params: TinyParams, rng: torch.Generator) -> nn.Module:
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        return model

    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[Tensor]:
        return torch.split(torch.randperm(N_SAMPLES, generator=rng), self.params.batch_size)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        x = self.x[batch]
        return mse_loss(model(x), 3 * x)

    def evaluate(self, model: nn.Module) -> Metrics:
        return {"val_loss": mse_loss(model(self.x), 3 * self.x)}
