"""The arithmetic behind the honesty benchmark, on valleys whose answer is known, and what is kept of real ones."""

import math
from functools import partial

import numpy as np
import pytest

from benchmarks.honesty.figures import mean, measure
from benchmarks.truth.data import CellData, read_cells
from benchmarks.truth.judging import diverged_in, untrained_losses
from benchmarks.truth.tasks import N_SEEDS, TASKS, Role, TruthTask
from benchmarks.truth.valleys import Valley, make_valley

TASK = TruthTask("made-up", "image_classifier", {}, (32,))
BEST, FLOOR, EDGE = -2.13, 0.2, -0.5


def valley(noise: float = 0.2, metric: str = "val_loss", seed: int = 0, width: float = 0.7) -> Valley:
    """Return a valley that rises by a factor e `width` decades from its bottom; trainings beyond the edge diverge."""
    rng = np.random.default_rng(seed)
    decades = np.log10(TASK.rates)
    means = FLOOR * np.exp(((decades - BEST) / width) ** 2)
    costs = means[:, None] * (1 + noise * rng.normal(size=(len(decades), N_SEEDS)))
    diverged = np.where(decades > EDGE, 1, 0)[:, None] + np.zeros(costs.shape, dtype=np.int16)
    values = (costs if metric == "val_loss" else 1 - costs).astype(np.float32)
    cell = CellData({metric: values}, diverged.astype(np.int16), np.zeros_like(values))
    return make_valley(TASK, 32, metric, cell)


def test_the_best_rate_is_found_between_those_tried() -> None:
    exact = valley(noise=0.0)
    assert abs(exact.best - BEST) < 0.02
    # Half of the resolution of a 2 % error in a valley this narrow.
    assert abs(math.log(exact.best_cost / FLOOR)) < 0.02
    assert exact.is_dense


def test_more_noise_makes_the_truth_less_certain() -> None:
    quiet, loud = valley(noise=0.05), valley(noise=0.6)
    assert quiet.error < loud.error
    assert quiet.best_error < loud.best_error
    assert not loud.is_dense
    assert set(np.flatnonzero(quiet.may_be_best)) <= set(np.flatnonzero(loud.may_be_best))


def test_nothing_beyond_the_edge_is_best() -> None:
    assert valley().chance(EDGE + 0.3) == 1.0
    assert valley().chance(BEST) == 0.0
    assert valley().best < EDGE


@pytest.mark.parametrize("log_rate", [-2.4, -2.07, -1.7])
def test_many_draws_have_the_smoothed_mean(log_rate: float) -> None:
    known, rng = valley(), np.random.default_rng(1)
    drawn = [known.draw(log_rate, rng) for _ in range(4000)]
    found = np.mean([cost for cost in drawn if cost is not None])
    assert found == pytest.approx(known.cost(log_rate), rel=4 * 0.2 / math.sqrt(4000))  # four standard errors


def test_shares_of_errors_are_drawn_in_whole_samples() -> None:
    rng = np.random.default_rng(0)
    right = np.round(rng.uniform(0.5, 0.9, size=(len(TASK.rates), N_SEEDS)) * 100) / 100
    nothing = np.zeros(right.shape)
    cell = CellData({"val_accuracy": right.astype(np.float32)}, nothing.astype(np.int16), nothing.astype(np.float32))
    known = make_valley(TASK, 32, "val_accuracy", cell)
    cost = known.draw(-2.05, rng)
    assert cost is not None
    assert cost * 100 == pytest.approx(round(cost * 100), abs=1e-3)  # float32 is kept


def test_a_loss_that_is_no_number_is_judged_in_its_epoch() -> None:
    judge = partial(diverged_in, updates_per_epoch=5, batch_size=64, untrained=1.0)
    assert judge([1.0] * 10) == 0
    assert judge([1.0] * 7 + [math.nan]) == 2
    assert judge([1.0] * 4 + [20.0] + [1.0] * 5) == 0
    assert judge([1.0] * 4 + [20.0] * 6) == 2


def test_the_untrained_loss_is_read_at_the_lowest_rate() -> None:
    traces = {(3, 0): np.array([9.0, 9.0], np.float32), (1, 0): np.array([1.0, 3.0, 50.0], np.float32)}
    assert untrained_losses(traces, 32) == {0: 2.0}


def test_tasks_that_disagree_make_a_wide_interval_however_many_jobs_they_have() -> None:
    alike = measure({f"task {index}": [True, False] * 100 for index in range(5)}, mean)
    apart = measure({f"task {index}": [index % 2 == 0] * 200 for index in range(5)}, mean)
    assert (alike.low, alike.high) == (0.5, 0.5)
    assert apart.high - apart.low > 0.5


def test_what_is_kept_belongs_to_its_task() -> None:
    for task in TASKS:
        for size, cell in read_cells(task).items():
            assert size in task.batch_sizes
            for values in cell.values.values():
                assert values.shape == cell.diverged.shape
                assert np.isnan(values[~cell.trained]).all()
                assert np.isfinite(values[cell.diverged == 0]).all()


def test_constants_are_chosen_on_other_tasks_than_figures_are_told_about() -> None:
    chosen_on = {task.name for task in TASKS if task.role is Role.CHOOSES}
    assert chosen_on == {"digits-sgd", "digits-adam", "cancer-sgd", "cancer-adam"}


def test_rates_that_may_be_best_are_all_those_of_a_flat_bottom() -> None:
    steep, flat = valley(noise=0.05), valley(noise=0.05, width=5.0)
    assert steep.may_be_best.sum() < flat.may_be_best.sum()
    assert abs(steep.decades[steep.may_be_best] - BEST).max() < 0.6
