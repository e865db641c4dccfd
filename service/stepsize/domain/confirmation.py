"""How an answer is checked: which configurations are trained again with fresh seeds once the search is over.

A pure function of the record, so that whoever takes a job over draws the same. What the checks say is for the analysis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stepsize.domain.answer import Answer
from stepsize.domain.replication import Replication
from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.spec.roles import BATCH_NAME, rate_name
from stepsize.spec.space import (
    CategoricalParameter,
    Parameter,
    Params,
    Scalar,
    SearchSpace,
    applies,
    in_dependency_order,
    is_same,
)

ALL_AT_THE_RATE_BELOW = 9
"""With fewer checks all of them train the recommended rate: a mean of four says little."""
NEIGHBOUR_DECADES = 0.25
_LEAST_PER_RIVAL = 2


@dataclass(frozen=True)
class Rival:
    """A choice that may be as good as what is recommended, and the rate it is good at."""

    parameter: str
    choice: Scalar
    learning_rate: float


@dataclass(frozen=True)
class Recommendation:
    """What an answer says to use."""

    learning_rate: float
    batch_size: int | None = None
    choices: Mapping[str, Scalar] = field(default_factory=dict)
    rivals: Sequence[Rival] = ()
    """Most promising first; the recommended choices may be among them."""

    @classmethod
    def of(cls, answer: Answer) -> "Recommendation | None":
        """Return what an answer recommends; None where it recommends nothing."""
        if answer.learning_rate.value is None:
            return None
        rivals = [Rival(one.parameter, one.choice, one.learning_rate) for one in answer.alternatives]
        return cls(answer.learning_rate.value, answer.batch_size, answer.choices, rivals)


def draw_checks(
    recommended: Recommendation | None,
    best: Sequence[Params],
    space: SearchSpace,
    n: int,
    *,
    is_allowed: Callable[[Params], bool] = lambda _: True,
) -> list[dict[str, Scalar]]:
    """Return the configurations to train with fresh seeds, in this order; none where nothing can be checked.

    Half of them (all, below nine) are what is recommended. The rest has the choices that can't be told from it, so that
    an adaptive search does not have the last word on them; without any, the rate a quarter of a decade to either side.
    What the answer leaves open is taken from the best trial that goes with its choices.

    Args:
        recommended: what the answer says; None: the rate was not searched, or the answer says nothing.
        best: the parameters of the completed trials of the search, best first.
        n: how many.
        is_allowed: whether a configuration satisfies the job's constraints.
    """
    name = rate_name(space)
    if n < 1 or not best or (name is not None and recommended is None):
        return []
    if name is None or recommended is None:
        return [dict(best[0])] * n
    centre = _configuration(recommended, recommended.learning_rate, best, space, name)
    if not is_allowed(centre):
        return []
    n_beside = n // 2 if n >= ALL_AT_THE_RATE_BELOW else 0
    beside = _rivals(recommended, centre, best, space, name)[: n_beside // _LEAST_PER_RIVAL] or [
        _configuration(recommended, factor * recommended.learning_rate, best, space, name)
        for factor in (10**-NEIGHBOUR_DECADES, 10**NEIGHBOUR_DECADES)
    ]
    beside = [params for params in beside if repr(params) != repr(centre) and is_allowed(params)]  # 1 is not True
    n_beside = n_beside if beside else 0
    return [centre] * (n - n_beside) + [beside[at % len(beside)] for at in range(n_beside)]


def _rivals(
    recommended: Recommendation, centre: Params, best: Sequence[Params], space: SearchSpace, name: str
) -> list[dict[str, Scalar]]:
    """Return what is recommended with each of the choices that may be as good as its own."""
    found = []
    for rival in recommended.rivals:
        if rival.parameter not in centre or is_same(centre[rival.parameter], rival.choice):
            continue
        instead = replace(recommended, choices={**recommended.choices, rival.parameter: rival.choice})
        found.append(_configuration(instead, rival.learning_rate, best, space, name))
    return found


def _configuration(
    recommended: Recommendation, rate: float, best: Sequence[Params], space: SearchSpace, name: str
) -> dict[str, Scalar]:
    """Return the configuration with one rate: recommended where the answer says so, else as in the best trial."""
    wanted = {key: choice for key, choice in recommended.choices.items() if key in space}
    if recommended.batch_size is not None and BATCH_NAME in space:
        wanted[BATCH_NAME] = _nearest(space[BATCH_NAME], recommended.batch_size)
    # Of the trials that agree on most of it the best one.
    base = max(
        best, key=lambda params: sum(key in params and is_same(params[key], value) for key, value in wanted.items())
    )
    known = {**base, **wanted, name: _nearest(space[name], rate)}
    params: dict[str, Scalar] = {}
    for key in in_dependency_order(space):
        if applies(space[key], params):
            params[key] = known[key] if key in known else space[key].nearest(None)
    return params


def _nearest(parameter: Parameter, value: float) -> Scalar:
    """Return the parameter's value that lies nearest to one; among choices by the ratio."""
    if not isinstance(parameter, CategoricalParameter):
        return parameter.nearest(value)
    numbers = [one for one in parameter.choices if isinstance(one, (int, float)) and one > 0]
    return min(numbers, key=lambda one: max(one / value, value / one)) if numbers else parameter.choices[0]


def confirmed_groups(trials: Sequence[Trial]) -> dict[int, Replication]:
    """Return what the checks of each configuration measured, by the number of the first of them.

    A configuration of which a check did not complete has shown that it is not to be relied on, and is left out.
    """
    checks = [trial for trial in trials if trial.purpose is TrialPurpose.CONFIRM]
    groups: dict[str, list[Trial]] = {}
    for trial in sorted(checks, key=lambda trial: trial.number):
        groups.setdefault(repr(sorted(trial.params.items())), []).append(trial)
    return {
        group[0].number: Replication(tuple(one.objective for one in group if one.objective is not None))
        for group in groups.values()
        if all(one.state is TrialState.COMPLETED and one.objective is not None for one in group)
    }
