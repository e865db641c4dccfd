"""The posterior of valleys against exact ones: the `synthetic` trainer's, steep ones, flat ones, and none at all."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from stepsize.analysis import landscape as landscapes
from stepsize.analysis.answer import make_answer
from stepsize.analysis.doubts import second_valley
from stepsize.analysis.ensemble import draw_ensemble
from stepsize.analysis.findings import Findings, Unclear, find, missing_trials
from stepsize.analysis.landscape import Landscape, Spot, fit_landscape
from stepsize.analysis.sample import make_sample
from stepsize.analysis.valley import Effort, heights
from stepsize.domain.answer import Answer, Words
from stepsize.domain.evidence import Evidence
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, SearchSpace
from tests.unit.analysis.designs import (
    SPACE,
    concentrated_rates,
    evidence,
    pruned_evidence,
    trial,
    uniform_rates,
    valley_evidence,
)

DESIGNS = {"uniform": uniform_rates, "concentrated": concentrated_rates}
CONTRADICTED = Path(__file__).with_name("contradicted_fit.csv")


def _fit(found: Evidence) -> Landscape:
    return fit_landscape(make_sample(found))


def _find(found: Evidence) -> Findings:
    return find(make_sample(found), found)


def _spot(landscape: Landscape, batch_size: int) -> Spot:
    spot = landscape.spot(math.log10(batch_size))
    assert spot is not None
    return spot


def _slope(landscape: Landscape) -> tuple[float, float]:
    slopes = landscape.slopes()
    assert slopes is not None
    low, high = np.quantile(slopes, [0.025, 0.975])
    return float(low), float(high)


def _one_batch_size(x: Sequence[float] | np.ndarray, losses: Sequence[float] | np.ndarray, **changes: Any) -> Evidence:
    trials = [trial({"learning_rate": 10 ** float(one)}, loss=float(loss)) for one, loss in zip(x, losses, strict=True)]
    return evidence(trials, **changes)


def test_an_ensemble_finds_the_moments_of_a_normal_density() -> None:
    covariance = np.array([[1.0, 0.9], [0.9, 4.0]])
    inverse, rng = np.linalg.inv(covariance), np.random.default_rng(0)

    draws = draw_ensemble(
        lambda points: -0.5 * np.einsum("ij,jk,ik->i", points - 3.0, inverse, points - 3.0),
        rng.normal(size=(40, 2)),
        n_steps=2000,
        n_burn_in=200,
        thin=2,
        rng=rng,
    )

    # 40,000 draws, a dozen steps of 40 walkers to an independent one: 5 standard errors of the mean are 0.1.
    assert draws.mean(axis=0) == pytest.approx([3.0, 3.0], abs=0.15)
    assert np.cov(draws.T) == pytest.approx(covariance, rel=0.1)


def test_a_height_is_quadratic_at_the_bottom_and_a_straight_line_far_out() -> None:
    shape = np.array([[1.0, 0.5, 3.0, 0.2, 0.1, 0.1, 1.0]])

    near, far = heights(np.array([[-0.01, 0.01]]), shape)[0], heights(np.array([[-10.0, -9.0, 9.0, 10.0]]), shape)[0]

    # g · u² / (2 w) near the bottom; g · (|u| − w) far from it.
    assert near == pytest.approx([1.0 * 1e-4 / 1.0, 3.0 * 1e-4 / 0.4], rel=1e-3)
    assert far == pytest.approx([9.5, 8.5, 26.4, 29.4], rel=0.01)


@pytest.mark.parametrize(("exponent", "expected"), [(2.0, 0.5 * 9.0), (1e-6, 0.5 * math.log(1 + 9.0))])
def test_the_exponent_makes_an_arm_a_parabola_or_a_logarithm(exponent: float, expected: float) -> None:
    shape = np.array([[1.0, 1.0, 1.0, 1.0, 0.1, 0.1, exponent]])

    assert heights(np.array([[3.0]]), shape)[0, 0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_of_the_slope_covers_the_truth_and_is_narrow(design: str, exponent: float) -> None:
    for seed in range(3):
        low, high = _slope(_fit(valley_evidence(seed=seed, exponent=exponent, draw=DESIGNS[design])))

        # The misfit alone makes it 2 · 1.96 · 0.07 / 0.95 = 0.29 wide; these trials add little.
        assert low <= exponent <= high
        assert high - low < 0.5


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_trials_that_a_pruner_stopped_show_the_valley_too(exponent: float) -> None:
    found = [pruned_evidence(seed=seed, exponent=exponent) for seed in range(3)]

    assert median([one.trials.state.count("completed") for one in found]) < 150 / 4, "most of what is known was pruned"
    for one in found:
        low, high = _slope(_fit(one))
        assert low <= exponent <= high


@pytest.mark.parametrize("design", DESIGNS)
def test_the_bottom_is_found_within_a_tenth_of_a_decade(design: str) -> None:
    for seed in range(3):
        spot = _spot(_fit(valley_evidence(seed=seed, draw=DESIGNS[design])), 128)

        assert abs(spot.rate - (-2 + 0.5 * math.log10(4))) < 0.1
        low, high = spot.interval
        assert low < -2 + 0.5 * math.log10(4) < high


def test_a_valley_steep_on_one_side_is_not_told_too_low() -> None:
    # Flat towards low rates and exploding towards high ones, as real valleys are: exp(2u) / 4 − u / 2, bottom at 0.
    rng = np.random.default_rng(2)
    u = rng.uniform(-3, 1.5, 80)
    losses = 1.0 + np.exp(2 * u) / 4 - u / 2 + 0.02 * rng.normal(size=80)

    spot = _find(_one_batch_size(u - 2, losses)).best

    assert isinstance(spot, Spot)
    assert spot.rate == pytest.approx(-2, abs=0.15)
    assert spot.interval[0] < -2 < spot.interval[1]


def test_a_valley_that_is_flat_up_to_a_cliff_may_have_its_best_rate_anywhere_on_the_flat() -> None:
    # Best at 10 ** -1.6, hardly worse up to a cliff at 0.1: the model has the bottom at the cliff.
    rng = np.random.default_rng(200)
    x = np.concatenate([rng.uniform(-5, 0, 12), rng.normal(-1.3, 0.3, 45)])
    costs = 0.3 + 0.03 * (x + 1.6) ** 2 + 3 * np.maximum(x + 1, 0)
    spot = _find(_one_batch_size(x, costs * np.exp(0.05 * rng.normal(size=len(x))))).best

    assert isinstance(spot, Spot)
    low, high = spot.interval
    assert low < -1.6 < spot.rate < high
    answer = make_answer(_one_batch_size(x, costs * np.exp(0.05 * rng.normal(size=len(x)))))
    assert "do as well within the noise" in answer.sentence or "flat" in answer.sentence


def test_a_few_absurd_losses_do_not_move_the_bottom() -> None:
    found = valley_evidence(100)
    for row in range(0, 100, 20):
        found.trials.values[row]["loss"] = 1e300

    assert _spot(_fit(found), 32).rate == pytest.approx(-2, abs=0.12)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_too_few_trials_are_refused_and_the_missing_ones_counted(n: int) -> None:
    best = _find(valley_evidence(n)).best

    assert isinstance(best, Unclear)
    assert best.missing_trials is not None
    assert best.missing_trials > 10


def test_an_interval_that_no_number_of_trials_narrows_names_no_number() -> None:
    spot = _spot(_fit(valley_evidence(40)), 64)

    def wide(decades: float, core: float = 0.1) -> Spot:
        ends = np.repeat([spot.rate - decades / 2, spot.rate + decades / 2], len(spot.rates) // 2)
        return replace(spot, core=(spot.rate, spot.rate + core), rates=ends)

    assert missing_trials(wide(1.0), 30) == 40
    assert missing_trials(wide(4.0), 30) is None
    assert missing_trials(wide(0.5), 30) is None
    assert missing_trials(wide(1.0, core=0.8), 30) is None, "the fitted shape itself leaves so much open"


def test_pure_noise_has_no_best_rate() -> None:
    rng = np.random.default_rng(3)
    answer = make_answer(_one_batch_size(rng.uniform(-5, 0, 100), rng.normal(size=100)))

    assert answer.words is Words.NONE
    assert "flat" in answer.sentence or "do not show" in answer.sentence


@pytest.mark.parametrize("seed", range(4))
def test_noise_whose_best_trials_lie_at_an_end_widens_no_space(seed: int) -> None:
    # Most trials near one end, as a search draws them that was led there by luck.
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(-5, 0, 20), -np.abs(rng.normal(0, 0.3, 20))])
    answer = make_answer(_one_batch_size(x, 1.0 + 0.05 * rng.normal(size=40)))

    assert "Search learning rates" not in answer.sentence
    assert answer.words in (Words.NONE, Words.LOW)


def test_values_that_are_all_equal_ask_for_no_more_trials() -> None:
    answer = make_answer(_one_batch_size(np.linspace(-4, -1, 40), np.ones(40)))

    assert answer.sentence.startswith("Nothing shows which learning rate is best: every trial has the same value")
    assert answer.missing_trials is None


def test_a_flat_valley_is_never_more_than_a_rough_guess() -> None:
    # Quadratic in the rate itself: everything below the best rate is hardly worse, everything above much.
    rng = np.random.default_rng(9)
    x = np.concatenate([rng.uniform(-5, 0, 15), rng.normal(-1, 0.2, 25)])
    x = np.minimum(x, 0.0)
    answer = make_answer(_one_batch_size(x, 1 + (10**x - 0.1) ** 2 + 0.001 * rng.normal(size=40)))

    assert "flat" in answer.sentence
    assert answer.words in (Words.NONE, Words.LOW)


def test_an_interval_beyond_the_searched_rates_says_so() -> None:
    rng = np.random.default_rng(10)
    space: SearchSpace = {"learning_rate": FloatParameter(type="float", low=1e-5, high=0.1, log=True)}
    x = np.concatenate([rng.uniform(-5, -1, 15), np.minimum(rng.normal(-1.2, 0.2, 25), -1.0)])
    losses = 1 + (x + 1.05) ** 2 + 0.02 * rng.normal(size=40)
    answer = make_answer(_one_batch_size(x, losses, space=space))

    assert answer.learning_rate.high is not None
    assert answer.learning_rate.high > 0.1
    assert any("beyond the searched rates" in caveat for caveat in answer.caveats)


def test_a_flat_valley_is_called_flat() -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(-5, 0, 80)
    losses = 1.0 + 0.03 * (x + 2.5) ** 2 + 0.1 * rng.normal(size=80)

    assert "flat" in make_answer(_one_batch_size(x, losses)).sentence


def test_a_valley_beyond_the_searched_rates_is_said_to_be_there() -> None:
    best = _find(valley_evidence(100, lr_opt=100.0, exponent=0.0)).best

    assert isinstance(best, Unclear)
    assert best.advice == "Search learning rates above 1 too"


def test_nothing_is_told_where_training_diverges() -> None:
    rng = np.random.default_rng(4)
    trials = [
        trial({"learning_rate": 10**x}, state="infeasible", reason="diverged")
        if x > -1
        else trial({"learning_rate": 10**x}, loss=(x + 0.8) ** 2)
        for x in rng.uniform(-5, 0, 80)
    ]
    found = _find(evidence(trials))

    assert isinstance(found.best, Spot)
    assert found.best.interval[1] < -1
    assert any("diverge" in caveat for caveat in make_answer(evidence(trials)).caveats)


def test_an_interval_that_divergence_ends_is_as_wide_as_the_trials_leave_open() -> None:
    # The lower a rate the worse, up to where training diverges: the interval had no width at all.
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-5, 0, 12), rng.normal(-1.3, 0.25, 40)])
    trials = [
        trial({"learning_rate": 10**one}, state="infeasible", reason="diverged")
        if one > -1
        else trial({"learning_rate": 10**one}, loss=0.3 + 0.15 * abs(one + 1) + 0.01 * rng.normal())
        for one in x
    ]
    spot = _find(evidence(trials)).best
    answer = make_answer(evidence(trials))

    assert isinstance(spot, Spot)
    assert spot.is_held_back
    low, high = spot.interval
    assert low < spot.rate < high < x[x > -1].min()
    assert high - low > 0.05
    assert answer.words is Words.FAIRLY_SURE
    assert "higher ones may do better, but may diverge" in answer.sentence


def test_a_rate_up_to_which_a_trial_diverged_is_not_told_even_where_most_trained() -> None:
    rng = np.random.default_rng(5)
    trials = [trial({"learning_rate": 10**x}, loss=(x + 1) ** 2 + 0.1) for x in rng.normal(-1, 0.5, 60)]
    trials += [trial({"learning_rate": 10**-0.9}, state="infeasible", reason="diverged")]
    spot = _find(evidence(trials)).best

    assert isinstance(spot, Spot)
    assert spot.interval[1] < -0.9
    assert spot.rate < -0.9


def test_a_fit_that_its_trials_contradict_is_a_rough_guess_and_says_so_first() -> None:
    # A step: everything below a rate is equally good, everything above equally bad, with hardly any noise.
    rng = np.random.default_rng(6)
    x = rng.uniform(-4, 0, 120)
    losses = 1.0 + 0.3 * np.sin(6 * x) + 0.005 * rng.normal(size=120)
    answer = make_answer(_one_batch_size(x, losses))

    assert answer.words in (Words.LOW, Words.NONE)
    if answer.words is Words.LOW:
        assert "contradict" in answer.sentence or "second valley" in answer.sentence


def _two_valleys() -> Evidence:
    """Return trials around the best rate, 0.1, and some in a valley hardly worse at 10 ** -3.2."""
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(-1, 0.3, 50), rng.normal(-3.2, 0.12, 12), rng.uniform(-4, 0, 20)])
    losses = 0.1 + np.minimum((x + 1) ** 2, 0.01 + 4 * (x + 3.2) ** 2) + 0.01 * rng.normal(size=len(x))
    return _one_batch_size(x, losses)


def test_a_second_valley_is_named() -> None:
    found = _find(_two_valleys())

    assert isinstance(found.best, Spot)
    assert any("second valley" in doubt for doubt in found.doubts)
    assert make_answer(_two_valleys()).words is Words.LOW


@pytest.mark.parametrize("n_seen", [1, 2])
def test_a_second_valley_that_was_hardly_searched_is_named(n_seen: int) -> None:
    # Beyond a ridge one or two trials do better again, though none as well as the bottom that the search found.
    rng = np.random.default_rng(11)
    x = np.concatenate(
        [rng.normal(-3, 0.3, 40), rng.uniform(-5, -3.5, 8), rng.uniform(-2, -1.4, 6), np.array([-1.0, -0.97])[:n_seen]]
    )
    costs = 0.3 + np.minimum((x + 3) ** 2, 4 * (x + 0.7) ** 2)
    answer = make_answer(_one_batch_size(x, costs * np.exp(0.05 * rng.normal(size=len(x)))))

    assert answer.words is Words.FAIRLY_SURE
    assert "hardly searched, there may be a second valley" in answer.sentence
    assert any("A trial at 0.1" in caveat for caveat in answer.caveats)


def test_the_same_trials_give_the_same_answer_whatever_their_order() -> None:
    found = valley_evidence(40)
    order = np.random.default_rng(0).permutation(40)
    shuffled = evidence([trial(found.trials.params[at], **found.trials.values[at]) for at in order])

    once, again, other = make_answer(found), make_answer(found), make_answer(shuffled)

    assert once == again
    assert other.learning_rate == once.learning_rate
    assert other.value == once.value


def test_a_loss_in_other_units_has_the_same_best_rate() -> None:
    found = valley_evidence(60, floor=0.2)
    scaled = evidence(
        [
            trial(params, loss=1000 * values["loss"])
            for params, values in zip(found.trials.params, found.trials.values, strict=True)
        ]
    )

    one, thousand = make_answer(found), make_answer(scaled)

    # Rounding moves where the sampler starts, by which a rough posterior's ends differ.
    assert thousand.learning_rate.value == pytest.approx(one.learning_rate.value, rel=0.1)
    assert thousand.learning_rate.high == pytest.approx(one.learning_rate.high, rel=0.1)
    assert one.value.value is not None
    assert thousand.value.value == pytest.approx(1000 * one.value.value, rel=0.1)


@pytest.mark.parametrize(
    ("loss", "floor"),
    [
        pytest.param(lambda u: u**2, 0.0, id="square"),
        pytest.param(lambda u: u**2, 1.0, id="square with a floor"),
        pytest.param(abs, 0.0, id="absolute"),
        pytest.param(abs, 1.0, id="absolute with a floor"),
        pytest.param(lambda u: 1 - math.exp(-(u**2)), 0.0, id="hole"),
        pytest.param(lambda u: 0.01 * (10**u - 1) ** 2, 0.0, id="square of the rate"),
    ],
)
def test_a_loss_without_noise_is_told_where_it_falls_to_nothing_too(
    loss: Callable[[float], float], floor: float
) -> None:
    # A third anywhere, the rest ever nearer to the bottom, as a search draws them.
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.uniform(-5, 0, 12), -1.3 + rng.normal(size=24) * np.linspace(0.8, 0.1, 24)])
    x = np.minimum(x, 0.0)
    answer = make_answer(_one_batch_size(x, [floor + loss(float(one) + 1.3) for one in x]))

    rate = answer.learning_rate
    assert rate.value is not None
    assert rate.low is not None
    assert rate.high is not None
    assert math.log10(rate.value) == pytest.approx(-1.3, abs=0.1)
    assert math.log10(rate.low) <= -1.3 <= math.log10(rate.high)


def _seedless(loss: Callable[[float], float], bottom: float) -> Evidence:
    """Return 40 trials of a function that knows no seed, and five checks beside its best trial."""
    rng = np.random.default_rng(9)
    x = np.concatenate([rng.uniform(-5, 0, 12), bottom + rng.normal(size=28) * np.linspace(0.8, 0.1, 28)])
    trials = [trial({"learning_rate": 10 ** float(one)}, loss=loss(float(one))) for one in np.minimum(x, 0.0)]
    checked = {"learning_rate": 10 ** (bottom + 0.06)}
    trials += [trial(checked, purpose="confirm", loss=loss(math.log10(checked["learning_rate"]))) for _ in range(5)]
    return evidence(trials, space={"learning_rate": SPACE["learning_rate"]})


@pytest.mark.parametrize(
    ("loss", "bottom"),
    [
        pytest.param(lambda x: (10**x - 0.1) ** 2 + 1, -1.0, id="square of the rate with an offset"),
        pytest.param(lambda x: (10**x - 0.01) ** 2 + 1, -2.0, id="the same, further down"),
        pytest.param(lambda x: (x + 1.3) ** 2 + 0.5, -1.3, id="square with an offset"),
        pytest.param(lambda x: abs(x + 2.2) + 0.3, -2.2, id="kink"),
    ],
)
def test_the_answer_of_a_function_without_noise_is_its_best_trial(
    loss: Callable[[float], float], bottom: float
) -> None:
    found = _seedless(loss, bottom)
    answer = make_answer(found)
    best = min(zip(found.trials.params, found.trials.values, strict=True), key=lambda one: one[1]["loss"])

    assert answer.learning_rate.value == pytest.approx(best[0]["learning_rate"])
    assert answer.learning_rate.low is not None
    assert answer.learning_rate.high is not None
    assert answer.learning_rate.low <= 10**bottom <= answer.learning_rate.high
    assert answer.value.value == best[1]["loss"]
    assert answer.words is Words.WELL_SUPPORTED
    assert "there is no noise" in answer.sentence
    assert answer.confirmed.low == answer.confirmed.high
    assert "promised" not in answer.sentence


def test_a_rough_function_that_knows_no_seed_is_no_exact_one() -> None:
    # Its training fixes a seed of its own: repeated trials agree to the last digit, and the next rate is luck again.
    def loss(x: float) -> float:
        return 0.3 + (x + 1.3) ** 2 + 0.05 * math.sin(1e6 * x)

    answer = make_answer(_seedless(loss, -1.3))

    assert answer.words is Words.LOW
    assert "don't use the seed they are given" in answer.sentence


def test_checks_that_agree_by_chance_show_no_exact_function() -> None:
    # A share of 20 samples takes few values.
    rng = np.random.default_rng(4)
    x = -2 + rng.normal(size=50) * 0.7
    losses = np.round(20 * (0.1 + 0.2 * (x + 2) ** 2 + 0.02 * rng.normal(size=50))) / 20
    trials = [trial({"learning_rate": 10 ** float(a)}, loss=float(b)) for a, b in zip(x, losses, strict=True)]
    trials += [trial({"learning_rate": 0.01}, purpose="confirm", loss=0.1) for _ in range(4)]
    answer = make_answer(evidence(trials, space={"learning_rate": SPACE["learning_rate"]}))

    assert "noise" not in answer.sentence
    assert "seed" not in answer.sentence


def test_a_second_valley_is_told_at_rates_that_were_tried() -> None:
    found = _find(_two_valleys())

    assert isinstance(found.landscape, Landscape)
    assert isinstance(found.best, Spot)
    other = second_valley(found.landscape, found.best)
    assert other is not None
    assert other == pytest.approx(-3.2, abs=0.15)


def test_what_is_promised_stays_in_the_metrics_range() -> None:
    rng = np.random.default_rng(8)
    x = rng.uniform(-4, 0, 60)
    accuracy = np.clip(np.round(1 - 0.3 * np.abs(x + 1.5) ** 2 + 0.01 * rng.normal(size=60), 2), 0, 1)
    trials = [trial({"learning_rate": 10**one}, accuracy=float(value)) for one, value in zip(x, accuracy, strict=True)]
    answer = make_answer(
        evidence(
            trials,
            objectives=(Objective(metric="accuracy", direction=Direction.MAXIMIZE),),
            ranges={"accuracy": (0.0, 1.0)},
        )
    )

    assert answer.value.high is not None
    assert answer.value.low is not None
    assert 0.9 < answer.value.low <= answer.value.high <= 1.0
    assert all((point.value.high or 0) <= 1.0 and (point.value.low or 0) >= 0.0 for point in answer.valley)


def _search(rng: np.random.Generator, n: int, seeds: int) -> list[dict[str, Any]]:
    """Trials whose seed moves their best rate by a tenth of a decade, and their loss by a tenth."""
    luck = rng.normal(size=(seeds, 2)) * [0.1, 0.1]
    trials = []
    for number, x in enumerate(rng.uniform(-3, 0, n)):
        rate, depth = luck[number % seeds]
        loss = 0.1 * math.exp(2 * abs(x + 1.5 - rate) ** 1.5 + depth + 0.01 * rng.normal())
        trials.append(trial({"learning_rate": 10**x}, loss=loss, seed=number % seeds))
    return trials


def test_trials_that_share_a_seed_share_its_luck() -> None:
    rng = np.random.default_rng(9)
    widths = {seeds: _find(evidence(_search(rng, 60, seeds))).best for seeds in (3, 60)}
    spots = {seeds: spot for seeds, spot in widths.items() if isinstance(spot, Spot)}

    assert spots[3].width > spots[60].width, "three seeds know less about a fourth than sixty do"


def test_with_one_seed_the_answer_speaks_of_one_seed() -> None:
    answer = make_answer(evidence(_search(np.random.default_rng(10), 60, 1)))

    assert "a rough guess, for all trials of its search share one training seed" in answer.sentence
    assert answer.words is Words.LOW


def test_unknown_seeds_say_no_more_than_one_seed_does() -> None:
    # The trials of an imported study, which had all shared one seed, were taken for trainings with fresh ones.
    trials = _search(np.random.default_rng(10), 60, 1)
    answer = make_answer(evidence([{**one, "seed": None} for one in trials]))

    assert "a rough guess, for nobody knows whether its trials share one training seed" in answer.sentence
    assert answer.words is Words.LOW
    assert answer.learning_rate == make_answer(evidence(trials)).learning_rate


def test_the_same_value_again_with_unknown_seeds_does_not_show_that_there_is_no_noise() -> None:
    def cost(rate: float) -> float:
        return (math.log10(rate) + 2) ** 2 + 0.1

    rates = [float(10**x) for x in np.linspace(-4, -0.5, 30)] * 2
    trials = [trial({"learning_rate": rate}, loss=cost(rate), seed=None) for rate in rates]
    answer = make_answer(evidence(trials, space={"learning_rate": SPACE["learning_rate"]}))
    assert answer.words is Words.LOW
    assert "there is no noise" not in answer.sentence


def test_with_one_seed_fresh_checks_do_not_make_an_answer_sure() -> None:
    trials = _search(np.random.default_rng(10), 60, 1)
    alone = make_answer(evidence(trials))
    rate = alone.learning_rate.value
    assert rate is not None
    checks = [trial({"learning_rate": rate}, purpose="confirm", seed=1000 + at, loss=0.1) for at in range(9)]
    answer = make_answer(evidence([*trials, *checks]))

    assert answer.words is Words.LOW
    assert "share one training seed" in answer.sentence
    fresh = make_answer(evidence(_search(np.random.default_rng(10), 60, 60)))
    assert _decades(alone) > _decades(fresh), "another seed may want another rate, which no trial shows"


def _decades(answer: Answer) -> float:
    assert answer.learning_rate.low is not None
    assert answer.learning_rate.high is not None
    return math.log10(answer.learning_rate.high / answer.learning_rate.low)


def _checked(measured: float) -> Evidence:
    trials = _search(np.random.default_rng(11), 60, 60)
    rate = make_answer(evidence(trials)).learning_rate.value
    assert rate is not None
    checks = [
        trial({"learning_rate": rate}, purpose="confirm", seed=1000 + number, loss=measured * (1 + 0.02 * number))
        for number in range(-2, 3)
    ]
    return evidence([*trials, *checks])


def test_an_answer_that_was_checked_quotes_what_was_measured() -> None:
    found = _checked(0.1)
    answer = make_answer(found)

    assert answer.words is Words.WELL_SUPPORTED
    assert answer.confirmed.value == pytest.approx(0.1)
    rate = float(found.trials.params[-1]["learning_rate"])
    assert f"5 fresh trainings at {rate:.3g} gave loss 0.1" in answer.sentence


def test_an_answer_for_another_batch_size_than_was_checked_says_so() -> None:
    searched = valley_evidence(60, noise=0.02)
    pairs = zip(searched.trials.params, searched.trials.values, strict=True)
    trials = [trial(dict(params), **values) for params, values in pairs]
    told = make_answer(evidence(trials))
    assert told.learning_rate.value is not None
    other = 64 if told.batch_size == 32 else 32
    params = {"learning_rate": told.learning_rate.value, "batch_size": other}
    checks = [trial(params, purpose="confirm", loss=2.0 + 0.01 * at) for at in range(5)]
    answer = make_answer(evidence([*trials, *checks]))

    assert answer.batch_size != other
    assert f"5 fresh trainings at {told.learning_rate.value:.3g} and batch size {other} gave loss" in answer.sentence
    assert any(f"were at batch size {other}: " in caveat for caveat in answer.caveats)


def test_an_answer_whose_check_failed_is_not_well_supported() -> None:
    answer = make_answer(_checked(0.2))

    assert answer.words is not Words.WELL_SUPPORTED
    assert any("had promised" in caveat for caveat in answer.caveats)


def test_a_large_job_is_fitted_to_trials_chosen_by_their_rates() -> None:
    found = valley_evidence(2000, seed=1, draw=concentrated_rates)
    landscape = _fit(found)

    assert len(landscape.sample) <= 300
    sample = make_sample(found)
    noise = sample.cost - (sample.log_rate + 2 - 0.5 * (sample.log_batch - math.log10(32))) ** 2
    chosen = np.isin(sample.number, landscape.sample.number)
    # Chosen by value they would be the lucky ones; noise 0.02 over √300, five times that.
    assert noise[chosen].mean() == pytest.approx(noise.mean(), abs=0.006)
    assert _spot(landscape, 64).rate == pytest.approx(-2 + 0.5 * math.log10(2), abs=0.12)


def test_a_batch_larger_than_the_data_counts_as_the_data() -> None:
    found = valley_evidence(80)
    landscape = fit_landscape(make_sample(replace(found, n_samples=64)))

    assert landscape.log_batches == pytest.approx(np.log10([16, 32, 64]))


def test_accumulated_gradients_make_one_batch() -> None:
    trials = [
        trial({"learning_rate": 10**x, "batch_size": 16, "grad_accumulation": 4}, loss=(x + 2) ** 2)
        for x in np.linspace(-4, 0, 20)
    ]

    assert fit_landscape(make_sample(evidence(trials))).log_batches == pytest.approx([math.log10(64)])


def test_a_fit_that_contradicted_its_trials_is_no_more_than_a_rough_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    # Five fresh seeds say 0.0109 to 0.0157 at batch size 32, where a parabola said "0.0067: fairly sure". The trials
    # share one seed, which wants higher rates.
    monkeypatch.setattr(landscapes, "EFFORT", Effort())
    found = _recorded(CONTRADICTED)
    answer, spot = make_answer(found), _spot(_fit(found), 32)

    assert answer.words is Words.LOW
    assert 0.011 < 10**spot.rate < 0.018
    assert answer.learning_rate.value is not None
    assert 0.0109 < answer.learning_rate.value < 0.0165
    assert spot.interval[0] < math.log10(0.0157) < spot.interval[1]


def _recorded(path: Path) -> Evidence:
    """Return the job that a CSV export holds."""
    trials = []
    with path.open() as file:
        for row in csv.DictReader(file):
            params = {
                "learning_rate": float(row["params.learning_rate"]),
                "batch_size": int(row["params.batch_size"]),
            }
            values = {"val_accuracy": float(row["values.val_accuracy"])} if row["values.val_accuracy"] else {}
            trials.append(
                trial(params, state=row["state"], reason=row["reason"] or None, seed=int(row["seed"]), **values)
            )
    rate = FloatParameter(type="float", low=1e-4, high=1.0, log=True)
    space: SearchSpace = {"learning_rate": rate}
    return evidence(
        trials,
        space=space,
        objectives=(Objective(metric="val_accuracy", direction=Direction.MAXIMIZE),),
        ranges={"val_accuracy": (0.0, 1.0)},
    )
