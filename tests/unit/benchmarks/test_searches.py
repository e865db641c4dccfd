"""What a search tried is judged by the truth, not by what its trials happened to get."""

import math

from benchmarks.playing import Played
from benchmarks.searches import judge
from benchmarks.truth.tasks import find_task
from benchmarks.truth.valleys import Landscape, read_landscapes


def a_landscape() -> Landscape:
    return next(one for one in read_landscapes(find_task("digits-plain-adam")) if one.is_loss)


def trials(landscape: Landscape, decades_off: float) -> list[Played]:
    """Fifty at the best batch size, this far below its best rate, with luck that no mean has."""
    best = landscape.best
    params = {"learning_rate": 10 ** (best.best - decades_off), "batch_size": best.batch_size}
    return [Played(number, dict(params), 1e-9) for number in range(50)]


def test_lucky_values_count_for_nothing() -> None:
    landscape = a_landscape()
    at_the_best, far_off = (judge(landscape, trials(landscape, off)) for off in (0.0, 2.0))
    assert (at_the_best.near, at_the_best.late, at_the_best.found_50, at_the_best.diverged) == (1.0, 0.0, 0.0, 0.0)
    assert far_off.near == 0.0
    assert far_off.late > math.log(1.3)


def test_trials_that_diverged_count_as_ten_times_the_best() -> None:
    landscape = a_landscape()
    lost = [Played(one.number, {**one.params, "learning_rate": 1e3}, None) for one in trials(landscape, 0.0)]
    assert judge(landscape, lost).diverged == 1.0
    assert judge(landscape, lost).late <= math.log(10.0)
