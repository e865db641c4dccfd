"""How many trials are trained as one, given what was measured."""

import pytest

from stepsize_workers.venues.choosing import choose_size

GROWING = (100.0, 150.0, 240.0, 400.0)


@pytest.mark.parametrize(
    ("rates", "most", "size"),
    [
        (GROWING, 100, 8),
        (GROWING, 8, 8),
        (GROWING, 4, 4),
        (GROWING, 6, 6),  # halfway between 240 and 400
        (GROWING, 1, 1),
        ((100.0, 80.0, 160.0, 165.0), 8, 4),  # 8 are faster by 3 % only
        ((100.0, 80.0, 160.0), 2, 1),  # of two alone none would be faster
        ((100.0, 110.0, 112.0), 8, 1),
        ((100.0, 90.0), 8, 1),
        ((100.0,), 8, 1),
        ((), 8, 1),
    ],
)
def test_the_fewest_that_are_nearly_the_fastest(rates: tuple[float, ...], most: int, size: int) -> None:
    assert choose_size(rates, most).size == size


def test_it_says_what_was_measured_and_why_that_follows() -> None:
    assert choose_size((1731.2, 2010.0, 3.25), 8).why == (
        "measured: 1 trial makes 1,731 updates a second, 2 together 2,010, 4 together 3.25; so up to 2 train as one"
    )
    assert choose_size((50.0,), 8).why.endswith("two together were not tried, for want of time or memory")
    assert choose_size((50.0, 51.0), 8).why.endswith("up to 8 would have to be 1.15 times as fast")
    assert "can't say" in choose_size((), 8).why
