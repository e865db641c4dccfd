"""Where a parameter's values lie between its ends, and how many there are."""

import math

from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Parameter, Scalar, value_after


def n_values(parameter: Parameter) -> int | None:
    """Return how many values a parameter can take; None: a continuum."""
    match parameter:
        case CategoricalParameter():
            return len(parameter.choices)
        case IntParameter(powers_of_two=True):
            return parameter.high.bit_length() - parameter.low.bit_length() + 1
        case IntParameter():
            return (parameter.high - parameter.low) // parameter.step + 1
        case FloatParameter():
            if parameter.low is None or parameter.high is None:
                return None
            if parameter.low == parameter.high:
                return 1
            # 1e-9 of a step: 0.1 + 2 * 0.1 must still reach a high of 0.3.
            n_steps = None if parameter.step is None else (parameter.high - parameter.low) / parameter.step + 1e-9
            return None if n_steps is None else math.floor(n_steps) + 1


def index_of(parameter: Parameter, value: Scalar) -> int:
    """Return which of its values a parameter with a finite number of them has, from 0."""
    match parameter:
        case CategoricalParameter():
            return next(i for i, choice in enumerate(parameter.choices) if _is_same(choice, value))
        case IntParameter(powers_of_two=True):
            return int(value).bit_length() - parameter.low.bit_length()
        case IntParameter():
            return (int(value) - parameter.low) // parameter.step
        case FloatParameter():
            low, _ = _bounds(parameter)
            return round((float(value) - low) / (parameter.step or 1.0))


def position_of(parameter: Parameter, value: Scalar) -> float:
    """Return where a value lies on the parameter's own scale, in [0, 1]."""
    if _is_smooth(parameter):
        low, high = _smooth_bounds(parameter)
        return (_on_scale(parameter, float(value)) - low) / (high - low)
    return (index_of(parameter, value) + 0.5) / (n_values(parameter) or 1)


def value_at(parameter: Parameter, position: float) -> Scalar:
    """Return the value at a position in [0, 1): a uniform position gives a uniform draw on the parameter's scale."""
    if not _is_smooth(parameter):
        n = n_values(parameter) or 1
        return value_number(parameter, min(int(position * n), n - 1))
    low, high = _smooth_bounds(parameter)
    scaled = low + position * (high - low)
    value = math.exp(scaled) if _is_log(parameter) else scaled
    if isinstance(parameter, IntParameter):
        return min(max(round(value), parameter.low), parameter.high)
    assert isinstance(parameter, FloatParameter), "choices have no scale"
    bottom, top = _bounds(parameter)
    return min(max(value, bottom), top)


def value_number(parameter: Parameter, index: int) -> Scalar:
    """Return the value with this index of a parameter that has a finite number of them: the inverse of `index_of`."""
    match parameter:
        case CategoricalParameter():
            return parameter.choices[index]
        case IntParameter(powers_of_two=True):
            return parameter.low << index
        case IntParameter():
            return parameter.low + index * parameter.step
        case FloatParameter():
            low, high = _bounds(parameter)
            return value_after(index, step=parameter.step or 0.0, low=low, high=high)


def _is_smooth(parameter: Parameter) -> bool:
    """Tell whether positions follow the value itself, not its place in a list."""
    return n_values(parameter) is None or _is_log(parameter)


def _is_log(parameter: Parameter) -> bool:
    return isinstance(parameter, FloatParameter | IntParameter) and parameter.log and parameter.low != parameter.high


def _smooth_bounds(parameter: Parameter) -> tuple[float, float]:
    """Return the ends on the parameter's scale; a whole number owns the half on either side of it."""
    assert not isinstance(parameter, CategoricalParameter), "choices have no scale"
    low, high = _bounds(parameter)
    half = 0.5 if isinstance(parameter, IntParameter) else 0.0
    return _on_scale(parameter, low - half), _on_scale(parameter, high + half)


def _on_scale(parameter: Parameter, value: float) -> float:
    return math.log(value) if _is_log(parameter) else value


def _bounds(parameter: FloatParameter | IntParameter) -> tuple[float, float]:
    assert parameter.low is not None, "bounds are resolved before a search starts"
    assert parameter.high is not None, "bounds are resolved before a search starts"
    return float(parameter.low), float(parameter.high)


def _is_same(choice: Scalar, value: Scalar) -> bool:
    return type(choice) is type(value) and choice == value  # True is not 1 here
