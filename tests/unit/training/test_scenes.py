"""Scenes: boxes are around what is drawn, and chance is the generator's."""

import torch
from torch import Tensor

from stepsize_workers.training.scenes import N_PLACES, Scenes, compose, ink_boxes


def make_images() -> Tensor:
    """Return two images (2, 1, 10, 20): a bar at the left, a square in the middle."""
    images = torch.zeros(2, 1, 10, 20)
    images[0, :, :, 2:6] = 1
    images[1, :, 4:6, 9:11] = 1
    return images


def make_scenes(seed: int = 0) -> Scenes:
    rng = torch.Generator().manual_seed(seed)
    return compose(make_images(), torch.tensor([3, 7]), 200, size=48, rng=rng)


def test_boxes_are_around_the_ink() -> None:
    boxes = ink_boxes(torch.cat([make_images(), torch.zeros(1, 1, 10, 20)]))
    assert torch.allclose(boxes, torch.tensor([[0.1, 0, 0.3, 1], [0.45, 0.4, 0.55, 0.6], [0, 0, 1, 1]]))


def test_what_is_drawn_lies_in_the_boxes() -> None:
    scenes = make_scenes()
    assert set(scenes.is_there.sum(1).tolist()) == set(range(1, N_PLACES + 1))
    pixel = torch.arange(48) + 0.5
    inside = torch.zeros(200, 48, 48, dtype=torch.bool)
    for place in range(N_PLACES):
        left, top, right, bottom = (edge.view(-1, 1, 1) for edge in scenes.boxes[:, place].unbind(1))
        x, y = pixel.view(1, 1, -1), pixel.view(1, -1, 1)
        # Interpolation blurs an edge by a pixel of the image: up to 24/20 of the scene's.
        within = (x > left - 1.5) & (x < right + 1.5) & (y > top - 2.5) & (y < bottom + 2.5)
        inside |= within & scenes.is_there[:, place].view(-1, 1, 1)
    is_drawn = scenes.images[:, 0] > 0.25
    assert not (is_drawn & ~inside).any()
    assert is_drawn.flatten(1).any(1).all()
    assert (scenes.boxes > -1e-3).all()  # rounding
    assert (scenes.boxes < 48 + 1e-3).all()


def test_labels_are_of_what_is_drawn() -> None:
    scenes = make_scenes()
    width, height = (scenes.boxes[..., 2:] - scenes.boxes[..., :2]).unbind(2)
    assert torch.equal(scenes.labels == 3, height > 3 * width)


def test_the_same_seed_gives_the_same_scenes() -> None:
    assert torch.equal(make_scenes(1).images, make_scenes(1).images)
    assert not torch.equal(make_scenes(1).images, make_scenes(2).images)
