"""How the guide's numbers come from its trials: closed forms over runs made by hand."""

import math

import pytest

from benchmarks.guide.results import Run
from benchmarks.guide.statistics import (
    GUESSING,
    best_log_rate,
    best_so_far,
    difference,
    epochs_to,
    estimate,
    good_decades,
    score,
    slope,
    tuned,
)


def run(rate: float, loss: float, *, seed: int = 0, number: int = 0) -> Run:
    return Run(seed, number, {"learning_rate": rate}, "completed", losses=(loss,), accuracies=(0.9,))


def diverged(rate: float, *, seed: int = 0) -> Run:
    return Run(seed, 0, {"learning_rate": rate}, "diverged", losses=(5.0,))


def test_the_interval_of_a_mean_is_students() -> None:
    # t(0.975, 2 degrees of freedom) is 4.302653 in every table; the standard error of 1, 2, 3 is 1/√3.
    found = estimate([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)  # the table's own digits


def test_more_comparisons_widen_the_interval() -> None:
    # Bonferroni: two comparisons at 95 % together are one at 97.5 %; t(0.9875, 2) = 6.205347.
    assert estimate([1.0, 2.0, 3.0], n_comparisons=2).half == pytest.approx(6.205347 / math.sqrt(3), rel=1e-6)


def test_one_seed_is_never_clear() -> None:
    assert not estimate([1.0]).is_clear


def test_a_difference_is_paired_by_seed() -> None:
    found = difference({0: 1.1, 1: 5.1, 2: 9.1}, {0: 1.0, 1: 5.0, 2: 9.0})
    assert found.value == pytest.approx(0.1)
    assert found.half == pytest.approx(0.0, abs=1e-12)  # the seeds' own spread cancels but for rounding
    assert found.is_clear


def test_no_seed_chooses_the_rate_it_is_judged_by() -> None:
    # Seed 0 alone would like 0.1, where it is lucky; the other two like 0.01.
    runs = [run(0.01, 1.0, seed=seed) for seed in range(3)]
    runs += [run(0.1, 0.2, seed=0), run(0.1, 2.0, seed=1), run(0.1, 2.0, seed=2)]
    # Seeds 1 and 2 choose by {0, the other}: mean at 0.1 is 1.1, at 0.01 is 1.0.
    assert tuned(runs) == {0: 1.0, 1: 1.0, 2: 1.0}


def test_a_diverged_training_counts_as_guessing() -> None:
    assert score(diverged(1.0)) == GUESSING == math.log(10)


def test_the_best_rate_lies_at_the_vertex() -> None:
    # log loss is (log10 rate + 1.8)² at -3, -2, -1: a parabola through three of its points is itself.
    runs = [run(10.0**x, 0.1 * math.exp((x + 1.8) ** 2)) for x in (-3, -2, -1)]
    assert best_log_rate(runs)[0] == pytest.approx(-1.8, abs=1e-9)  # rounding only


def test_the_best_rate_of_a_scan_that_only_falls_is_its_end() -> None:
    assert best_log_rate([run(0.01, 2.0), run(0.1, 1.0)]) == {0: -1.0}


def test_the_good_region_is_interpolated() -> None:
    # |log loss| rises by ln 1.25 in half a decade on the left and in a quarter on the right.
    rise = 1.25**2
    runs = [run(1e-3, 0.1 * rise), run(1e-2, 0.1), run(1e-1, 0.1 * rise**2)]
    assert good_decades(runs) == pytest.approx(0.75, abs=1e-9)  # rounding only


def test_speed_is_the_first_epoch_at_an_accuracy() -> None:
    found = Run(0, 0, {"learning_rate": 0.1}, "completed", losses=(1, 1, 1), accuracies=(0.5, 0.91, 0.8))
    assert epochs_to(found, 0.9) == 2
    assert math.isinf(epochs_to(found, 0.95))


def test_a_search_is_as_good_as_its_best_trial_so_far() -> None:
    runs = [run(0.1, loss, number=number) for number, loss in enumerate((2.0, 1.0, 1.5))]
    assert best_so_far(reversed(runs)) == {0: [2.0, 1.0, 1.0]}


def test_the_slope_of_a_line_is_its_own() -> None:
    assert slope([1, 2, 4], [3, 5, 9]) == pytest.approx(2.0)
