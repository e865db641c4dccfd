"""Checkpoints: what an interrupted training needs to go on exactly where it was.

Random numbers are not among it: see workers/stepsize_workers/training/seeding.py.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

State = dict[str, Tensor]
"""A model's `state_dict`, on the CPU."""


@dataclass(frozen=True)
class Best:
    """The best epoch so far: its metrics and the model as it was."""

    epoch: int
    values: dict[str, float]
    state: State


@dataclass
class Progress:
    """Where a training stands, apart from its model and optimiser."""

    epoch: int = 0
    """Epochs completed."""
    untrained_loss: float | None = None
    """Loss before the first update."""
    recent_losses: list[float] = field(default_factory=list)
    """Averages of the last updates' losses."""
    highest_loss: float = -math.inf
    """The highest average of some dozens of samples' losses."""
    remark: str | None = None
    """What is to be said of the training now that its last epoch is measured."""
    train_time_s: float = 0.0
    """Seconds spent in updates, by all attempts together."""
    best: Best | None = None
    collected: Mapping[str, Tensor] = field(default_factory=dict)
    """The task's own state."""


def copy_state(model: nn.Module) -> State:
    """Return a copy of the model's state on the CPU, unaffected by further training."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def write_checkpoint(path: Path, *, model: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
    """Write everything to one file, of plain types and tensors only."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    torch.save(tree_map_only(Tensor, _on_its_own, state), path)


def _on_its_own(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if it is part of a larger one, which would be written whole."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def read_checkpoint(path: Path, *, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Restore the model and the optimiser in place, and return where the training stood."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    progress = saved["progress"]
    best = progress.pop("best")
    return Progress(**progress, best=Best(**best) if best else None)
