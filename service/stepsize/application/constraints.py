"""Constraints, checked against the trainer: what they may name, and whether anything satisfies them."""

from collections.abc import Iterator, Sequence

from stepsize.application.parameters import Choice
from stepsize.application.pointers import pointer
from stepsize.errors import FieldError
from stepsize.spec.constraints import broken_parameter_constraints, is_ever_allowed, parameter_rule
from stepsize.spec.expressions import Expression, is_number
from stepsize.spec.hints import hint
from stepsize.spec.job import JobSpec
from stepsize.spec.space import CategoricalParameter, Params, SearchSpace

TEST_PREFIX = "test_"
_N_DRAWS = 2000
_DRAW_SEED = 0


def check_parameter_constraints(
    choice: Choice, constraints: Sequence[str], *, whole: bool = True
) -> Iterator[FieldError]:
    """Yield the names that are no parameters of the job, and those whose values are no numbers.

    Args:
        whole: whether the choice is all that was asked for; else only the names are judged.
    """
    for index, text in enumerate(constraints):
        for name in Expression.parse(text).names:
            if message := _why_no_operand(choice, name) if whole else _why_unknown(choice, name):
                yield FieldError(pointer("parameter_constraints", index), message)


def check_outcome_constraints(trainer: str, metrics: Sequence[str], constraints: Sequence[str]) -> Iterator[FieldError]:
    """Yield the names that are no metrics of the trainer's."""
    for index, text in enumerate(constraints):
        at = pointer("outcome_constraints", index)
        for name in Expression.parse(text).names:
            if name.startswith(TEST_PREFIX):
                yield FieldError(at, f"{name} is a test metric: constrain validation data, report on test data")
            elif name not in metrics:
                yield FieldError(at, f"{trainer} doesn't report {name!r}; {hint(name, metrics)}")


def check_configuration(spec: JobSpec, params: Params, *at: str | int) -> Iterator[FieldError]:
    """Yield the parameter constraints of a resolved spec that a client's own configuration breaks."""
    for broken in broken_parameter_constraints(spec.parameter_constraints, {**spec.trainer.params, **params}):
        yield FieldError(pointer(*at), f"this configuration breaks the constraint {broken}")


def satisfiability_warnings(spec: JobSpec, space: SearchSpace) -> Iterator[str]:
    """Yield a warning where none of many random configurations satisfies the parameter constraints.

    No refusal: an equation over two whole numbers is hard to hit by chance, and may be what is wanted.
    """
    if not spec.parameter_constraints or not space:
        return
    rule = parameter_rule(spec.parameter_constraints, fixed=spec.trainer.params)
    if not is_ever_allowed(space, rule, seed=_DRAW_SEED, n_draws=_N_DRAWS):
        yield f"none of {_N_DRAWS} random configurations satisfies the parameter constraints; the job may find none"


def _why_unknown(choice: Choice, name: str) -> str | None:
    return None if name in choice.schema.names else choice.schema.why_unknown(name)


def _why_no_operand(choice: Choice, name: str) -> str | None:
    if unknown := _why_unknown(choice, name):
        return unknown
    if message := choice.why_never_applies(name):
        return message
    if name in choice.space:
        parameter = choice.space[name]
        is_numeric = not isinstance(parameter, CategoricalParameter) or all(map(is_number, parameter.choices))
    else:
        is_numeric = is_number(choice.fixed[name] if name in choice.fixed else choice.schema.default(name))
    return None if is_numeric else f"{choice.describe(name)}; constraints are about numbers"
