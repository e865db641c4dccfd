"""Parts of the report that need no valley: divergence, importances, pruned trials, intervals, fronts."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.analysis import intervals
from stepsize.analysis.divergence import divergence, find_danger
from stepsize.analysis.importances import importances
from stepsize.analysis.sample import make_sample
from stepsize.domain.evidence import Evidence
from stepsize.domain.front import non_dominated
from stepsize.domain.report import Divergence
from stepsize.spec.space import FloatParameter
from tests.unit.analysis.designs import BATCH_SIZES, SPACE, evidence, trial, valley_evidence


def _with_edge(n: int, *, moves: float = 0.0, seed: int = 0) -> Evidence:
    """Trials that diverge from 0.1 · (B / 32)^moves on, sharply."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(n):
        x, size = float(rng.uniform(-3, 1)), int(rng.choice(BATCH_SIZES))
        params = {"learning_rate": 10**x, "batch_size": size}
        if x > -1 + moves * math.log10(size / 32):
            trials.append(trial(params, state="infeasible", reason="diverged"))
        else:
            trials.append(trial(params, loss=1.0 + x))
    return evidence(trials)


def _divergence(found: Evidence) -> Divergence:
    sample = make_sample(found)
    return divergence(sample, find_danger(sample))


def test_the_divergence_edge_lies_between_what_trained_and_what_diverged() -> None:
    found = _divergence(_with_edge(200, moves=0.5))

    assert [row.batch_size for row in found.frontier] == list(BATCH_SIZES)
    for row in found.frontier:
        edge = 0.1 * math.sqrt((row.batch_size or 0) / 32)
        low, high = row.learning_rate.low, row.learning_rate.high
        assert low is not None
        assert high is not None
        assert low <= edge <= high
        # 40 trials over 4 decades at each size: neighbours lie a tenth of a decade apart, gaps of 0.4 are rare.
        assert row.learning_rate.value == pytest.approx(edge, rel=0.6)
    assert f"{found.n_diverged} of 200 trials diverged" in found.sentence


def test_without_divergence_there_is_no_frontier() -> None:
    found = _divergence(valley_evidence(30))

    assert found.frontier == []
    assert found.sentence == "No trial diverged."
    only_adam = divergence(make_sample(valley_evidence(30)), None, choices={"optimizer": "adam"})
    assert only_adam.sentence == "No trial with optimizer adam diverged."
    assert found.share.value == 0.0
    assert found.share.high is not None
    # Wilson's interval for 0 of 30: z² / (n + z²) = 3.84 / 33.84.
    assert found.share.high == pytest.approx(0.1135, abs=0.001)


def test_running_out_of_memory_is_not_divergence() -> None:
    trials = [
        trial({"learning_rate": 0.01, "batch_size": size}, state="infeasible", reason="oom") for size in (128, 256)
    ]
    found = _divergence(evidence(trials))

    assert (found.n_diverged, found.n_out_of_memory, found.smallest_oom_batch_size) == (0, 2, 128)


def test_importances_name_the_parameter_that_matters() -> None:
    found = valley_evidence(150, exponent=0.0)
    result = importances(make_sample(found), found)

    first, second = result.items
    assert first.parameter == "learning_rate"
    assert first.importance.value is not None
    assert second.importance.value is not None
    assert first.importance.value > 0.8, "the batch size does nothing in this valley"
    assert first.importance.value + second.importance.value == pytest.approx(1.0)
    assert result.caveat is None


@pytest.mark.parametrize("n", [5, 99])
def test_importances_of_fewer_than_a_hundred_trials_cannot_be_told(n: int) -> None:
    found = valley_evidence(n)
    result = importances(make_sample(found), found)

    assert all(item.importance.value is None for item in result.items)
    assert f"from {n} trials" in (result.caveat or "")


def test_importances_of_more_parameters_than_a_third_of_the_trials_cannot_be_told() -> None:
    found = valley_evidence(100)
    more = {f"p{index}": FloatParameter(type="float", low=0.0, high=1.0) for index in range(40)}
    result = importances(make_sample(found), replace(found, space={**SPACE, **more}))

    assert all(item.importance.value is None for item in result.items)
    assert "42 parameters" in (result.caveat or "")


