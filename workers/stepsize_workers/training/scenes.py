"""Scenes: some images each, at places and sizes that chance chose. Shapes: N images, S scenes, O places, H × W scene.

A scene has four places, one in each quarter, and one to four of them are taken. Boxes are around what is drawn, not
around the image it came in, as (left, top, right, bottom) in pixels of the scene.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

N_PLACES = 4
_SMALLEST, _LARGEST = 0.3, 0.5
"""Side of an image in a scene, as a share of the scene's."""
_INK = 0.25
"""What is brighter than this counts as drawn."""


@dataclass(frozen=True)
class Scenes:
    """What is seen, and what there is to be found."""

    images: Tensor
    """float32 (S, channels, H, W), pixels in [0, 1]"""
    boxes: Tensor
    """float32 (S, O, 4)"""
    labels: Tensor
    """int64 (S, O)"""
    is_there: Tensor
    """bool (S, O): whether the place is taken; boxes and labels of the others mean nothing."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor | slice) -> "Scenes":
        return Scenes(self.images[rows], self.boxes[rows], self.labels[rows], self.is_there[rows])


def compose(images: Tensor, labels: Tensor, n_scenes: int, *, size: int, rng: torch.Generator) -> Scenes:
    """Return scenes of size × size, composed of images (N, channels, h, w) with pixels in [0, 1] and labels (N,).

    Args:
        rng: on the CPU; the same numbers give the same scenes on every device.
    """
    device, shape = images.device, (n_scenes, N_PLACES)
    chosen = torch.randint(len(images), shape, generator=rng).to(device)
    side = (_SMALLEST + (_LARGEST - _SMALLEST) * torch.rand(shape, generator=rng)) * size  # (S, O)
    quarter = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]) * size  # (O, 2): x, y
    centre = quarter + (torch.rand((*shape, 2), generator=rng) - 0.5) * size / 4  # (S, O, 2)
    half = side.unsqueeze(2) / 2
    centre = torch.minimum(torch.maximum(centre, half), size - half)
    n_taken = torch.randint(1, N_PLACES + 1, (n_scenes, 1), generator=rng)
    is_there = torch.rand(shape, generator=rng).argsort(1).argsort(1) < n_taken  # so many, anywhere
    side, centre, is_there = side.to(device), centre.to(device), is_there.to(device)
    canvas = torch.zeros((n_scenes, images.shape[1], size, size), device=device)
    for place in range(N_PLACES):
        drawn = _draw(images[chosen[:, place]], centre[:, place], side[:, place], size)
        canvas = torch.maximum(canvas, drawn * is_there[:, place].view(-1, 1, 1, 1))
    boxes = ink_boxes(images)[chosen]  # (S, O, 4), shares of the image
    corner = centre - side.unsqueeze(2) / 2
    return Scenes(canvas, corner.repeat(1, 1, 2) + boxes * side.unsqueeze(2), labels[chosen], is_there)


def ink_boxes(images: Tensor) -> Tensor:
    """Return the box around what is drawn in images (N, channels, h, w): (N, 4), in shares of its width and height."""
    is_drawn = images.amax(1) > _INK
    edges = []
    for axis in (1, 2):  # over rows: which columns; over columns: which rows
        has_ink = is_drawn.any(axis).float()
        n = has_ink.shape[1]
        is_empty = has_ink.amax(1) == 0
        low = torch.where(is_empty, 0, has_ink.argmax(1)) / n
        high = torch.where(is_empty, n, n - has_ink.flip(1).argmax(1)) / n
        edges.append((low, high))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], 1)


def _draw(images: Tensor, centre: Tensor, side: Tensor, size: int) -> Tensor:
    """Return images (S, channels, h, w) with their centres (S, 2) and sides (S,) in scenes: (S, channels, H, W)."""
    pixel = torch.arange(size, device=images.device) + 0.5
    # −1 and 1 are the image's edges.
    x, y = (2 * (pixel - centre[:, axis : axis + 1]) / side.unsqueeze(1) for axis in (0, 1))  # (S, size)
    grid = torch.stack([x.unsqueeze(1).expand(-1, size, -1), y.unsqueeze(2).expand(-1, -1, size)], 3)
    return grid_sample(images, grid, align_corners=False)
