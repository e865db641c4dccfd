"""The rule for what infeasible trials are told to the study as."""

import pytest

from stepsize.domain.trial import TrialState
from stepsize.spec.objective import Objective
from stepsize_workers.stand_ins import End, StandIns, Values

LOSS = Objective.model_validate({"metric": "loss", "direction": "minimize"})
ACCURACY = Objective.model_validate({"metric": "accuracy", "direction": "maximize"})


def feasible(number: int, *values: float) -> End:
    return End(number, {}, TrialState.COMPLETED, values=values)


def infeasible(number: int, stand_in: Values | None = None) -> End:
    return End(number, {}, TrialState.INFEASIBLE, stand_in=stand_in)


def after(*ends: End, objectives: tuple[Objective, ...] = (LOSS,)) -> StandIns:
    stand_ins = StandIns(objectives)
    for end in ends:
        stand_ins.take_in(end)
    return stand_ins


def test_an_infeasible_trial_is_told_the_worst_feasible_value_before_it() -> None:
    foreseen = after(feasible(0, 0.3), feasible(1, 0.7), feasible(2, 0.5)).foresee([infeasible(3)])
    assert foreseen.by_number == {3: (0.7,)}
    assert not foreseen.frees_some


def test_the_worst_is_that_of_each_objective_in_its_own_direction() -> None:
    both = after(feasible(0, 0.3, 0.9), feasible(1, 0.7, 0.95), objectives=(LOSS, ACCURACY))
    assert both.foresee([infeasible(2)]).by_number == {2: (0.7, 0.9)}


def test_what_comes_later_in_a_batch_changes_nothing_for_what_came_before() -> None:
    ends = [infeasible(1), feasible(2, 9.0), infeasible(3)]
    assert after(feasible(0, 0.3)).foresee(ends).by_number == {1: (0.3,), 3: (9.0,)}


def test_the_first_feasible_values_free_those_that_waited() -> None:
    foreseen = after(infeasible(0)).foresee([feasible(1, 0.4), feasible(2, 0.8), infeasible(3)])
    assert foreseen.frees_some
    assert foreseen.first == (0.4,)
    assert foreseen.by_number == {3: (0.8,)}


def test_a_trial_that_waits_within_the_batch_is_freed_too() -> None:
    foreseen = after().foresee([infeasible(0), feasible(1, 0.4)])
    assert (foreseen.first, foreseen.frees_some, foreseen.by_number) == ((0.4,), True, {})


def test_with_nobody_waiting_the_first_feasible_trial_frees_none() -> None:
    assert not after().foresee([feasible(0, 0.4)]).frees_some


def test_with_nothing_feasible_all_wait() -> None:
    foreseen = after(infeasible(0)).foresee([infeasible(1)])
    assert not foreseen
    assert foreseen.first is None


def test_a_stand_in_in_the_record_stays_what_it_is() -> None:
    told = infeasible(1, stand_in=(0.2,))
    assert after(feasible(0, 0.9), told).foresee([told]).by_number == {}
    assert not after(told).foresee([feasible(2, 0.4)]).frees_some


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.PRUNED, TrialState.CANCELLED])
def test_other_ends_neither_have_nor_give_a_stand_in(state: TrialState) -> None:
    other = End(1, {}, state)
    assert after(feasible(0, 0.3)).foresee([other]).by_number == {}
    assert not after(other).foresee([feasible(2, 0.4)]).frees_some


def test_foreseeing_takes_nothing_in() -> None:
    stand_ins = after(feasible(0, 0.3))
    stand_ins.foresee([feasible(1, 0.9)])
    assert stand_ins.foresee([infeasible(2)]).by_number == {2: (0.3,)}


def test_ends_carry_the_stand_ins_foreseen_for_them() -> None:
    foreseen = after(feasible(0, 0.3)).foresee([infeasible(1)])
    assert foreseen.applied_to([infeasible(1)]) == [infeasible(1, stand_in=(0.3,))]