def test_a_pruned_trial_counts_with_what_completed_ones_gained_after_its_step() -> None:
    # Every completed trial halves its loss from step 2 on, so the pruned one would have ended at 0.9.
    finals = (0.1, 0.3, 0.7, 1.1)
    completed = [trial({"learning_rate": 0.01}, loss=final) for final in finals]
    pruned = trial({"learning_rate": 1.0}, state="pruned", step=2, loss=1.8)
    rungs = [(number, 2, 2 * final) for number, final in enumerate(finals)]
    sample = make_sample(evidence([*completed, pruned], rungs=rungs))

    # In log loss all gains are alike, but for what softens the logarithm near 0.
    assert sample.cost[4] == pytest.approx(0.9, rel=0.03)
    assert sample.y_sd[4] == pytest.approx(0.0, abs=0.03)


def test_a_pruned_trial_is_as_uncertain_as_the_gains_differ() -> None:
    finals = (0.1, 0.3, 0.7, 1.1)
    completed = [trial({"learning_rate": 0.01}, loss=final) for final in finals]
    pruned = trial({"learning_rate": 1.0}, state="pruned", step=2, loss=1.8)
    rungs = [
        (number, 2, final * factor) for number, (final, factor) in enumerate(zip(finals, (1, 2, 3, 4), strict=True))
    ]
    sample = make_sample(evidence([*completed, pruned], rungs=rungs))

    assert 0.2 < sample.y_sd[4] < 1.0  # the gains: log 1, 2, 3 and 4


def test_a_pruned_trial_that_nothing_compares_with_does_not_count() -> None:
    sample = make_sample(evidence([trial({"learning_rate": 1.0}, state="pruned", step=2, loss=1.75)]))

    assert not sample.has_cost[0]


def test_a_mean_has_students_interval() -> None:
    found = intervals.mean(np.array([1.0, 2.0, 3.0, math.nan]))

    # t(0.975, 2) = 4.3027; standard error 1 / sqrt(3).
    assert found.value == 2.0
    assert found.high == pytest.approx(2 + 4.30265 / math.sqrt(3), rel=1e-5)


def test_one_value_has_no_interval_and_says_why() -> None:
    found = intervals.mean(np.array([1.0]))

    assert (found.value, found.low, found.caveat) == (1.0, None, "one trial only")


def test_a_deviation_has_the_chi_square_interval() -> None:
    found = intervals.deviation(4.0, 10)

    # chi²(0.025, 10) = 3.2470 and chi²(0.975, 10) = 20.4832.
    assert found.low == pytest.approx(2 * math.sqrt(10 / 20.4832), rel=1e-4)
    assert found.high == pytest.approx(2 * math.sqrt(10 / 3.2470), rel=1e-4)


_POINTS = st.integers(1, 3).flatmap(
    lambda size: st.lists(st.tuples(*[st.integers(0, 4).map(float)] * size), min_size=1, max_size=30)
)


@given(_POINTS)
def test_a_front_holds_exactly_the_points_that_nothing_dominates(points: list[tuple[float, ...]]) -> None:
    def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))

    front = non_dominated(points)

    assert set(front) == {
        index for index, point in enumerate(points) if not any(dominates(other, point) for other in points)
    }
    assert all(points[one] <= points[other] for one, other in pairwise(front)), "by the first cost"


def test_an_empty_front_is_empty() -> None:
    assert non_dominated([]) == []


@pytest.mark.parametrize(("values", "caveat"), [([1.0], "one trial only"), ([1.0, 2.0], "two trials only")])
def test_a_mean_of_fewer_than_three_is_a_guess_that_says_why(values: list[float], caveat: str) -> None:
    found = intervals.mean(np.array([*values, math.nan]))
    assert (found.is_guess, found.caveat) == (True, caveat)
    assert not intervals.mean(np.array([1.0, 2.0, 3.0])).is_guess
