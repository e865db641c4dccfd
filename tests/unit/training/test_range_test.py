"""The rules of the range test, on curves whose answer can be written down."""

import numpy as np
import pytest

from stepsize.spec.range_test import RangeTestRule
from stepsize_workers.training.range_test import (
    RULES,
    Array,
    RangeTestInconclusive,
    SmoothCurve,
    begins_too_high,
    find_edge,
    find_low,
    smooth,
    suggest,
    suggest_before_rise,
    suggest_steepest,
    suggest_tenth_of_minimum,
    suggest_valley,
    without_batches,
)

DECADES: Array = np.linspace(-7, 1, 100)
RATES: Array = 10**DECADES
SPACING = 8 / 99
"""Decades between neighbouring rates: no rule that picks a rate of the sweep can be nearer to the truth."""


def logistic(centre: float) -> Array:
    """Falls from 1 to 0, steepest per decade at `centre`."""
    return np.asarray(1 / (1 + 10 ** (2 * (DECADES - centre))))


def trapezium() -> Array:
    """1 up to 1e-4, a straight fall to 0 at 0.1, flat up to 1, then a straight rise of 1 a decade."""
    return np.interp(DECADES, [-7, -4, -1, 0, 1], [1, 1, 0, 0, 1])


def smoothed(rates: Array, losses: Array) -> SmoothCurve:
    """Smooth a sweep of which nobody knows how hard its batches were."""
    return smooth(rates, losses, np.full(len(losses), np.nan))


def decades(rate: float | None) -> float:
    assert rate is not None
    return float(np.log10(rate))


def test_the_steepest_point_is_per_decade_and_does_not_lag() -> None:
    for centre in (-5.0, -3.03, -1.5):
        assert decades(suggest_steepest(smoothed(RATES, logistic(centre)))) == pytest.approx(centre, abs=SPACING / 2)


def test_a_derivative_against_the_rate_itself_would_be_decades_too_low() -> None:
    losses = logistic(-3.0)
    against_lr = DECADES[np.argmin(np.gradient(losses, RATES))]
    # d/dlr of the logistic is steepest where (lr/c)² = 1/3, a quarter of a decade lower; the early noise of a real
    # curve is divided by a tiny lr and moves it to the very start.
    noisy = losses + np.random.default_rng(0).normal(0, 0.02, len(losses))
    assert DECADES[np.argmin(np.gradient(noisy, RATES))] < -6
    assert against_lr == pytest.approx(-3.24, abs=SPACING)
    assert decades(suggest_steepest(smoothed(RATES, noisy))) == pytest.approx(-3.0, abs=0.2)


def test_smoothing_is_the_same_seen_from_either_side() -> None:
    # A valley that is its own mirror image; a lag would move both of its sides in the same direction.
    curve = smoothed(RATES, 1 - np.exp(-((DECADES + 3) ** 2)))
    assert curve.loss == pytest.approx(curve.loss[::-1], abs=1e-9)
    assert curve.slope == pytest.approx(-curve.slope[::-1], abs=1e-9)


def test_the_bounds_of_a_trapezium() -> None:
    curve = smoothed(RATES, trapezium())
    # Two fifths of the fall lie below 10**-2.8. The corners are bandwidths away; what is left is their Gaussian tail.
    assert decades(find_low(curve, 10)) == pytest.approx(-2.8 - 0.3, abs=0.005)
    # A twentieth lies below 10**-3.85, less than a bandwidth from the corner, which smoothing rounds.
    assert decades(find_low(curve)) == pytest.approx(-3.85, abs=0.05)
    # Two fifths are lost 0.4 decade into the rise, two bandwidths from its corner.
    assert decades(find_edge(curve)) == pytest.approx(0.4, abs=0.02)


def test_longer_trainings_are_given_lower_rates() -> None:
    curve = smoothed(RATES, trapezium())
    lows = [decades(find_low(curve, n)) for n in (1, 10, 100, 1000)]
    assert np.diff(lows) == pytest.approx([0, -0.55, -0.55], abs=1e-9)
    nearest = [decades(suggest(curve, None, n)) for n in (10, 100, 1000)]
    assert np.diff(nearest) == pytest.approx([-0.33, -0.33], abs=1e-9)
    assert suggest(curve, None) == pytest.approx(suggest(curve, None, 100))
    assert suggest(curve, RangeTestRule.STEEPEST, 1000) == suggest_steepest(curve)


