"""What a job's constraints say: of a configuration before it is tried, of a trial's metrics once it has ended."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from stepsize.spec.expressions import Expression
from stepsize.spec.grid import grid_cells
from stepsize.spec.space import Params, Scalar, SearchSpace, draw_params

Rule = Callable[[Params], bool]
"""Whether a configuration may be tried."""


def parameter_rule(constraints: Sequence[str], *, fixed: Params) -> Rule:
    """Return whether a configuration, completed with the fixed parameters, breaks none of the constraints.

    A constraint over a parameter that has no value there, a conditional one for instance, is not broken.
    """
    expressions = [Expression.parse(text) for text in constraints]

    def is_allowed(params: Params) -> bool:
        values = {**fixed, **params}
        return all(expression.holds(values) is not False for expression in expressions)

    return is_allowed


def broken_parameter_constraints(constraints: Sequence[str], params: Params) -> Iterator[str]:
    """Yield the constraints that a configuration breaks, each with what its names were."""
    for text in constraints:
        expression = Expression.parse(text)
        if expression.holds(params) is False:
            yield _with_values(expression, params)


def broken_outcome(constraints: Sequence[str], values: Mapping[str, float]) -> str | None:
    """Return the first constraint that a trial's last metrics don't satisfy and what they were, or None.

    A metric that was never reported satisfies nothing.
    """
    for text in constraints:
        expression = Expression.parse(text)
        if not expression.holds(values):
            return _with_values(expression, values)
    return None


def admitted_cells(space: SearchSpace, rule: Rule, *, points: int | None) -> list[dict[str, Scalar]]:
    """Return the cells of a grid that may be tried, in the grid's order.

    Raises:
        ValueError: see `grid_cells`.
    """
    return [cell for cell in grid_cells(space, points=points) if rule(cell)]


def is_ever_allowed(space: SearchSpace, rule: Rule, *, seed: int, n_draws: int) -> bool:
    """Tell whether any of some uniform draws may be tried; bounds that are still to be found are left out of them."""
    draw = random.Random(seed)
    return any(rule(draw_params(space, draw)) for _ in range(n_draws))


def _with_values(expression: Expression, values: Mapping[str, Scalar]) -> str:
    """Return `a + b <= 1: a was 0.5, b was 0.75`, or `a <= 1: it was 2` where there is but one name."""
    said = [(name, f"was {values[name]:g}" if name in values else "was not reported") for name in expression.names]
    if len(said) == 1:
        return f"{expression.text}: it {said[0][1]}"
    return f"{expression.text}: " + ", ".join(f"{name} {was}" for name, was in said)
