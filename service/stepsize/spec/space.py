"""Search spaces: what may be varied, from where to where, and under which condition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stepsize.spec.base import Spec

Scalar = bool | int | float | str
"""What a parameter's value can be. JSON scalars only: no lists, no nested models."""

When = dict[str, list[Scalar]]
"""Parent parameter → the values under which the child applies; several parents are AND-ed."""

Params = Mapping[str, Scalar]


class _Parameter(Spec):
    when: When | None = None
    """Search this parameter only in trials where every named parent has one of the listed values."""


class FloatParameter(_Parameter):
    """A real number between `low` and `high`, both reachable."""

    type: Literal["float"]
    low: float | None = None
    """Smallest value; needed unless `range_test` finds it."""
    high: float | None = None
    """Largest value; needed unless `range_test` finds it."""
    log: bool = False
    """Search on a logarithmic scale: what learning rates need."""
    step: float | None = Field(default=None, gt=0)
    """Distance between neighbouring values; null: continuous."""
    range_test: bool = False
    """Learning rate only: find `low` and `high` with LR range tests before the search starts."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if not self.range_test and (self.low is None or self.high is None):
            raise ValueError("give both low and high (or range_test: true for a learning rate)")
        _check_bounds(self.low, self.high, log=self.log)
        if self.log and self.step is not None:
            raise ValueError("log and step can't be combined; drop one of them")
        if self.low is not None and self.high is not None and math.isinf(self.high - self.low):
            raise ValueError("the range is wider than the largest number there is; bring low and high closer together")
        return self


class IntParameter(_Parameter):
    """A whole number between `low` and `high`, both reachable."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    """Search on a logarithmic scale."""
    step: int = Field(default=1, gt=0)
    """Distance between neighbouring values."""
    powers_of_two: bool = False
    """Only powers of two: the exponent is searched, the power is what trials and clients see."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_bounds(self.low, self.high, log=self.log)
        if self.step != 1 and (self.log or self.powers_of_two):
            raise ValueError("step can't be combined with log or powers_of_two; drop one of them")
        if self.powers_of_two and self.log:
            raise ValueError("powers_of_two is logarithmic already; drop log")
        if self.powers_of_two and not (_is_power_of_two(self.low) and _is_power_of_two(self.high)):
            raise ValueError(
                f"with powers_of_two both low and high must be powers of two, not {self.low} and {self.high}"
            )
        return self


class CategoricalParameter(_Parameter):
    """One of a list of values without an order."""

    type: Literal["categorical"]
    choices: list[Scalar] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _check_unique(self) -> Self:
        seen = {(type(choice), choice) for choice in self.choices}
        if len(seen) != len(self.choices):
            raise ValueError("choices must differ from each other")
        return self


Parameter = Annotated[FloatParameter | IntParameter | CategoricalParameter, Field(discriminator="type")]
SearchSpace = dict[str, Parameter]


def contains(parameter: Parameter, value: Scalar) -> bool:
    """Tell whether `value` is one the parameter can take."""
    match parameter:
        case CategoricalParameter():
            return any(type(value) is type(choice) and value == choice for choice in parameter.choices)
        case IntParameter():
            return (
                isinstance(value, int)
                and not isinstance(value, bool)
                and parameter.low <= value <= parameter.high
                and (value - parameter.low) % parameter.step == 0
                and (not parameter.powers_of_two or _is_power_of_two(value))
            )
        case FloatParameter():
            return (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and (parameter.low is None or value >= parameter.low)
                and (parameter.high is None or value <= parameter.high)
                and _is_on_step(parameter, value)
            )


def applies(parameter: Parameter, params: Params) -> bool:
    """Tell whether the parameter's `when` holds under `params`: every parent present with a listed value."""
    return all(
        parent in params and any(params[parent] == value for value in values)
        for parent, values in (parameter.when or {}).items()
    )


def in_dependency_order(space: SearchSpace) -> list[str]:
    """Return parameter names with parents before children, else in the order given (`when` is one level deep)."""
    return [name for name in space if not space[name].when] + [name for name in space if space[name].when]


def grid_values(parameter: Parameter, *, points: int | None) -> list[Scalar]:
    """Return the values a grid visits, ascending (choices in their own order).

    Args:
        points: how many values a continuous float gets, evenly spread on its scale, ends included.

    Raises:
        ValueError: a continuous float and no `points`.
    """
    match parameter:
        case CategoricalParameter():
            return list(parameter.choices)
        case IntParameter(powers_of_two=True):
            return [1 << exponent for exponent in range(_log2(parameter.low), _log2(parameter.high) + 1)]
        case IntParameter():
            return list(range(parameter.low, parameter.high + 1, parameter.step))
        case FloatParameter():
            return list(_float_values(parameter, points))


def value_after(n_steps: int, *, step: float, low: float, high: float) -> float:
    """Return the value some steps above `low`, as people write it: 0.3, not 0.30000000000000004."""
    return min(max(float(f"{low + n_steps * step:.15g}"), low), high)


def _float_values(parameter: FloatParameter, points: int | None) -> Iterator[float]:
    assert parameter.low is not None, "bounds are resolved before a grid is laid"
    assert parameter.high is not None, "bounds are resolved before a grid is laid"
    low, high = parameter.low, parameter.high
    if parameter.step is not None:
        # 1e-9 of a step: 0.1 + 2 * 0.1 must still reach a high of 0.3.
        n_steps = math.floor((high - low) / parameter.step + 1e-9)
        yield from (value_after(index, step=parameter.step, low=low, high=high) for index in range(n_steps + 1))
        return
    if low == high:
        yield low
        return
    if points is None:
        raise ValueError("a grid needs a step, choices, or the sampler's points")
    fractions = [index / (points - 1) for index in range(points)] if points > 1 else [0.0]
    for fraction in fractions:
        if fraction in (0.0, 1.0):  # the ends exactly, not through exp and log
            yield high if fraction else low
        elif parameter.log:
            yield math.exp(math.log(low) + fraction * (math.log(high) - math.log(low)))
        else:
            yield low + fraction * (high - low)


def _check_bounds(low: float | None, high: float | None, *, log: bool) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"low ({low}) is above high ({high}); swap them")
    if log and low is not None and low <= 0:
        raise ValueError(f"a log scale needs low above 0, not {low}")


def _is_on_step(parameter: FloatParameter, value: float) -> bool:
    """Tell whether a value lies a whole number of steps from `low`, give or take what binary fractions cost."""
    if parameter.step is None or parameter.low is None:
        return True
    n_steps = (value - parameter.low) / parameter.step
    return abs(n_steps - round(n_steps)) < 1e-8  # Optuna's own tolerance


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _log2(power: int) -> int:
    return power.bit_length() - 1
