"""Boxes: what a grid of cells says of them, and how well they are found. Shapes: B scenes, G × G cells, C classes.

Boxes are (left, top, right, bottom), in pixels. P predictions and O places of a scene; a place may be empty.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from stepsize_workers.training.models.detector import STRIDE
from stepsize_workers.training.scenes import Scenes

OVERLAP = 0.5
"""From this intersection over union on, two boxes mean the same thing."""


@dataclass(frozen=True)
class Found:
    """What a detector found in B scenes: as many as there are cells each, the surest first."""

    boxes: Tensor
    """(B, P, 4)"""
    labels: Tensor
    """(B, P)"""
    scores: Tensor
    """(B, P): how sure it is, from 0 to 1; 0 for what a surer one stands for too."""


def intersection_over_union(one: Tensor, other: Tensor) -> Tensor:
    """Return how far boxes (…, 4) and (…, 4) cover each other: from 0 to 1."""
    shared, both, _ = _areas(one, other)
    return shared / both.clamp(min=1e-9)


def _areas(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the areas of what two boxes share, of what they cover together, and of the box around both."""
    size = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    around = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    shared = size.prod(-1)
    both = (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - shared
    return shared, both, around.prod(-1)


def decode_boxes(outputs: Tensor) -> Tensor:
    """Return the boxes of all cells of (B, 5 + C, G, G): (B, G, G, 4). A cell's box has its centre in the cell."""
    n = outputs.shape[2]
    cell = torch.arange(n, device=outputs.device)
    x = (cell.view(1, 1, n) + outputs[:, 1].sigmoid()) * STRIDE
    y = (cell.view(1, n, 1) + outputs[:, 2].sigmoid()) * STRIDE
    half_width, half_height = (outputs[:, channel].sigmoid() * n * STRIDE / 2 for channel in (3, 4))
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], 3)


def detection_loss(outputs: Tensor, scenes: Scenes) -> Tensor:
    """Return the mean loss of an object: whether cells know of it, where it is (1 − generalised IoU), what it is.

    The cell in which its box has its centre is to know of it.

    Args:
        outputs: (B, 5 + C, G, G).

    Source: Redmon et al. 2016 (arXiv:1506.02640) for cells; Rezatofighi et al. 2019 (arXiv:1902.09630) for boxes.
    """
    scene, boxes, labels = _objects(scenes)
    column, row = _cells(boxes, outputs.shape[2])
    wanted = torch.zeros_like(outputs[:, 0])
    wanted[scene, row, column] = 1
    known = binary_cross_entropy_with_logits(outputs[:, 0], wanted, reduction="sum") / len(boxes)
    shared, both, around = _areas(decode_boxes(outputs)[scene, row, column], boxes)
    placed = 1 - (shared / both - (around - both) / around).mean()
    return known + placed + cross_entropy(outputs[scene, 5:, row, column], labels)


def _objects(scenes: Scenes) -> tuple[Tensor, Tensor, Tensor]:
    """Return what there is: scenes (N,), boxes (N, 4) and labels (N,) of N objects."""
    scene, place = scenes.is_there.nonzero(as_tuple=True)
    return scene, scenes.boxes[scene, place], scenes.labels[scene, place]


def _cells(boxes: Tensor, n_cells: int) -> tuple[Tensor, Tensor]:
    """Return the columns (N,) and rows (N,) of the cells in which boxes (N, 4) have their centres."""
    column, row = ((boxes[:, :2] + boxes[:, 2:]) / 2 / STRIDE).long().clamp(0, n_cells - 1).unbind(1)
    return column, row


def the_usual(scenes: Scenes, n_classes: int) -> Found:
    """Return what one finds in scenes without looking: for each cell its objects' mean box and most frequent class."""
    n_cells = scenes.images.shape[-1] // STRIDE
    _, boxes, labels = _objects(scenes)
    column, row = _cells(boxes, n_cells)
    cell = row * n_cells + column
    frequencies = torch.zeros(n_cells**2, n_classes, device=boxes.device)
    frequencies.index_put_((cell, labels), torch.ones_like(boxes[:, 0]), accumulate=True)
    n_objects = frequencies.sum(1)  # (cells,)
    sums = torch.zeros(n_cells**2, 4, device=boxes.device).index_add_(0, cell, boxes)
    one_scene = (sums / n_objects.clamp(min=1).unsqueeze(1), frequencies.argmax(1), n_objects / len(scenes))
    order = n_objects.argsort(descending=True, stable=True)
    return Found(*(each[order].expand(len(scenes), *each.shape) for each in one_scene))


def find(outputs: Tensor) -> Found:
    """Return what outputs (B, 5 + C, G, G) find, each thing once: of boxes that overlap, the surest stays."""
    chances, labels = outputs[:, 5:].softmax(1).flatten(2).max(1)  # (B, cells)
    scores, order = (outputs[:, 0].flatten(1).sigmoid() * chances).sort(dim=1, descending=True, stable=True)
    labels = labels.gather(1, order)
    boxes = decode_boxes(outputs).flatten(1, 2).gather(1, order.unsqueeze(2).expand(-1, -1, 4))
    is_same = (intersection_over_union(boxes.unsqueeze(2), boxes.unsqueeze(1)) >= OVERLAP) & (
        labels.unsqueeze(2) == labels.unsqueeze(1)
    )  # (B, P, P)
    stays = torch.ones_like(scores, dtype=torch.bool)
    for rank in range(1, scores.shape[1]):
        stays[:, rank] = ~(stays[:, :rank] & is_same[:, rank, :rank]).any(1)
    return Found(boxes, labels, scores * stays)


def match(found: Found, scenes: Scenes) -> Tensor:
    """Return which predictions are right, (B, P): the surest first, each takes the place it covers best, if still free.

    Right is what has the place's class and covers it by half at least.
    """
    overlap = intersection_over_union(found.boxes.unsqueeze(2), scenes.boxes.unsqueeze(1))  # (B, P, O)
    fits = (found.labels.unsqueeze(2) == scenes.labels.unsqueeze(1)) & (overlap >= OVERLAP)
    fits &= (found.scores > 0).unsqueeze(2)
    is_free = scenes.is_there.clone()
    is_right = torch.zeros_like(found.scores, dtype=torch.bool)
    for rank in range(found.scores.shape[1]):
        best, place = (overlap[:, rank] * (fits[:, rank] & is_free)).max(1, keepdim=True)  # (B, 1)
        is_right[:, rank] = best[:, 0] > 0
        is_free = is_free.scatter(1, place, is_free.gather(1, place) & (best == 0))
    return is_right


def mean_average_precision(found: Found, scenes: Scenes, n_classes: int) -> Tensor:
    """Return the mean, over the classes there are, of the area under precision against recall, from 0 to 1.

    Precision is made to fall only, as in the PASCAL VOC challenge since 2010.
    """
    is_right = match(found, scenes).flatten()
    labels, scores = found.labels.flatten(), found.scores.flatten()
    total = torch.zeros((), dtype=torch.float64, device=scores.device)
    counts = torch.bincount(scenes.labels[scenes.is_there], minlength=n_classes)
    for label in range(n_classes):
        order = (scores * (labels == label)).argsort(descending=True, stable=True)
        right = (is_right & (labels == label))[order].double()
        said = ((labels == label) & (scores > 0))[order].double()
        precision = right.cumsum(0) / said.cumsum(0).clamp(min=1)
        best_from_here = precision.flip(0).cummax(0).values.flip(0)
        total = total + (right * best_from_here).sum() / counts[label].clamp(min=1)
    return total / (counts > 0).sum()
