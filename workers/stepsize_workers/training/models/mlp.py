"""A multilayer perceptron. Shapes: B batch, F features, W width, C classes."""

import math

from torch import nn

from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.sizes import Sizes


def mlp(sizes: Sizes) -> nn.Sequential:
    """Return `depth` hidden layers of `width` units: (B, *in_shape) → (B, C) logits."""
    layers: list[nn.Module] = [nn.Flatten()]
    n_in = math.prod(sizes.in_shape)
    for _ in range(sizes.depth):
        layers += [nn.Linear(n_in, sizes.width), ACTIVATIONS[sizes.activation].layer()]
        if sizes.dropout:
            layers.append(nn.Dropout(sizes.dropout))
        n_in = sizes.width
    return nn.Sequential(*layers, nn.Linear(n_in, sizes.n_classes))
