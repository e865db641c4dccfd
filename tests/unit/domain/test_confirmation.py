"""Which configurations check an answer: a pure function of what was found."""

import pytest
from pydantic import TypeAdapter

from stepsize.domain.confirmation import Recommendation, Rival, draw_checks
from stepsize.spec.confirm import ConfirmShare, n_kept
from stepsize.spec.space import Params, SearchSpace

RATE = {"type": "float", "low": 1e-4, "high": 1.0, "log": True}
BATCH = {"type": "int", "low": 16, "high": 256, "powers_of_two": True}
OPTIMIZER = {"type": "categorical", "choices": ["sgd", "adam"]}
MOMENTUM = {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": ["sgd"]}}


def space(**parameters: object) -> SearchSpace:
    return TypeAdapter(SearchSpace).validate_python(parameters)


BEST: list[Params] = [
    {"learning_rate": 0.5, "batch_size": 16, "optimizer": "adam"},
    {"learning_rate": 0.1, "batch_size": 64, "optimizer": "sgd", "momentum": 0.8},
    {"learning_rate": 0.2, "batch_size": 128, "optimizer": "sgd", "momentum": 0.3},
]
WIDE = space(learning_rate=RATE, batch_size=BATCH, optimizer=OPTIMIZER, momentum=MOMENTUM)


@pytest.mark.parametrize(("n", "n_beside"), [(1, 0), (3, 0), (8, 0), (9, 4), (10, 5), (15, 7)])
def test_half_are_recommended_and_below_nine_all(n: int, n_beside: int) -> None:
    found = draw_checks(Recommendation(0.01), [{"learning_rate": 0.02}], space(learning_rate=RATE), n)
    rates = [float(params["learning_rate"]) for params in found]
    assert rates[: n - n_beside] == [0.01] * (n - n_beside)
    beside = rates[n - n_beside :]
    assert sorted(set(beside)) == pytest.approx([0.01 * 10**-0.25, 0.01 * 10**0.25] if beside else [])
    assert len(beside) == n_beside
    assert abs(beside.count(min(beside, default=0)) - beside.count(max(beside, default=0))) <= 1


def test_what_the_answer_says_stands_and_the_rest_is_the_best_trials_that_goes_with_it() -> None:
    found = draw_checks(Recommendation(0.03, batch_size=128, choices={"optimizer": "sgd"}), BEST, WIDE, 3)
    assert found == [{"learning_rate": 0.03, "batch_size": 128, "optimizer": "sgd", "momentum": 0.3}] * 3


def test_what_the_answer_leaves_open_is_as_in_the_best_trial() -> None:
    found = draw_checks(Recommendation(0.03), BEST, WIDE, 1)
    assert found == [{"learning_rate": 0.03, "batch_size": 16, "optimizer": "adam"}]


def test_a_choice_that_no_trial_made_gets_what_applies_then() -> None:
    found = draw_checks(Recommendation(0.03, choices={"optimizer": "sgd"}), BEST[:1], WIDE, 1)
    assert found == [{"learning_rate": 0.03, "batch_size": 16, "optimizer": "sgd", "momentum": 0.0}]


def test_a_choice_that_may_be_as_good_is_checked_instead_of_the_neighbours() -> None:
    rivals = [Rival("optimizer", "adam", 0.03), Rival("optimizer", "sgd", 0.1)]
    found = draw_checks(Recommendation(0.03, batch_size=128, rivals=rivals), BEST, WIDE, 9)
    assert found[:5] == [{"learning_rate": 0.03, "batch_size": 128, "optimizer": "sgd", "momentum": 0.3}] * 5
    assert found[5:] == [{"learning_rate": 0.03, "batch_size": 128, "optimizer": "adam"}] * 4
    assert {params["optimizer"] for params in draw_checks(Recommendation(0.03, rivals=rivals), BEST, WIDE, 8)} == {
        "adam"
    }


def test_of_many_rivals_the_most_promising_are_checked_twice_or_more() -> None:
    kinds = {"type": "categorical", "choices": ["a", "b", "c", "d", 1, True]}
    wide = space(learning_rate=RATE, kind=kinds)
    rivals = [Rival("kind", kind, 0.03) for kind in (1, True, "b", "c", "d")]
    found = draw_checks(Recommendation(0.03, rivals=rivals), [{"learning_rate": 0.02, "kind": True}], wide, 9)
    kinds_checked = [params["kind"] for params in found]
    assert [repr(kind) for kind in kinds_checked] == ["True"] * 5 + ["1", "'b'", "1", "'b'"]


def test_neighbours_stay_in_the_space_and_within_the_constraints() -> None:
    edge = draw_checks(Recommendation(1.0), [{"learning_rate": 1.0}], space(learning_rate=RATE), 10)
    assert sorted({float(params["learning_rate"]) for params in edge}) == pytest.approx([10**-0.25, 1.0])
    kept = draw_checks(
        Recommendation(0.1),
        [{"learning_rate": 0.1}],
        space(learning_rate=RATE),
        10,
        is_allowed=lambda params: float(params["learning_rate"]) <= 0.1,
    )
    assert sorted({float(params["learning_rate"]) for params in kept}) == pytest.approx([0.1 * 10**-0.25, 0.1])


def test_rates_that_are_listed_are_checked_as_they_are_listed() -> None:
    listed = space(learning_rate={"type": "categorical", "choices": [1e-3, 1e-2, 1e-1]})
    found = draw_checks(Recommendation(0.013), [{"learning_rate": 1e-2}], listed, 9)
    assert found == [{"learning_rate": 1e-2}] * 9, "a quarter of a decade leads to no other choice"


def test_without_a_searched_rate_the_best_configuration_is_checked() -> None:
    assert draw_checks(None, [{"width": 8}, {"width": 4}], space(width=BATCH), 2) == [{"width": 8}] * 2


def test_there_is_nothing_to_check_without_an_answer_or_a_trial() -> None:
    assert draw_checks(None, BEST, WIDE, 5) == []
    assert draw_checks(Recommendation(0.1), [], WIDE, 5) == []
    assert draw_checks(Recommendation(0.1), BEST, WIDE, 0) == []
    assert draw_checks(Recommendation(0.1), BEST, WIDE, 5, is_allowed=lambda _: False) == []


def test_a_share_of_the_trials_is_kept() -> None:
    assert [n_kept(True, n) for n in (20, 40, 60)] == [3, 6, 9]
    assert n_kept(ConfirmShare(share=0.5), 7) == 3
    assert n_kept(False, 100) == n_kept(None, 100) == 0
