"""A job's search space in Optuna's words."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Parameter, Scalar


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return a parameter's distribution; a power of two is searched by its exponent."""
    match parameter:
        case CategoricalParameter():
            return CategoricalDistribution(parameter.choices)
        case IntParameter(powers_of_two=True):
            return IntDistribution(parameter.low.bit_length() - 1, parameter.high.bit_length() - 1)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case FloatParameter(low=float() as low, high=float() as high):
            return FloatDistribution(low, high, log=parameter.log, step=parameter.step)
        case FloatParameter():
            raise ValueError("the bounds of the learning rate are not known yet")


def to_optuna(parameter: Parameter, value: Scalar) -> Scalar:
    """Return a value as Optuna holds it."""
    if isinstance(parameter, IntParameter) and parameter.powers_of_two:
        return int(value).bit_length() - 1
    return value
