"""Between the parameters of a spec and Optuna's distributions.

To Optuna a power of two is its exponent, and a choice that only its type tells from another (True from 1) its number.
"""

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Parameter, Scalar


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Return what Optuna is told about a parameter: up to the last value that steps reach, or it would complain."""
    match parameter:
        case FloatParameter(low=float() as low, high=float(), step=float() as step):
            return FloatDistribution(low, parameter.last, step=step)
        case FloatParameter(low=float() as low, high=float() as high):
            return FloatDistribution(low, high, log=parameter.log)
        case IntParameter(powers_of_two=True):
            return distribution_of(parameter.searched)
        case IntParameter(low=low, step=step):
            return IntDistribution(low, parameter.last, log=parameter.log, step=step)
        case CategoricalParameter(is_typed=True):
            return CategoricalDistribution(range(len(parameter.choices)))
        case CategoricalParameter():
            return CategoricalDistribution(parameter.choices)
        case _:
            raise AssertionError("bounds are resolved before a search starts")


def suggest(trial: optuna.trial.Trial, name: str, distribution: BaseDistribution) -> Scalar:
    """Have Optuna fix the value of one parameter of a trial and return it, as Optuna has it."""
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            choice = trial.suggest_categorical(name, choices)
            assert choice is not None, "no choice is null"
            return choice
        case _:
            raise AssertionError(f"unknown distribution {distribution}")
