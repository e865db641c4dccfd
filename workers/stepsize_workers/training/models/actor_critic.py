"""An actor and a critic, two nets that share nothing. Shapes: B batch, F features of an observation, A actions."""

import math

import torch
from torch import Tensor, nn

from stepsize_workers.training.models.activations import ACTIVATIONS, initialise_layers
from stepsize_workers.training.models.sizes import Sizes

_TIMID = 0.01
"""Scale of the actor's last weights: before it has learned anything, all actions are about as likely."""


class ActorCritic(nn.Module):
    """What to do, and what is to be expected: (B, F) → logits of the actions (B, A), values (B,).

    Apart, because the values' errors are large at first and would drag shared layers with them.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        n_last = sizes.width if sizes.depth else math.prod(sizes.in_shape)
        self.bodies = nn.ModuleDict({"actor": _hidden_layers(sizes), "critic": _hidden_layers(sizes)})
        self.heads = nn.ModuleDict({"actor": nn.Linear(n_last, sizes.n_out), "critic": nn.Linear(n_last, 1)})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(x), self.values(x)

    def logits(self, x: Tensor) -> Tensor:
        """Return the actor's part alone: (B, F) → (B, A)."""
        result: Tensor = self.heads["actor"](self.bodies["actor"](x))
        return result

    def values(self, x: Tensor) -> Tensor:
        """Return the critic's part alone: (B, F) → (B,)."""
        result: Tensor = self.heads["critic"](self.bodies["critic"](x)).squeeze(1)
        return result


def _hidden_layers(sizes: Sizes) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    n_in = math.prod(sizes.in_shape)
    for _ in range(sizes.depth):
        layers += [nn.Linear(n_in, sizes.width), ACTIVATIONS[sizes.activation].layer()]
        if sizes.dropout:
            layers.append(nn.Dropout(sizes.dropout))
        n_in = sizes.width
    return nn.Sequential(*layers)


def initialise(model: nn.Module, sizes: Sizes, rng: torch.Generator) -> None:
    """Fill the weights to suit the activation; the actor begins undecided."""
    assert isinstance(model, ActorCritic)
    for name in ("actor", "critic"):
        initialise_layers(nn.Sequential(model.bodies[name], model.heads[name]), sizes.activation, rng)
    with torch.no_grad():
        model.heads["actor"].get_parameter("weight").mul_(_TIMID)
