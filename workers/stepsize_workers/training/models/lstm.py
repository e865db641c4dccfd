"""A recurrent net over tokens. Shapes: B batch, T tokens, V vocabulary, W width, C outputs."""

import torch
from torch import Tensor, nn

from stepsize_workers.training.models.mlp import mean_of_tokens
from stepsize_workers.training.models.sizes import Sizes


class Lstm(nn.Module):
    """Tokens (B, T) → (B, T, C) for every token, or (B, C) from the mean over them.

    Source: Hochreiter and Schmidhuber 1997.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self._each_token = sizes.each_token
        self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        between = sizes.dropout if sizes.depth > 1 else 0.0  # torch warns where there is no between
        self.layers = nn.LSTM(sizes.width, sizes.width, max(1, sizes.depth), batch_first=True, dropout=between)
        self.dropout = nn.Dropout(sizes.dropout)
        self.head = nn.Linear(sizes.width, sizes.n_out)

    def forward(self, tokens: Tensor) -> Tensor:
        x, _ = self.layers(self.tokens(tokens))
        if not self._each_token:
            x = mean_of_tokens(x, tokens)
        result: Tensor = self.head(self.dropout(x))
        return result


def lstm(sizes: Sizes) -> nn.Module:
    """Return `depth` layers, at least one, of `width` cells."""
    return Lstm(sizes)


def initialise(model: nn.Module, sizes: Sizes, rng: torch.Generator) -> None:
    """Orthogonal weights in time, Glorot's elsewhere, and cells that remember at first: forget gates open by 1."""
    for name, parameter in model.named_parameters():
        if name == "tokens.weight":
            nn.init.normal_(parameter, generator=rng)
        elif "weight_hh" in name:
            for gate in parameter.chunk(4):
                nn.init.orthogonal_(gate, generator=rng)
        elif parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter, generator=rng)
        else:
            nn.init.zeros_(parameter)
            if "bias_ih" in name:  # input, forget, cell and output gates, `width` each
                nn.init.ones_(parameter.chunk(4)[1])
