"""The fitted valley against the exact one of the `synthetic` trainer."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import pytest

from stepsize.analysis.sample import make_sample
from stepsize.analysis.valley import Unclear, Valley, fit_valley
from stepsize.domain.evidence import Evidence
from tests.unit.analysis.designs import (
    concentrated_rates,
    evidence,
    pruned_evidence,
    trial,
    uniform_rates,
    valley_evidence,
)

DESIGNS = {"uniform": uniform_rates, "concentrated": concentrated_rates}


def _fit(found: Evidence) -> Valley:
    valley = fit_valley(make_sample(found))
    assert isinstance(valley, Valley), valley
    return valley


def _fits(seeds: Sequence[int], *, exponent: float, draw: Any) -> list[Valley]:
    return [_fit(valley_evidence(seed=seed, exponent=exponent, draw=draw)) for seed in seeds]


def _covers(valley: Valley, exponent: float) -> bool:
    b = valley.slope()
    assert b.low is not None
    assert b.high is not None
    return b.low <= exponent <= b.high


def _width(valley: Valley) -> float:
    b = valley.slope()
    assert b.low is not None
    assert b.high is not None
    return b.high - b.low


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_of_the_slope_covers_the_truth(design: str, exponent: float) -> None:
    valleys = _fits(range(20), exponent=exponent, draw=DESIGNS[design])

    covered = sum(_covers(valley, exponent) for valley in valleys)

    # 95 % intervals: 16 of 20 or more in 997 of 1,000 such tests; and the seeds are fixed.
    assert covered >= 16
    assert median(map(_width, valleys)) <= 0.3


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_trials_that_a_pruner_stopped_show_the_valley_too(exponent: float) -> None:
    found = [pruned_evidence(seed=seed, exponent=exponent) for seed in range(20)]

    valleys = [_fit(one) for one in found]

    completed = [one.trials.state.count("completed") for one in found]
    assert median(completed) < 150 / 4, "most of what is known is what was pruned"
    # 16 of 20, as above; the predicted values are a little noisier, and no further off.
    assert sum(_covers(valley, exponent) for valley in valleys) >= 16
    assert median(map(_width, valleys)) <= 0.3


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_of_the_slope_covers_the_truth_in_85_to_99_of_100_seeds(design: str, exponent: float) -> None:
    valleys = _fits(range(100), exponent=exponent, draw=DESIGNS[design])

    assert 85 <= sum(_covers(valley, exponent) for valley in valleys) <= 99
    assert median(map(_width, valleys)) <= 0.3


@pytest.mark.parametrize("design", DESIGNS)
def test_the_bottom_is_found_within_a_fraction_of_a_decade(design: str) -> None:
    for valley in _fits(range(20), exponent=0.5, draw=DESIGNS[design]):
        found = valley.rate(math.log10(128)).value
        assert found is not None
        # The truth: log10(0.01) + 0.5 · log10(128 / 32). Asked for: 0.15 decade; 5 standard errors are 0.02.
        assert abs(found - (-2 + 0.5 * math.log10(4))) < 0.02


def test_the_depth_and_the_width_follow_the_formula() -> None:
    valley = _fit(valley_evidence(floor=0.3))

    depth, width = valley.cost(math.log10(32)), valley.width(0.04)

    assert depth.value == pytest.approx(0.3, abs=0.015)  # 3 standard errors of 0.02 / sqrt(30 trials) and some
    assert width.value == pytest.approx(2 * math.sqrt(0.04), rel=0.02)  # (log10 lr − log10 lr*)² = 0.04
    assert valley.noise == pytest.approx(0.02, rel=0.3)


def test_without_noise_the_valley_is_exact() -> None:
    valley = _fit(valley_evidence(60, noise=0.0, exponent=1.0))

    assert valley.slope().value == pytest.approx(1.0, abs=1e-6)
    assert valley.rate(math.log10(32)).value == pytest.approx(-2, abs=1e-6)


def test_one_batch_size_gives_a_bottom_and_no_slope() -> None:
    rng = np.random.default_rng(1)
    trials = [
        trial({"learning_rate": 10**x, "batch_size": 32}, loss=(x + 2) ** 2 + 0.02 * rng.normal())
        for x in rng.uniform(-4, 0, 40)
    ]
    valley = _fit(evidence(trials))

    assert valley.rate(math.log10(32)).value == pytest.approx(-2, abs=0.05)
    assert valley.slope().value is None


def test_a_valley_steep_on_one_side_is_fitted_near_its_bottom() -> None:
    # Flat towards low rates and exploding towards high ones, as real valleys are: exp(2u) / 4 − u / 2.
    rng = np.random.default_rng(2)
    u = rng.uniform(-3, 2, 300)
    losses = np.exp(2 * u) / 4 - u / 2 + 0.02 * rng.normal(size=300)
    trials = [trial({"learning_rate": 10 ** (x - 2)}, loss=loss) for x, loss in zip(u, losses, strict=True)]
    valley = _fit(evidence(trials))

    found = valley.rate(0.0).value

    assert valley.half_width < 2, "all trials together contradict a parabola"
    # d/du = exp(2u) / 2 − 1 / 2 = 0 at u = 0; the parabola of the narrowed window may miss it by a tenth of a decade.
    assert found == pytest.approx(-2, abs=0.1)


def test_a_few_absurd_losses_do_not_move_the_bottom() -> None:
    found = valley_evidence(100)
    for row in range(0, 100, 20):
        found.trials.values[row]["loss"] = 1e300

    assert _fit(found).rate(math.log10(32)).value == pytest.approx(-2, abs=0.03)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_too_few_trials_are_refused(n: int) -> None:
    assert isinstance(fit_valley(make_sample(valley_evidence(n))), Unclear)


def test_pure_noise_is_refused() -> None:
    rng = np.random.default_rng(3)
    trials = [trial({"learning_rate": 10 ** rng.uniform(-5, 0)}, loss=float(rng.normal())) for _ in range(100)]

    refusal = fit_valley(make_sample(evidence(trials)))

    assert isinstance(refusal, Unclear)
    assert "do not show" in refusal.reason
    assert refusal.advice is None, "more trials may do"


def test_a_valley_beyond_the_searched_rates_is_said_to_be_there() -> None:
    refusal = fit_valley(make_sample(valley_evidence(150, lr_opt=100.0, exponent=0.0)))

    assert isinstance(refusal, Unclear)
    assert "upper end" in refusal.reason
    assert refusal.advice is not None
    assert refusal.advice.startswith("Search learning rates above 0.9")


def test_a_valley_beyond_the_divergence_edge_is_not_looked_for_there() -> None:
    rng = np.random.default_rng(4)
    trials = [
        trial({"learning_rate": 10**x}, state="infeasible", reason="diverged")
        if x > -1
        else trial({"learning_rate": 10**x}, loss=(x + 0.8) ** 2)
        for x in rng.uniform(-5, 0, 80)
    ]

    refusal = fit_valley(make_sample(evidence(trials)))

    assert isinstance(refusal, Unclear)
    assert "training diverges" in refusal.reason
    assert "above" not in (refusal.advice or "above")
