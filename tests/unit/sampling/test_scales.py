"""Positions and values of parameters, one the inverse of the other."""

import math
import random
from collections import Counter

import pytest
from pydantic import TypeAdapter

from stepsize.spec.space import Parameter, contains, grid_values
from stepsize_workers.sampling.distributions import distribution_of, from_optuna
from stepsize_workers.sampling.scales import index_of, n_values, position_of, value_at

DISCRETE: dict[str, dict[str, object]] = {
    "choices": {"type": "categorical", "choices": [True, 1, "one"]},
    "powers": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "steps": {"type": "int", "low": 1, "high": 8, "step": 3},
    "logarithmic": {"type": "int", "low": 3, "high": 9, "log": True},
    "stepped": {"type": "float", "low": 0.0, "high": 0.99, "step": 0.33},
    "single": {"type": "float", "low": 0.5, "high": 0.5},
}
CONTINUOUS: dict[str, dict[str, object]] = {
    "linear": {"type": "float", "low": -1.0, "high": 3.0},
    "log": {"type": "float", "low": 1e-6, "high": 10.0, "log": True},
}


def parameter(body: dict[str, object]) -> Parameter:
    return TypeAdapter[Parameter](Parameter).validate_python(body)


@pytest.mark.parametrize("name", DISCRETE)
def test_every_value_of_a_discrete_parameter_is_counted_and_found(name: str) -> None:
    one = parameter(DISCRETE[name])
    values = grid_values(one, points=1)
    assert n_values(one) == len(values)
    assert [index_of(one, value) for value in values] == list(range(len(values)))
    assert [value_at(one, position_of(one, value)) for value in values] == values


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_continuous_value_keeps_its_position(name: str) -> None:
    one = parameter(CONTINUOUS[name])
    assert n_values(one) is None
    for position in (0.0, 0.25, 0.999):
        # 1e-12: a logarithm and its inverse.
        assert math.isclose(position_of(one, value_at(one, position)), position, abs_tol=1e-12)


@pytest.mark.parametrize("name", [*DISCRETE, *CONTINUOUS])
def test_uniform_positions_give_values_the_parameter_can_take(name: str) -> None:
    one, draw = parameter((DISCRETE | CONTINUOUS)[name]), random.Random(0)
    assert all(contains(one, value_at(one, draw.random())) for _ in range(200))


def test_uniform_positions_give_choices_in_equal_shares() -> None:
    one, draw = parameter(DISCRETE["powers"]), random.Random(0)
    counts = Counter(value_at(one, draw.random()) for _ in range(5000))
    # 5 values, 1000 each; a binomial's standard deviation is 28, five of them are 140.
    assert all(abs(count - 1000) < 140 for count in counts.values())


@pytest.mark.parametrize(("low", "high", "step"), [(0.0, 1.0, 0.3), (1e-5, 1.0, 1e-3), (0.0, 1e-11, 1e-12), (0, 1, 3)])
def test_a_step_that_does_not_divide_the_range_ends_at_the_last_it_reaches(
    low: float, high: float, step: float
) -> None:
    one = parameter({"type": "float", "low": low, "high": high, "step": step})
    assert distribution_of(one).high == grid_values(one, points=None)[-1]  # type: ignore[attr-defined]


def test_a_step_is_seen_as_people_write_it() -> None:
    one = parameter({"type": "float", "low": 0.0, "high": 1.0, "step": 0.3})
    assert from_optuna(one, 3 * 0.3) == 0.9 != 3 * 0.3


def test_a_single_value_is_kept_to_its_last_digit() -> None:
    one = parameter({"type": "float", "low": 1e-14, "high": 1e-14, "log": True})
    assert grid_values(one, points=None) == [1e-14] == [value_at(one, 0.0)]
