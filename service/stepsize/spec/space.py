"""Search spaces: what may be varied, from where to where, and under which condition.

What values a parameter can take is said by its class, and nowhere else. A parameter with finitely many values has them
numbered from 0 (`value_number`, `index_of`); any parameter has them at positions between 0 and 1, of which uniform ones
give uniform draws on its own scale (`value_at`, `position_of`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from stepsize.spec.base import LONGEST_NAME, Spec

Scalar = bool | int | float | str
"""What a parameter's value can be. JSON scalars only: no lists, no nested models."""

When = dict[str, list[Scalar]]
"""Parent parameter → the values under which the child applies; several parents are AND-ed."""

Params = Mapping[str, Scalar]

LARGEST_WHOLE = 2**53
"""Beyond it a JSON reader, and the arithmetic of a sampler, can't tell neighbouring whole numbers apart."""
_DIGITS = 15
"""Significant digits that every decimal number keeps as a binary fraction."""
_SMALLEST_STEP_FRAC = 1e-14
"""Of the larger bound: with a smaller step, neighbouring values would be the same to that many digits."""
_TOLERANCE_FRAC = 1e-12
"""Of the larger bound: how far a value may lie from the nearest step, for what programs lose in writing numbers."""


def is_same(one: Scalar, other: Scalar) -> bool:
    """Tell whether two values are the same, their types included: True, 1 and 1.0 are three."""
    return type(one) is type(other) and one == other