@pytest.mark.parametrize(
    ("losses", "too_high"),
    [
        (trapezium(), False),
        (np.linspace(3, 1, 100), False),  # an eighth of its fall in the first decade
        (np.interp(DECADES, [-7, -5], [2, 1]), True),
        (np.interp(DECADES, [-7, -6.2, 1], [2, 1, 1]), True),  # all of its fall
        (np.ones(100), False),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_sweep_that_begins_where_the_loss_falls_already_is_told(losses: Array, too_high: bool, noise: float) -> None:
    noisy = losses + noise * np.random.default_rng(0).normal(size=100)
    assert begins_too_high(RATES, noisy) is too_high
    assert begins_too_high(RATES[:80], noisy[:80]) is too_high  # what is seen of a sweep that exploded there


def hard_batches() -> Array:
    """What a batch of few samples adds to any model's loss, however little that has learned."""
    return np.random.default_rng(0).normal(0, 0.5, 100)


def test_a_fall_lost_in_the_noise_of_batches_is_seen_beside_the_untrained_model() -> None:
    fall = 0.5 * logistic(-3.0)
    losses, untrained = 2 + fall + hard_batches(), 2.5 + hard_batches()
    with pytest.raises(RangeTestInconclusive, match="never fell"):
        smoothed(RATES, losses)
    assert decades(suggest_steepest(smooth(RATES, losses, untrained))) == pytest.approx(-3.0, abs=0.2)
    assert begins_too_high(RATES, without_batches(RATES, losses, untrained)) is False


def test_hard_batches_alone_are_no_fall() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        wandering = np.where(DECADES < -3, 0.0, rng.normal(0, 0.3, 100))  # from here on the model changes, no better
        batches = 2 + rng.normal(0, 0.5, 100)
        found += _is_conclusive(batches + wandering, batches)
    assert found <= 2


def test_what_is_hard_for_the_untrained_model_counts_as_far_as_it_is_for_the_trained_one() -> None:
    share = np.interp(DECADES, [-7, -4, -2, 1], [1, 1, 0, 0])
    freed = without_batches(RATES, logistic(-3.0) + share * hard_batches(), 1 + hard_batches())
    away = freed - freed[:20].mean() + 1 - logistic(-3.0)
    assert np.abs(away[:20]).max() < 0.02
    assert np.std(away) < 0.12 < 0.5  # where the share changes, within one and a half decades, some is left
    assert np.std(away[-20:]) < 0.06


def test_batches_of_which_nothing_is_known_change_nothing() -> None:
    unknown = np.where(np.arange(100) < 99, 1.0, np.inf)
    assert np.array_equal(without_batches(RATES, trapezium(), unknown), trapezium())


def test_one_exploding_loss_says_nothing_about_the_batches() -> None:
    losses = logistic(-3.0) + hard_batches()
    losses[95:] += 1e9
    freed = without_batches(RATES, losses, 1 + hard_batches())
    assert np.std(freed[:40] - logistic(-3.0)[:40]) < 0.02


def test_the_valley_is_the_middle_of_the_longest_fall() -> None:
    losses = np.interp(DECADES, [-7, -5, -1, 1], [0.9, 1, 0, 0.5])
    # Corners between different slopes turn where they are but for smoothing, by less than a bandwidth; the fall begins
    # where a twentieth of it is done.
    assert decades(suggest_valley(smoothed(RATES, losses))) == pytest.approx(-2.9, abs=0.2)


def test_a_drift_before_the_fall_draws_the_middle_of_the_valley_nowhere() -> None:
    losses = np.interp(DECADES, [-7, -4, -1, 1], [1.01, 1, 0, 0.5])
    assert decades(suggest_valley(smoothed(RATES, losses))) == pytest.approx(-2.5, abs=0.2)


def test_the_rules_around_the_minimum() -> None:
    curve = smoothed(RATES, np.interp(DECADES, [-7, -4, -1, 1], [1, 1, 0, 2]))
    # The sides differ in slope (1/3 and 1), so smoothing moves the minimum to the gentler one: by less than 0.1 here.
    assert decades(suggest_tenth_of_minimum(curve)) == pytest.approx(-2.0, abs=0.1 + SPACING)
    halfway = (decades(suggest_steepest(curve)) - 1.0) / 2
    assert decades(suggest_before_rise(curve)) == pytest.approx(halfway, abs=(0.1 + SPACING) / 2)


def exploding(at: float) -> Array:
    losses = logistic(-3.0)
    losses[at <= DECADES] = np.inf
    return losses


def test_a_sweep_that_ended_early_has_its_edge_where_it_ended() -> None:
    for at in (-2.0, -1.0, 0.5):
        # The step lies between two points. Smoothed, it has risen by two fifths of the fall, a third of its own height
        # as it goes a quarter above the initial loss, half a bandwidth before.
        assert decades(find_edge(smoothed(RATES, exploding(at)))) == pytest.approx(at - 0.1, abs=SPACING)


def test_noise_before_the_fall_is_not_its_steepest_point() -> None:
    losses = logistic(-2.0)
    losses[20:24] += 0.5  # one odd stretch at 1e-5, whose end is steeper than the fall itself
    assert decades(suggest_steepest(smoothed(RATES, losses))) == pytest.approx(-2.0, abs=SPACING)


def test_how_high_an_explosion_goes_does_not_matter() -> None:
    losses = exploding(-1.0)
    leaping, broken = np.where(np.isinf(losses), 1e9, losses), np.where(np.isinf(losses), np.nan, losses)
    for other in (leaping, broken):
        assert _all_rules(smoothed(RATES, other)) == pytest.approx(_all_rules(smoothed(RATES, losses)), rel=1e-12)


def _all_rules(curve: SmoothCurve) -> list[float]:
    return [find_low(curve), find_edge(curve) or 0.0, *(rule(curve) for rule in RULES.values())]


def test_what_comes_after_an_explosion_is_not_believed() -> None:
    losses = exploding(-1.0)
    losses[-5:] = -10.0
    assert _all_rules(smoothed(RATES, losses)) == _all_rules(smoothed(RATES, exploding(-1.0)))


def test_a_rise_that_comes_down_again_is_no_edge() -> None:
    losses = logistic(-3.0)
    losses[60:66] += 2.0  # half a decade around 10**-1.9
    losses[90:] = np.inf
    assert decades(find_edge(smoothed(RATES, losses))) == pytest.approx(DECADES[90] - 0.1, abs=SPACING)
    losses[90:] = 0.0
    assert find_edge(smoothed(RATES, losses)) is None


def test_no_edge_where_the_loss_never_rises() -> None:
    assert find_edge(smoothed(RATES, logistic(-3.0))) is None


def test_the_answer_does_not_depend_on_the_losss_unit() -> None:
    plain, scaled = smoothed(RATES, trapezium()), smoothed(RATES, 1000 * trapezium() - 400)
    # The flat bottom has no single lowest point, so only what doesn't depend on it is compared.
    assert (find_low(scaled), find_edge(scaled), suggest_steepest(scaled)) == pytest.approx(
        (find_low(plain), find_edge(plain), suggest_steepest(plain)), rel=1e-6
    )


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        (np.ones(100), "never fell"),
        (np.interp(DECADES, [-7, -5], [2, 1]), "falls from the first rate on, 1e-07: lower ones learn as well"),
        (1 / (1 + 10 ** (2 * (DECADES + 8))), "start from a lower rate"),  # all but over before it begins
        (np.linspace(1, 3, 100), "never fell"),
        (np.where(np.arange(100) < 4, 1.0, np.inf), "for only 4 updates"),
        (np.full(100, np.nan), "for only 0 updates"),
        (np.where(np.arange(100) < 30, 1.0, np.nan), "missing or infinite values in the data"),
        (np.where(np.arange(100) < 30, 1 + np.maximum(np.arange(100) - 25, 0.0), np.nan), "never fell"),
    ],
)
def test_a_curve_that_says_nothing_is_refused_with_the_reason(losses: Array, why: str) -> None:
    with pytest.raises(RangeTestInconclusive, match=why):
        smoothed(RATES, losses)


def _is_conclusive(losses: Array, untrained: Array | None = None) -> bool:
    try:
        smooth(RATES, losses, np.full(len(losses), np.nan) if untrained is None else untrained)
    except RangeTestInconclusive:
        return False
    return True


def test_noise_is_not_taken_for_a_descent_nor_a_descent_for_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3, (200, 100))
    found_in_noise = sum(_is_conclusive(1 + one) for one in noise)
    found = sum(_is_conclusive(logistic(-3.0) + one) for one in noise)
    # A false alarm needs four standard errors somewhere on the curve.
    assert found_in_noise <= 6
    assert found >= 198


@pytest.mark.parametrize("n_steps", [10, 30, 1000])
@pytest.mark.parametrize("rule", RangeTestRule)
def test_every_rule_reads_sparse_and_dense_sweeps(n_steps: int, rule: RangeTestRule) -> None:
    x = np.linspace(-7, 1, n_steps)
    suggestion = RULES[rule](smoothed(10**x, np.interp(x, [-7, -4, -1, 1], [1, 1, 0, 2])))
    assert 1e-5 < suggestion < 1.0
