"""What a proposal must satisfy, and the nearest configuration that does where the sampler finds none."""

import random
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import cached_property

from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.constraints import parameter_rule
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import CategoricalParameter, Params, Scalar, SearchSpace, applies, in_dependency_order, is_same
from stepsize_workers.sampling.cells import Cells
from stepsize_workers.sampling.frontier import Fate, Frontier, Outcome

_N_NEIGHBOURS = 300
_N_BLIND = 10_000
"""Uniform draws after which constraints that none of them satisfies are taken to allow nothing."""


class Objection(IntEnum):
    """What speaks against a proposal, the gravest last."""

    NONE = 0
    LIKELY_TO_FAIL = 1
    REPEATED = 2
    FORBIDDEN = 3


class Admission:
    """Knows a job's parameter constraints, what has been tried, and where trials fail."""

    def __init__(self, spec: ResolvedJobSpec) -> None:
        self.space: SearchSpace = spec.search_space
        self.is_allowed = parameter_rule(spec.parameter_constraints, fixed=spec.trainer.params)
        self.found_nothing = False
        """Whether no configuration could be found that the constraints allow."""
        self._outcomes: dict[int, Outcome] = {}
        self._frontier: Frontier | None = None

    @cached_property
    def cells(self) -> Cells:
        """What has been tried; counted from the first use on, when bounds are known."""
        return Cells(self.space, self.is_allowed)

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing left to propose."""
        return self.found_nothing or self.cells.is_exhausted

    def learn(self, number: int, params: Params, state: TrialState, reason: TrialReason | None) -> None:
        """Take in how a trial ended; failed and cancelled ones teach nothing about the frontier."""
        fate = _fate(state, reason)
        if fate is not None:
            self._outcomes[number] = Outcome(dict(params), fate)
            self._frontier = None

    def objection(self, params: Params, *, explores: bool = False) -> Objection:
        """Return the gravest objection to a configuration.

        Args:
            explores: whether one that is likely to fail is welcome, to learn whether it does.
        """
        if not self.is_allowed(params):
            return Objection.FORBIDDEN
        if self.cells.has(params):
            return Objection.REPEATED
        if not explores and self._current_frontier().predicts_failure(params):
            return Objection.LIKELY_TO_FAIL
        return Objection.NONE

    def nearest(self, wanted: Params, *, fixed: Params, explores: bool, seed: int) -> dict[str, Scalar] | None:
        """Return the least objectionable configuration, of those the nearest to `wanted`; None: nothing is allowed.

        In a space small enough to list all that is left is looked at, in others some neighbours.

        Args:
            fixed: parameters whose values are given.
        """
        draw = random.Random(seed)
        candidates = [
            cell
            for cell in self.cells.left()
            if all(name in cell and is_same(cell[name], fixed[name]) for name in fixed)
        ]
        candidates = candidates or list(self._neighbours(wanted, fixed, draw))
        best = min(candidates, key=lambda one: (self.objection(one, explores=explores), self._distance(one, wanted)))
        return best if self.is_allowed(best) else self._blind_draw(fixed, draw)

    def _current_frontier(self) -> Frontier:
        if self._frontier is None:
            # In the record's order: a rebuilt search must add the same numbers in the same order.
            self._frontier = Frontier(self._outcomes[number] for number in sorted(self._outcomes))
        return self._frontier

    def _neighbours(self, wanted: Params, fixed: Params, draw: random.Random) -> Iterator[dict[str, Scalar]]:
        """Yield configurations that differ from `wanted` in one parameter, or in all."""
        free = [name for name in self.space if name not in fixed]
        yield self._redraw(wanted, (), fixed, draw)
        for index in range(_N_NEIGHBOURS if free else 0):
            yield self._redraw(wanted, free if index % 4 == 0 else [draw.choice(free)], fixed, draw)

    def _blind_draw(self, fixed: Params, draw: random.Random) -> dict[str, Scalar] | None:
        draws = (self._redraw({}, (), fixed, draw) for _ in range(_N_BLIND))
        return next((params for params in draws if self.is_allowed(params)), None)

    def _redraw(self, params: Params, names: Iterable[str], fixed: Params, draw: random.Random) -> dict[str, Scalar]:
        """Return `params` with the named parameters, and those that newly apply, drawn uniformly."""
        redrawn: dict[str, Scalar] = {}
        for name in in_dependency_order(self.space):
            if not applies(self.space[name], redrawn):
                continue
            if name in fixed:
                redrawn[name] = fixed[name]
            elif name in params and name not in names:
                redrawn[name] = params[name]
            else:
                redrawn[name] = self.space[name].draw(draw)
        return redrawn

    def _distance(self, params: Params, wanted: Params) -> float:
        """Return the squared distance, each parameter's range taken as 1."""
        return sum(self._gap(name, params, wanted) ** 2 for name in params.keys() | wanted.keys())

    def _gap(self, name: str, params: Params, wanted: Params) -> float:
        if name not in params or name not in wanted:
            return 1.0
        parameter = self.space[name]
        if isinstance(parameter, CategoricalParameter):
            return float(not is_same(params[name], wanted[name]))
        return parameter.position_of(params[name]) - parameter.position_of(wanted[name])


def _fate(state: TrialState, reason: TrialReason | None) -> Fate | None:
    match state, reason:
        case TrialState.INFEASIBLE, TrialReason.DIVERGED:
            return Fate.DIVERGED
        case TrialState.INFEASIBLE, TrialReason.OOM:
            return Fate.OOM
        case ((TrialState.COMPLETED | TrialState.PRUNED | TrialState.INFEASIBLE), _):
            return Fate.FEASIBLE  # one that breaks an outcome constraint has trained to its end
        case _:
            return None
