"""Directions: which value is better."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.spec.objective import Direction, Objective


@given(st.sampled_from(Direction), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_better_value_costs_less(direction: Direction, one: float, other: float) -> None:
    assert direction.is_better(one, other) == (direction.cost(one) < direction.cost(other))
    assert direction.cost(direction.cost(one)) == one
    assert not direction.is_better(direction.worst([one, other]), one)


@pytest.mark.parametrize(
    ("direction", "value", "is_met"), [("minimize", 0.1, True), ("minimize", 0.3, False), ("maximize", 0.2, True)]
)
def test_a_target_is_met_by_a_value_at_least_as_good(direction: str, value: float, is_met: bool) -> None:
    objective = Objective(metric="loss", direction=Direction(direction), target=0.2)
    assert objective.is_met(value) is is_met
    assert not Objective(metric="loss", direction=Direction(direction)).is_met(value)
