"""When a bound that a range test found is moved."""

from typing import Any

import pytest

from stepsize.domain.soft_bounds import Edge, Widening, find_widening, first_ended, next_decision
from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.spec.objective import Direction
from tests.builders import bare_trial

BOTH = (Edge.LOW, Edge.HIGH)


def ended(number: int, rate: float, loss: float | None, **more: Any) -> Trial:
    state = TrialState.COMPLETED if loss is not None else TrialState.INFEASIBLE
    known: dict[str, Any] = {
        "state": state,
        "params": {"learning_rate": rate},
        "objective": loss,
        "finished_at": float(number),
    }
    return bare_trial(number, **known | more)


def spread(optimum: float, *, sign: float = 1.0) -> list[Trial]:
    """Twelve rates from 0.01 to 1 on a valley in decades."""
    rates = [10 ** (-2 + 2 * at / 11) for at in range(12)]
    return [ended(at, rate, sign * abs(rate - optimum) / optimum) for at, rate in enumerate(rates)]


def widening(
    trials: list[Trial], soft: tuple[Edge, ...] = BOTH, direction: Direction = Direction.MINIMIZE
) -> Widening | None:
    return find_widening(trials, name="learning_rate", low=0.01, high=1.0, soft=soft, direction=direction)


@pytest.mark.parametrize(("optimum", "edge", "after"), [(0.001, "low", 0.01 * 10**-0.75), (50.0, "high", 10**0.75)])
def test_an_edge_at_which_the_good_trials_lie_is_moved(optimum: float, edge: str, after: float) -> None:
    found = widening(spread(optimum))
    assert found is not None
    assert found.edge == edge
    assert found.after == pytest.approx(after)


def test_an_optimum_in_the_middle_moves_nothing() -> None:
    assert widening(spread(0.1)) is None


def test_only_soft_edges_are_moved() -> None:
    assert widening(spread(0.001), soft=(Edge.HIGH,)) is None
    assert widening(spread(0.001), soft=()) is None


def test_good_is_what_the_objective_says() -> None:
    found = widening(spread(0.001, sign=-1.0), direction=Direction.MAXIMIZE)
    assert found is not None
    assert found.edge is Edge.LOW


def test_a_few_values_gather_nowhere() -> None:
    assert widening([*spread(0.001)[:3], *(ended(20 + at, 0.5, None) for at in range(9))]) is None


def test_decisions_fall_due_at_fixed_numbers_of_trials() -> None:
    at, seen = 0, []
    for n in range(101):
        if (due := next_decision(n, at)) is not None:
            at = due
            seen.append((n, due))
    assert [due for _, due in seen] == [10, 15, 22, 33, 49, 73]
    assert next_decision(40, 0) == 10, "whoever comes late decides as at that number"


def test_the_first_to_end_are_taken_whatever_has_ended_since() -> None:
    trials = [
        ended(0, 0.1, 1.0, finished_at=9.0),
        ended(1, 0.1, 1.0, finished_at=3.0),
        ended(2, 0.1, 1.0, finished_at=5.0),
    ]
    apart = [ended(3, 0.1, 1.0, finished_at=1.0, purpose=TrialPurpose.CONFIRM)]
    assert [one.number for one in first_ended([*trials, *apart], 2)] == [1, 2]
