"""Boxes: how far they cover each other, what a grid says, and how well things are found."""

import pytest
import torch
from torch import Tensor

from stepsize_workers.training.boxes import (
    Found,
    decode_boxes,
    detection_loss,
    find,
    intersection_over_union,
    match,
    mean_average_precision,
)
from stepsize_workers.training.models.detector import STRIDE
from stepsize_workers.training.scenes import Scenes

N_CLASSES, GRID = 3, 4
SIDE = GRID * STRIDE


def make_scenes(*things: tuple[tuple[float, float, float, float], int]) -> Scenes:
    """Return one scene with things: boxes and labels; one more place stays empty, with another's box."""
    boxes = torch.tensor([[box for box, _ in things] + [things[0][0]]])
    labels = torch.tensor([[label for _, label in things] + [things[0][1]]])
    is_there = torch.tensor([[True] * len(things) + [False]])
    return Scenes(torch.zeros(1, 1, SIDE, SIDE), boxes, labels, is_there)


def make_found(*things: tuple[tuple[float, float, float, float], int, float]) -> Found:
    boxes, labels, scores = zip(*things, strict=True)
    return Found(torch.tensor([boxes]), torch.tensor([labels]), torch.tensor([scores]))


def know(scenes: Scenes, sure: float = 30.0) -> Tensor:
    """Return the outputs of a detector that knows a scene."""
    outputs = torch.zeros(1, 5 + N_CLASSES, GRID, GRID)
    outputs[:, 0] = -sure
    for box, label, is_there in zip(scenes.boxes[0], scenes.labels[0], scenes.is_there[0], strict=True):
        if is_there:
            centre, size = (box[:2] + box[2:]) / 2 / STRIDE, (box[2:] - box[:2]) / SIDE
            column, row = centre.long().tolist()
            numbers = torch.cat([centre % 1, size]).logit()
            outputs[0, :5, row, column] = torch.cat([torch.tensor([sure]), numbers])
            outputs[0, 5 + int(label), row, column] = sure
    return outputs


A, B = (2.0, 3.0, 12.0, 15.0), (17.0, 16.0, 30.0, 29.0)


def test_boxes_cover_each_other() -> None:
    one, other = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    assert intersection_over_union(one, other).tolist() == pytest.approx([2 / 6, 0])


def test_who_knows_a_scene_has_no_loss_and_finds_all_of_it() -> None:
    scenes = make_scenes((A, 0), (B, 2))
    outputs = know(scenes)
    assert detection_loss(outputs, scenes).item() == pytest.approx(0, abs=1e-5)
    assert decode_boxes(outputs)[0, 1, 0].tolist() == pytest.approx(A, abs=1e-3)
    found = find(outputs)
    assert sorted(found.labels[0, :2].tolist()) == [0, 2]
    assert (found.scores[0] > 0.5).tolist() == [True, True] + [False] * (GRID * GRID - 2)
    assert mean_average_precision(found, scenes, N_CLASSES).item() == pytest.approx(1)


def test_each_part_of_the_loss_counts() -> None:
    scenes = make_scenes((A, 0))
    for channel in range(5 + N_CLASSES):
        worse = know(scenes, sure=3.0)
        worse[0, channel, 1, 0] += -2 if channel in (0, 5) else 2
        assert detection_loss(worse, scenes) > detection_loss(know(scenes, sure=3.0), scenes) + 0.01, channel


def test_a_thing_found_twice_counts_once() -> None:
    shifted = (2.5, 3.0, 12.5, 15.0)
    found = make_found((A, 0, 0.9), (shifted, 0, 0.8), (shifted, 1, 0.7))
    assert match(found, make_scenes((A, 0))).tolist() == [[True, False, False]]
    outputs = know(make_scenes((A, 0)))
    # The cell to the right sees the same, and is less sure.
    outputs[0, :, 1, 1] = outputs[0, :, 1, 0]
    outputs[0, :2, 1, 1] = torch.tensor([1.0, -30.0])
    assert int((find(outputs).scores > 0.1).sum()) == 1


def test_precision_is_what_it_is_defined_to_be() -> None:
    # Of class 0 there are two: found first, then one that is none, then the other: 1/2 · 1 + 1/2 · 2/3.
    wrong = (20.0, 1.0, 28.0, 9.0)
    found = make_found((A, 0, 0.9), (wrong, 0, 0.8), (B, 0, 0.7))
    assert mean_average_precision(found, make_scenes((A, 0), (B, 0)), N_CLASSES).item() == pytest.approx(5 / 6)
    # A class that is there and never found counts as 0; one that isn't there doesn't count.
    assert mean_average_precision(found, make_scenes((A, 0), (B, 2)), N_CLASSES).item() == pytest.approx(1 / 2)
