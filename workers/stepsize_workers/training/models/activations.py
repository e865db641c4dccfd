"""Activations, each with the initialisation that keeps signals alive through many layers of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LEAK = 0.01


@dataclass(frozen=True)
class Activation:
    """One row of the registry."""

    layer: Callable[[], nn.Module]
    initialise: Callable[[Tensor, torch.Generator], Tensor]
    """Fills the weights of a layer that is followed by this activation."""


def _kaiming(leak: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    return lambda weight, rng: nn.init.kaiming_normal_(weight, a=leak, generator=rng)


def _xavier(gain: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    return lambda weight, rng: nn.init.xavier_uniform_(weight, gain=gain, generator=rng)


# He et al. 2015 for the rectifiers, smooth ones too; Glorot and Bengio 2010 for the others, whose gains undo the slope
# at 0 (sigmoid: 1/4) or are what experience says (tanh: 5/3).
ACTIVATIONS = {
    "relu": Activation(nn.ReLU, _kaiming(0.0)),
    "leaky_relu": Activation(lambda: nn.LeakyReLU(_LEAK), _kaiming(_LEAK)),
    "tanh": Activation(nn.Tanh, _xavier(5 / 3)),
    "sigmoid": Activation(nn.Sigmoid, _xavier(4.0)),
    "gelu": Activation(nn.GELU, _kaiming(0.0)),
    "silu": Activation(nn.SiLU, _kaiming(0.0)),
}


def initialise_layers(model: nn.Module, activation: str, rng: torch.Generator) -> None:
    """Fill all weights from `rng`: hidden layers to suit the activation, the last layer as a linear one, biases 0.

    Embeddings, where tokens come first, get numbers of unit size.
    """
    for embedding in model.modules():
        if isinstance(embedding, nn.Embedding):
            nn.init.normal_(embedding.weight, generator=rng)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers[:-1]:
        ACTIVATIONS[activation].initialise(layer.weight, rng)
    nn.init.xavier_uniform_(layers[-1].weight, generator=rng)
    for layer in layers:
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
