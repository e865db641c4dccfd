"""Random numbers follow from the seed."""

import random

import numpy as np
import torch

from stepsize_workers.training.seeding import generator, seed_global_generators


def draw() -> tuple[float, float, float]:
    return torch.rand(1).item(), float(np.random.rand()), random.random()


def test_global_generators_repeat_for_the_same_labels_and_differ_for_others() -> None:
    seed_global_generators(7, "epoch", 1)
    first = draw()
    seed_global_generators(7, "epoch", 2)
    second = draw()
    seed_global_generators(7, "epoch", 1)
    assert draw() == first
    assert not set(first) & set(second)


def test_a_generator_leaves_the_global_ones_alone() -> None:
    seed_global_generators(7)
    expected = draw()
    seed_global_generators(7)
    torch.rand(3, generator=generator(7, "order", 1))
    assert draw() == expected