def shown(value: Scalar | None) -> str:
    """Return a value as messages quote it: truth values as JSON spells them, text in quotes."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def as_whole(value: Scalar) -> int | None:
    """Return a whole number however it is written, 32.0 for instance; None: it is none."""
    if isinstance(value, bool | str):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


class _Parameter(Spec):
    when: When | None = None
    """Search this parameter only in trials where every named parent has one of the listed values."""

    @property
    def n_values(self) -> int | None:
        """How many values the parameter can take; None: a continuum, or bounds that are still to be found."""
        raise NotImplementedError

    def own(self, value: Scalar) -> Scalar | None:
        """Return a value as the parameter itself has it (32 for a client's 32.0); None: it can't take it."""
        raise NotImplementedError

    def index_of(self, value: Scalar) -> int:
        """Return which of finitely many values this is, from 0."""
        raise NotImplementedError

    def value_number(self, index: int) -> Scalar:
        """Return the value with this index: the inverse of `index_of`."""
        raise NotImplementedError

    def as_searched(self, value: Scalar) -> Scalar:
        """Return a value as the search has it, where it models something else: an exponent, a place in a list."""
        return value

    def from_searched(self, value: Scalar) -> Scalar:
        """Return the search's value as trials and clients have it: the inverse of `as_searched`."""
        return value

    def position_of(self, value: Scalar) -> float:
        """Return where a value lies on the parameter's own scale, in [0, 1]."""
        return (self.index_of(value) + 0.5) / (self.n_values or 1)

    def value_at(self, position: float) -> Scalar:
        """Return the value at a position in [0, 1]: uniform positions give uniform draws on the parameter's scale."""
        n = self.n_values or 1
        return self.value_number(min(int(position * n), n - 1))

    def values(self, *, points: int | None = None) -> list[Scalar]:
        """Return the values a grid visits, ascending (choices in their own order).

        Args:
            points: how many values a continuum gets, evenly spread on its scale, ends included.

        Raises:
            ValueError: a continuum and no `points`.
        """
        if self.n_values is not None:
            return [self.value_number(index) for index in range(self.n_values)]
        if points is None:
            raise ValueError("a grid needs a step, choices, or the sampler's points")
        return [self.value_at(index / max(points - 1, 1)) for index in range(points)]

    def contains(self, value: Scalar) -> bool:
        """Tell whether this is a value the parameter can take."""
        return self.own(value) is not None

    def draw(self, generator: random.Random) -> Scalar:
        """Return a uniform draw on the parameter's scale; its bounds are known."""
        return self.value_at(generator.random())

    def nearest(self, value: Scalar | None) -> Scalar:
        """Return the value nearest to one that was meant for another range; the first where there is no nearest."""
        own = None if value is None else self.own(value)
        return self.value_number(0) if own is None else own


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
        if not self.range_test and not self.is_bounded:
            raise ValueError("give both low and high (or range_test: true for a learning rate)")
        _check_order(self.low, self.high, log=self.log)
        if self.log and self.step is not None:
            raise ValueError("log and step can't be combined; drop one of them")
        if self.range_test and self.step is not None:
            raise ValueError("a range test finds where the steps would begin; drop step, or give low and high")
        if self.is_bounded and math.isinf(self._high - self._low):
            raise ValueError("the range is wider than the largest number there is; bring low and high closer together")
        smallest = _SMALLEST_STEP_FRAC * self._size
        if self.step is not None and self.step < smallest:
            raise ValueError(f"with these bounds a step below {smallest:g} makes no difference; use a larger one")
        return self

    @property
    def is_bounded(self) -> bool:
        """Whether both bounds are known; else a range test is to find them."""
        return self.low is not None and self.high is not None

    @property
    def last(self) -> float:
        """The largest value that steps from `low` reach."""
        return self._high if self.step is None else self._on_step(self._n_steps)

    @property
    def n_values(self) -> int | None:
        if not self.is_bounded:
            return None
        if self.low == self.high:
            return 1
        return None if self.step is None else self._n_steps + 1

    def own(self, value: Scalar) -> float | None:
        if isinstance(value, bool | str) or not self._is_within(value):
            return None
        if self.step is None or self.low is None:
            return float(value)
        nearest = self._on_step(round((float(value) - self.low) / self.step))
        # By the value and not by the step: where that is small, a whole step is but the last digits of a value.
        return nearest if abs(float(value) - nearest) <= _TOLERANCE_FRAC * self._size else None

    def index_of(self, value: Scalar) -> int:
        return 0 if self.step is None else min(round((float(value) - self._low) / self.step), self._n_steps)

    def value_number(self, index: int) -> float:
        return self._low if self.step is None else self._on_step(index)

    def from_searched(self, value: Scalar) -> Scalar:
        # 0.9, not a sampler's 0.8999999999999999
        return value if self.step is None else self.value_number(self.index_of(value))

    def position_of(self, value: Scalar) -> float:
        if self.n_values is not None:
            return super().position_of(value)
        low, high = self._on_scale(self._low), self._on_scale(self._high)
        return (self._on_scale(float(value)) - low) / (high - low)

    def value_at(self, position: float) -> Scalar:
        if self.n_values is not None:
            return super().value_at(position)
        if position in (0.0, 1.0):  # the ends exactly, not through exp and log
            return self._high if position else self._low
        low, high = self._on_scale(self._low), self._on_scale(self._high)
        scaled = low + position * (high - low)
        return min(max(math.exp(scaled) if self.log else scaled, self._low), self._high)

    def nearest(self, value: Scalar | None) -> Scalar:
        own = None if value is None else self.own(value)
        if own is not None or value is None or isinstance(value, bool | str):
            return self._low if own is None else own
        within = min(max(float(value), self._low), self._high)
        return within if self.step is None else self._on_step(self.index_of(within))

    @property
    def _low(self) -> float:
        assert self.low is not None, "bounds are resolved before values are asked for"
        return self.low

    @property
    def _high(self) -> float:
        assert self.high is not None, "bounds are resolved before values are asked for"
        return self.high

    @property
    def _size(self) -> float:
        return max(abs(self.low or 0.0), abs(self.high or 0.0))

    @property
    def _n_steps(self) -> int:
        assert self.step is not None, "asked only where there is a step"
        # 1e-9 of a step: 0.1 + 2 * 0.1 must still reach a high of 0.3.
        return math.floor((self._high - self._low) / self.step + 1e-9)

    def _on_step(self, n_steps: int) -> float:
        """Return the value some steps above `low`, as people write it: 0.3, not 0.30000000000000004."""
        if n_steps == 0 or self.step is None:
            return self._low
        return min(max(float(f"{self._low + n_steps * self.step:.{_DIGITS}g}"), self._low), self._high)

    def _is_within(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _on_scale(self, value: float) -> float:
        return math.log(value) if self.log else value


class IntParameter(_Parameter):
    """A whole number between `low` and `high`, both reachable."""

    type: Literal["int"]
    low: int = Field(ge=-LARGEST_WHOLE, le=LARGEST_WHOLE)
    high: int = Field(ge=-LARGEST_WHOLE, le=LARGEST_WHOLE)
    log: bool = False
    """Search on a logarithmic scale."""
    step: int = Field(default=1, gt=0)
    """Distance between neighbouring values."""
    powers_of_two: bool = False
    """Only powers of two: the exponent is searched, the power is what trials and clients see."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_order(self.low, self.high, log=self.log)
        if self.step != 1 and (self.log or self.powers_of_two):
            raise ValueError("step can't be combined with log or powers_of_two; drop one of them")
        if self.powers_of_two and self.log:
            raise ValueError("powers_of_two is logarithmic already; drop log")
        if self.powers_of_two and not (_is_power_of_two(self.low) and _is_power_of_two(self.high)):
            raise ValueError(
                f"with powers_of_two both low and high must be powers of two, not {self.low} and {self.high}"
            )
        return self

    @property
    def last(self) -> int:
        """The largest value that steps from `low` reach."""
        return self.value_number(self.n_values - 1)

    @property
    def n_values(self) -> int:
        if self.powers_of_two:
            return self.high.bit_length() - self.low.bit_length() + 1
        return (self.high - self.low) // self.step + 1

    def own(self, value: Scalar) -> int | None:
        whole = as_whole(value)
        if whole is None or not self.low <= whole <= self.high:
            return None
        is_one = _is_power_of_two(whole) if self.powers_of_two else (whole - self.low) % self.step == 0
        return whole if is_one else None

    def index_of(self, value: Scalar) -> int:
        if self.powers_of_two:
            return int(value).bit_length() - self.low.bit_length()
        return (int(value) - self.low) // self.step

    def value_number(self, index: int) -> int:
        return self.low << index if self.powers_of_two else self.low + index * self.step

    def as_searched(self, value: Scalar) -> Scalar:
        return int(value).bit_length() - 1 if self.powers_of_two else value

    def from_searched(self, value: Scalar) -> Scalar:
        return 1 << int(value) if self.powers_of_two else value

    def position_of(self, value: Scalar) -> float:
        if not self._is_smooth:
            return super().position_of(value)
        low, high = self._smooth_bounds
        return (math.log(value) - low) / (high - low) if not isinstance(value, str) else 0.0

    def value_at(self, position: float) -> Scalar:
        if not self._is_smooth:
            return super().value_at(position)
        low, high = self._smooth_bounds
        return min(max(round(math.exp(low + position * (high - low))), self.low), self.high)

    def nearest(self, value: Scalar | None) -> Scalar:
        if value is None or isinstance(value, bool | str):
            return self.low
        index = self.index_of(min(max(math.floor(value), self.low), self.high))
        around = [self.value_number(one) for one in (index, index + 1) if one < self.n_values]
        return min(around, key=lambda one: abs(one - value))

    @property
    def searched(self) -> IntParameter:
        """What is searched in its place: of powers of two the exponents, else itself."""
        if not self.powers_of_two:
            return self
        return IntParameter(type="int", low=self.low.bit_length() - 1, high=self.high.bit_length() - 1)

    @property
    def _is_smooth(self) -> bool:
        """Whether positions follow the logarithm of the value, not its place in a list."""
        return self.log and self.low != self.high

    @property
    def _smooth_bounds(self) -> tuple[float, float]:
        """Logarithms of the ends; a whole number owns the half on either side of it, as it does to Optuna."""
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


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

    @property
    def n_values(self) -> int:
        return len(self.choices)

    def own(self, value: Scalar) -> Scalar | None:
        if is_among(value, self.choices):
            return value
        if isinstance(value, bool | str):
            return None
        # JSON has one kind of number: JavaScript and jq write the choice 1.0 as 1.
        return next((choice for choice in self.choices if not isinstance(choice, bool) and choice == value), None)

    @property
    def is_typed(self) -> bool:
        """Whether only their types tell some choices apart, True from 1: Optuna takes those for one."""
        return len(set(self.choices)) < len(self.choices)

    def index_of(self, value: Scalar) -> int:
        return next(index for index, choice in enumerate(self.choices) if is_same(choice, value))

    def value_number(self, index: int) -> Scalar:
        return self.choices[index]

    def as_searched(self, value: Scalar) -> Scalar:
        return self.index_of(value) if self.is_typed else value

    def from_searched(self, value: Scalar) -> Scalar:
        return self.choices[int(value)] if self.is_typed else value


AnyParameter = FloatParameter | IntParameter | CategoricalParameter
Parameter = Annotated[AnyParameter, Field(discriminator="type")]
SearchSpace = dict[Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)], Parameter]


def applies(parameter: Parameter, params: Params) -> bool:
    """Tell whether the parameter's `when` holds under `params`: every parent present with a listed value."""
    return all(
        parent in params and is_among(params[parent], values) for parent, values in (parameter.when or {}).items()
    )


def is_among(value: Scalar, values: Sequence[Scalar]) -> bool:
    """Tell whether a value is one of these, types included."""
    return any(is_same(value, other) for other in values)


def own_params(space: SearchSpace, params: Params) -> dict[str, Scalar]:
    """Return a configuration as the space itself has its values; what it can't take is left as it is."""
    return {name: _own_or_given(space[name], value) if name in space else value for name, value in params.items()}


def in_dependency_order(space: SearchSpace) -> list[str]:
    """Return parameter names with parents before children, else in the order given (`when` is one level deep)."""
    return [name for name in space if not space[name].when] + [name for name in space if space[name].when]


def draw_params(space: SearchSpace, generator: random.Random) -> dict[str, Scalar]:
    """Return a uniform draw of every parameter that applies; bounds that are still to be found are left out."""
    params: dict[str, Scalar] = {}
    for name in in_dependency_order(space):
        parameter = space[name]
        if applies(parameter, params) and not (isinstance(parameter, FloatParameter) and not parameter.is_bounded):
            params[name] = parameter.draw(generator)
    return params


def _own_or_given(parameter: Parameter, value: Scalar) -> Scalar:
    own = parameter.own(value)
    return value if own is None else own


def _check_order(low: float | None, high: float | None, *, log: bool) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"low ({low}) is above high ({high}); swap them")
    if log and low is not None and low <= 0:
        raise ValueError(f"a log scale needs low above 0, not {low}")


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
