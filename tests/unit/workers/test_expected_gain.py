"""What a further trial is expected to gain: on valleys whose noise and whose floor are known."""

import numpy as np
import pytest

from stepsize_workers.expected_gain import expected_gain

NOISE = 0.1


def valley(n: int, *, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return n uniform points of a unit square, and (4 (x − 0.5))² + noise there; the second edge does nothing."""
    draw = np.random.default_rng(seed)
    points = draw.random((n, 2))
    return points, (4 * (points[:, 0] - 0.5)) ** 2 + noise * draw.standard_normal(n)


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_told_from_what_follows_from_the_parameters(seed: int) -> None:
    # 60 values say a standard deviation to about 10 %; a factor of 2 leaves room for what the smooth fit takes of it.
    assert NOISE / 2 < expected_gain(*valley(60, seed=seed, noise=NOISE)).noise < NOISE * 2


def test_there_is_less_to_gain_the_more_has_been_tried() -> None:
    few, many = (expected_gain(*valley(n, seed=0, noise=NOISE)).gain for n in (8, 80))
    assert many < few
    assert many < NOISE


def test_an_unexplored_half_promises_a_gain() -> None:
    points, values = valley(60, seed=0, noise=0.0)
    left = points[:, 0] < 0.35  # the floor lies at 0.5
    assert expected_gain(points[left], values[left]).gain > 0.05
    assert expected_gain(points, values).gain < 0.02


def test_where_nothing_makes_a_difference_there_is_nothing_to_gain() -> None:
    points, _ = valley(20, seed=0, noise=0.0)
    assert expected_gain(points, np.ones(20)).gain == 0.0
