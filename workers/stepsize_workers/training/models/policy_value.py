"""A net that looks at a board. Shapes: B batch, P planes of H × W places, W' width, A moves."""

import torch
from torch import Tensor, nn

from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.resnet import Block, convolution
from stepsize_workers.training.models.resnet import initialise as initialise_blocks
from stepsize_workers.training.models.sizes import Sizes


class PolicyValueNet(nn.Module):
    """Which move, and who stands how: (B, P, H, W) → logits of the moves (B, A), values (B,) from −1 to 1.

    `depth` residual blocks of `width` channels, and two heads.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        planes, height, width = sizes.in_shape
        act, channels = ACTIVATIONS[sizes.activation].layer, sizes.width
        blocks = [
            Block(channels, channels, stride=1, is_bottleneck=False, activation=sizes.activation)
            for _ in range(sizes.depth)
        ]
        self.body = nn.Sequential(
            *convolution(planes, channels, 3), act(), *blocks, nn.Flatten(), nn.Dropout(sizes.dropout)
        )
        n_last = channels * height * width
        self.heads = nn.ModuleDict({"policy": nn.Linear(n_last, sizes.n_out), "value": nn.Linear(n_last, 1)})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        return self.heads["policy"](x), self.heads["value"](x).squeeze(1).tanh()


def initialise(model: nn.Module, sizes: Sizes, rng: torch.Generator) -> None:
    """Fill the weights as a residual net's; the heads begin undecided."""
    assert isinstance(model, PolicyValueNet)
    initialise_blocks(model, sizes, rng)
    with torch.no_grad():
        for head in model.heads.values():
            head.get_parameter("weight").mul_(0.1)
