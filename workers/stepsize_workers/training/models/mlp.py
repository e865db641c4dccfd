"""A multilayer perceptron. Shapes: B batch, T tokens, F features, W width, C outputs."""

import math

import torch
from torch import Tensor, nn

from stepsize_workers.training.models.activations import ACTIVATIONS, initialise_layers
from stepsize_workers.training.models.sizes import Sizes


class BagOfTokens(nn.Module):
    """The mean of the tokens' embeddings, whatever their order: (B, T) → (B, W)."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return mean_of_tokens(self.embedding(tokens), tokens)


def mean_of_tokens(x: Tensor, tokens: Tensor) -> Tensor:
    """Return the mean of (B, T, W) over the tokens (B, T) that mean something: (B, W)."""
    counts = (tokens != 0).unsqueeze(2).to(x.dtype)
    return (x * counts).sum(1) / counts.sum(1).clamp(min=1)


def mlp(sizes: Sizes) -> nn.Sequential:
    """Return `depth` hidden layers of `width` units: (B, *in_shape) → (B, C); tokens are averaged first."""
    layers: list[nn.Module]
    if sizes.vocabulary:
        layers, n_in = [BagOfTokens(sizes.vocabulary, sizes.width)], sizes.width
    else:
        layers, n_in = [nn.Flatten()], math.prod(sizes.in_shape)
    for _ in range(sizes.depth):
        layers += [nn.Linear(n_in, sizes.width), ACTIVATIONS[sizes.activation].layer()]
        if sizes.dropout:
            layers.append(nn.Dropout(sizes.dropout))
        n_in = sizes.width
    return nn.Sequential(*layers, nn.Linear(n_in, sizes.n_out))


def initialise(model: nn.Module, sizes: Sizes, rng: torch.Generator) -> None:
    """Fill the weights to suit the activation; cnn and autoencoder do the same."""
    initialise_layers(model, sizes.activation, rng)
