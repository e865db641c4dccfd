"""The sampler of every study: any of Optuna's, asked again until it proposes what the job admits."""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from stepsize.spec.space import Scalar, applies, in_dependency_order
from stepsize_workers.sampling.admission import Admission, Objection
from stepsize_workers.sampling.builders import BuiltSampler
from stepsize_workers.sampling.distributions import distribution_of
from stepsize_workers.sampling.optuna_internals import FIXED_PARAMS, contains

EXPLORED_FRACTION = 0.05
"""Share of trials that may lie where failure is predicted: a frontier that is wrong, or moves, is found out."""


class NothingLeftError(Exception):
    """No configuration is left that the job admits."""


class NoneAlikeError(NothingLeftError):
    """No configuration is left that shares the parameters of a group."""


class AdmittingSampler(BaseSampler):
    """Draws whole configurations, conditional parameters included, before the first parameter is suggested.

    Only a whole configuration can be judged; and asking again inside one Optuna trial leaves no refused trials behind
    for a rebuilt study to lack.
    """

    def __init__(self, built: BuiltSampler, admission: Admission) -> None:
        self._built = built
        self._inner = built.sampler
        self._admission = admission
        self._seed = 0
        self._like: Mapping[str, Scalar] = {}

    def begin(self, seed: int, *, like: Mapping[str, Scalar] | None = None) -> None:
        """Seed everything random in the next ask: a rebuilt search draws what the uninterrupted one would have.

        Args:
            like: what the configuration shares with those of a group; the rest is drawn as it should be beside these.
        """
        self._seed = seed
        self._like = like or {}
        given = {
            name: distribution.to_internal_repr(self._admission.space[name].as_searched(self._like[name]))
            for name, distribution in self._distributions.items()
            if name in self._like
        }
        self._built.begin(seed, given=given)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        given = trial.system_attrs.get(FIXED_PARAMS)
        fixed = {name: self._admission.space[name].from_searched(value) for name, value in (given or {}).items()}
        params = self._admitted(study, trial, fixed, is_given=given is not None)
        return {name: self._admission.space[name].as_searched(value) for name, value in params.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: OptunaState, values: Sequence[float] | None) -> None:
        """Do nothing: Optuna's samplers only work here where they compute constraints, which our trials carry."""

    def _admitted(
        self, study: Study, trial: FrozenTrial, fixed: Mapping[str, Scalar], *, is_given: bool
    ) -> dict[str, Scalar]:
        fixed = {**fixed, **self._like}
        explores = random.Random(self._seed).random() < EXPLORED_FRACTION
        wanted: dict[str, Scalar] | None = None
        for _ in range(self._built.n_tries):
            params = self._draw(study, trial, fixed)
            if self._admission.objection(params, explores=explores) is Objection.NONE:
                return params
            wanted = wanted or params
        assert wanted is not None, "a sampler is asked at least once"
        nearest = self._admission.nearest(wanted, fixed=fixed, explores=explores, seed=self._seed)
        if self._like and (nearest is None or self._admission.objection(nearest) >= Objection.REPEATED):
            raise NoneAlikeError
        if nearest is None and not is_given:
            raise NothingLeftError
        return nearest or wanted  # a client's own configuration is run as it is

    def _draw(self, study: Study, trial: FrozenTrial, fixed: Mapping[str, Scalar]) -> dict[str, Scalar]:
        relative = self._inner.sample_relative(study, trial, self._inner.infer_relative_search_space(study, trial))
        space = self._admission.space
        params: dict[str, Scalar] = {}
        for name in in_dependency_order(space):
            if not applies(space[name], params):
                continue
            distribution = self._distributions[name]
            if name in fixed:
                params[name] = fixed[name]
            elif distribution.single():
                params[name] = space[name].value_at(0.0)
            else:
                value = relative.get(name)
                if value is None or not contains(distribution, value):
                    value = self._inner.sample_independent(study, trial, name, distribution)
                params[name] = space[name].from_searched(value)
        return params

    @cached_property
    def _distributions(self) -> dict[str, BaseDistribution]:
        return {name: distribution_of(parameter) for name, parameter in self._admission.space.items()}
