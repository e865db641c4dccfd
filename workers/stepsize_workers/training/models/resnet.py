"""Residual networks 18, 34 and 50, from one plan of blocks. Shapes: B batch, H × W image, C classes.

Source: He et al. 2015, "Deep residual learning for image recognition" (arXiv:1512.03385). A bottleneck's stride is in
its 3 × 3 convolution, as is usual now. The published networks are `width` 64 with the large stem.
"""

import torch
from torch import Tensor, nn

from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.sizes import Sizes

PLANS = {18: (False, (2, 2, 2, 2)), 34: (False, (3, 4, 6, 3)), 50: (True, (3, 4, 6, 3))}
"""For each number of layers: whether blocks are bottlenecks, and how many each stage has."""
_EXPANSION = 4
"""A bottleneck gives so many times the channels that it computes with."""


class Block(nn.Module):
    """Convolutions beside a shortcut: (B, n_in, H, W) → (B, n_out, H / stride, W / stride)."""

    def __init__(self, n_in: int, channels: int, *, stride: int, is_bottleneck: bool, activation: str) -> None:
        super().__init__()
        n_out = channels * (_EXPANSION if is_bottleneck else 1)
        act = ACTIVATIONS[activation].layer
        if is_bottleneck:
            layers = [
                *convolution(n_in, channels, 1),
                act(),
                *convolution(channels, channels, 3, stride),
                act(),
                *convolution(channels, n_out, 1),
            ]
        else:
            layers = [*convolution(n_in, channels, 3, stride), act(), *convolution(channels, n_out, 3)]
        self.branch = nn.Sequential(*layers)
        is_same = stride == 1 and n_in == n_out
        self.shortcut = nn.Identity() if is_same else nn.Sequential(*convolution(n_in, n_out, 1, stride))
        self.activation = act()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(self.branch(x) + self.shortcut(x))
        return result


def resnet(sizes: Sizes, n_layers: int) -> nn.Sequential:
    """Return the network of a plan, its first stage `width` channels wide: (B, channels, H, W) → (B, C)."""
    is_bottleneck, counts = PLANS[n_layers]
    act = ACTIVATIONS[sizes.activation].layer
    n_in = sizes.width
    if sizes.large_stem:
        stem = [*convolution(sizes.in_shape[0], n_in, 7, 2), act(), nn.MaxPool2d(3, stride=2, padding=1)]
    else:
        stem = [*convolution(sizes.in_shape[0], n_in, 3), act()]
    stages: list[nn.Module] = []
    for stage, count in enumerate(counts):
        channels = sizes.width * 2**stage
        blocks: list[nn.Module] = []
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            block = Block(n_in, channels, stride=stride, is_bottleneck=is_bottleneck, activation=sizes.activation)
            n_in = channels * (_EXPANSION if is_bottleneck else 1)
            blocks.append(block)
        stages.append(nn.Sequential(*blocks))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(sizes.dropout), nn.Linear(n_in, sizes.n_out)]
    return nn.Sequential(nn.Sequential(*stem), *stages, *head)


def initialise(model: nn.Module, sizes: Sizes, rng: torch.Generator) -> None:
    """He's weights; every block begins as its shortcut (Goyal et al. 2017, arXiv:1706.02677)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=rng)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=rng)
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, Block):
            last = module.branch[-1]
            assert isinstance(last, nn.BatchNorm2d)
            nn.init.zeros_(last.weight)


def convolution(n_in: int, n_out: int, size: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and its normalisation, whose shift stands in for a bias."""
    return [nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(n_out)]
