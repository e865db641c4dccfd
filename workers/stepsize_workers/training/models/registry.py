"""Models by name. To add one: a file that builds it from `Sizes`, and a row here."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from stepsize_workers.training.models.activations import initialise
from stepsize_workers.training.models.cnn import cnn
from stepsize_workers.training.models.mlp import mlp
from stepsize_workers.training.models.sizes import Sizes


@dataclass(frozen=True)
class ModelRow:
    """One model of the registry."""

    help: str
    build: Callable[[Sizes], nn.Sequential]


MODELS = {
    "mlp": ModelRow("Fully connected layers.", mlp),
    "cnn": ModelRow("3×3 convolutions with stride 2, then one linear layer.", cnn),
}


def build_model(name: str, sizes: Sizes, *, rng: torch.Generator) -> nn.Sequential:
    """Return the model with fresh weights drawn from `rng`."""
    model = MODELS[name].build(sizes)
    initialise(model, sizes.activation, rng)
    return model
