"""An autoencoder of rows. Shapes: B batch, F features."""

from itertools import pairwise

from torch import nn

from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.sizes import Sizes


def autoencoder(sizes: Sizes) -> nn.Sequential:
    """Return `depth` hidden layers of `width` units on either side of `bottleneck` linear ones: (B, F) → (B, F)."""
    (n_features,) = sizes.in_shape
    widths = [n_features, *[sizes.width] * sizes.depth, sizes.bottleneck]
    layers: list[nn.Module] = []
    for half in (widths, widths[::-1]):
        for n_in, n_out in pairwise(half):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[sizes.activation].layer()]
            if sizes.dropout:
                layers.append(nn.Dropout(sizes.dropout))
        # The code and the last layer are linear: nothing follows them.
        del layers[-2 if sizes.dropout else -1 :]
    return nn.Sequential(*layers)
