"""Means over fresh seeds, and which configurations can't be told apart; against scipy."""

import random
from typing import Any

import pytest
from scipy import stats

from stepsize.domain.replication import Replication, group_replicates, rank, tied_with
from stepsize.domain.student_t import t_quantile
from stepsize.domain.trial import Trial, TrialState
from stepsize.spec.objective import Direction
from tests.contracts.test_resume import finished_trial

DEGREES = [1, 1.3, 2, 4, 8.7, 30, 200, 5000]


def _trial(number: int, objective: float, **changes: Any) -> Trial:
    fields = vars(finished_trial(number)) | {"objective": objective} | changes
    return Trial(**fields)


@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9995])
@pytest.mark.parametrize("df", DEGREES)
def test_quantiles_of_student_t_are_scipys(df: float, probability: float) -> None:
    # 1e-9: both are good to about 1e-12 relative.
    assert t_quantile(probability, df=df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-9)


def test_a_mean_has_students_interval() -> None:
    values = (0.9, 1.0, 1.1, 1.4)
    mean = Replication(values).mean
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (mean.value, mean.low, mean.high) == pytest.approx((1.1, low, high), rel=1e-9)


def test_a_single_replicate_has_a_mean_without_an_interval() -> None:
    mean = Replication((0.5,)).mean
    assert (mean.value, mean.low, mean.high) == (0.5, None, None)
    assert mean.caveat


@pytest.mark.parametrize("seed", range(20))
def test_ties_are_where_welchs_interval_holds_zero(seed: int) -> None:
    draw = random.Random(seed)
    one = tuple(draw.gauss(0.0, 1.0) for _ in range(5))
    other = tuple(draw.gauss(1.5, 0.3) for _ in range(4))
    low, high = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    tied = tied_with(0, {0: Replication(one), 7: Replication(other)})
    assert tied == ([7] if low <= 0 <= high else [])


def test_both_outcomes_occur_in_the_test_above() -> None:
    outcomes = set()
    for seed in range(20):
        draw = random.Random(seed)
        groups = {0: Replication(tuple(draw.gauss(0.0, 1.0) for _ in range(5)))}
        groups[7] = Replication(tuple(draw.gauss(1.5, 0.3) for _ in range(4)))
        outcomes.add(bool(tied_with(0, groups)))
    assert outcomes == {True, False}


def test_replicates_that_do_not_differ_at_all_are_tied_only_if_equal() -> None:
    groups = {0: Replication((1.0, 1.0)), 1: Replication((1.0, 1.0)), 2: Replication((2.0, 2.0))}
    assert tied_with(0, groups) == [1]


def test_one_replicate_ties_with_nothing() -> None:
    assert tied_with(0, {0: Replication((1.0,)), 1: Replication((1.0, 1.1))}) == []
    assert tied_with(5, {0: Replication((1.0, 1.1))}) == []


@pytest.mark.parametrize(
    ("direction", "order"), [(Direction.MINIMIZE, [1, 0, 2, 3]), (Direction.MAXIMIZE, [0, 1, 3, 2])]
)
def test_replicated_trials_go_first_by_their_means_then_the_others(direction: Direction, order: list[int]) -> None:
    trials = [_trial(0, 0.1), _trial(1, 0.2), _trial(2, 0.3), _trial(3, 0.4)]
    replications = {0: Replication((0.5, 0.7)), 1: Replication((0.3, 0.5)), 3: Replication((0.0,))}
    assert [trial.number for trial in rank(trials, replications, direction)] == order


def test_only_completed_replicates_count() -> None:
    trials = [
        _trial(0, 0.1),
        _trial(1, 0.2, replicate_of=0),
        _trial(2, 0.3, replicate_of=0, state=TrialState.FAILED),
        _trial(3, 0.4, replicate_of=0),
    ]
    assert group_replicates(trials) == {0: Replication((0.2, 0.4))}
