"""A job's search space in Optuna's words."""

import json

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Parameter, Scalar


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return a parameter's distribution over the values that trials and clients see.

    A power of two is a whole number on a logarithmic scale here. The search itself goes by exponents; whoever opens an
    exported study looks for the batch sizes that were trained.
    """
    match parameter:
        case CategoricalParameter():
            return CategoricalDistribution([shown(parameter, choice) for choice in parameter.choices])
        case IntParameter(powers_of_two=True):
            return IntDistribution(parameter.low, parameter.high, log=True)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.last, log=parameter.log, step=parameter.step)
        case FloatParameter(low=float() as low, high=float()):
            return FloatDistribution(low, parameter.last, log=parameter.log, step=parameter.step)
        case FloatParameter():
            raise ValueError("the bounds of the learning rate are not known yet")


def shown(parameter: Parameter, value: Scalar) -> Scalar:
    """Return a value as an exported study has it: choices that only their types tell apart as their JSON texts."""
    is_typed = isinstance(parameter, CategoricalParameter) and parameter.is_typed
    return json.dumps(value) if is_typed else value
