"""A one-stage detector: each cell says what it sees. Shapes: B batch, H × W scene, G = H / 8, C classes."""

import torch
from torch import Tensor, nn

from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.resnet import convolution
from stepsize_workers.training.models.sizes import Sizes

STRIDE = 8
"""Pixels of a cell's side: the scene is halved three times."""
_BOX = 5
"""Numbers of a cell before the classes': whether something is there, its centre in the cell, its width and height."""
_RARE = -3.0
"""Bias of "something is there" before training: most cells see nothing (Lin et al. 2017, arXiv:1708.02002)."""


def detector(sizes: Sizes) -> nn.Sequential:
    """Return convolutions of `width`, twice and four times the channels, each halving the scene, then `depth` more.

    (B, channels, H, W) → (B, 5 + C, G, G): logits that something is there, of its centre (x, y in shares of the cell),
    of its width and height (in shares of the scene), and of its class.
    """
    act = ACTIVATIONS[sizes.activation].layer
    n_in = sizes.in_shape[0]
    layers: list[nn.Module] = []
    for channels in (sizes.width, 2 * sizes.width, 4 * sizes.width):
        layers += [*convolution(n_in, channels, 3, stride=2), act()]
        n_in = channels
    for _ in range(sizes.depth):
        layers += [*convolution(n_in, n_in, 3), act()]
    return nn.Sequential(nn.Sequential(*layers), nn.Dropout2d(sizes.dropout), nn.Conv2d(n_in, _BOX + sizes.n_out, 1))


def initialise(model: nn.Module, sizes: Sizes, rng: torch.Generator) -> None:
    """He's weights for the body; the head begins in doubt that there is anything."""
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    for layer in convolutions:
        ACTIVATIONS[sizes.activation].initialise(layer.weight, rng)
    head = convolutions[-1]
    nn.init.normal_(head.weight, std=0.01, generator=rng)
    bias: Tensor = head.get_parameter("bias")
    nn.init.zeros_(bias)
    with torch.no_grad():
        bias[0] = _RARE
