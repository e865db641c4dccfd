"""The parameters of tasks that train a model of the registry."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from stepsize_workers.training.models import MODELS, Init, Sizes, Use, build_model, names_for
from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.params import Footprint, TrainingParams

if TYPE_CHECKING:
    ActivationName = str
    ImageModel = str
    TextModel = str
    NextTokenModel = str
else:  # a row in a registry is all that a new one needs
    ActivationName = Literal[tuple(ACTIVATIONS)]
    ImageModel = Literal[names_for(Use.IMAGES)]
    TextModel = Literal[names_for(Use.TEXTS)]
    NextTokenModel = Literal[names_for(Use.NEXT_TOKEN)]


def model_field(use: Use, default: str) -> Any:
    """Return the field of a parameter `model`, its help the models' own."""
    helps = [f"{name}: {MODELS[name].help}" for name in names_for(use)]
    return Field(default=default, description="; ".join(helps) + ".")


class ModelParams(TrainingParams):
    """Which model, and how large; a task says which of them fit."""

    model: str
    width: int = Field(default=32, ge=1, le=4096)
    """Units of a hidden layer, channels of a convolution, numbers that stand for a token."""
    depth: int = Field(default=2, ge=0, le=16)
    """Hidden layers, convolutions, blocks."""
    activation: ActivationName = "relu"
    """Nonlinearity; the initialisation follows it."""
    dropout: Annotated[float, Footprint.AMOUNT] = Field(default=0.0, ge=0, lt=1)
    """Share of units left out at random while training."""
    init: Annotated[Literal["ours", "torch"], Footprint.NONE] = "ours"
    """Weights to begin with. ours: to suit the model and its activation; torch: as PyTorch's layers are made."""

    def build(self, sizes: Sizes, rng: torch.Generator) -> nn.Module:
        """Return the model, its weights fresh."""
        return build_model(self.model, sizes, rng=rng, init=Init(self.init))
