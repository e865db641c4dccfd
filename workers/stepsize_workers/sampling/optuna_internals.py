"""The one place that uses names of Optuna's which its documentation does not promise.

A search that is rebuilt must draw what the uninterrupted one would have: for that it seeds generators, and keeps what
samplers and pruners note in a study, neither of which Optuna offers. Its version is capped in pyproject.toml; the
resume suite fails where one of these moves.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _get_pruned_trial_score
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from stepsize_workers.sampling.observations import Observations

FIXED_PARAMS = "fixed_params"
"""The key among a trial's attributes for the parameters of an enqueued one."""
_SPREAD_OVER = 24
"""Random draws of which the one in the widest gap is taken."""


def seed_generators(sampler: BaseSampler, seed: int) -> None:
    """Seed every generator a sampler holds, its inner samplers' too.

    The public `reseed_rng` takes no seed; making the sampler anew would drop its search-space cache and cost a pass
    over the history at every ask.
    """
    for value in vars(sampler).values():
        if isinstance(value, LazyRandomState):
            value.rng.seed(seed)
        elif isinstance(value, BaseSampler):
            seed_generators(value, seed)


def forget_fits(sampler: GPSampler) -> None:
    """Drop the kernels that the next fit would start from: a rebuilt study has none."""
    sampler._gprs_cache_list = None
    sampler._constraints_gprs_cache_list = None


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Tell whether a value may be drawn from a distribution."""
    return distribution._contains(distribution.to_internal_repr(value))


def trial_attrs(trial: Trial) -> dict[str, Any]:
    """Return what Optuna keeps with a running trial."""
    return trial.storage.get_trial_system_attrs(trial._trial_id)


def set_trial_attrs(trial: Trial, attrs: Mapping[str, Any]) -> None:
    """Keep something with a running trial."""
    for key, value in attrs.items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)


def copy_study_attrs(study: Study, trial: FrozenTrial, prefix: str) -> None:
    """Keep with a trial what a sampler keeps with the study: the trial takes it into the record."""
    for key, value in study._storage.get_study_system_attrs(study._study_id).items():
        if key.startswith(prefix):
            study._storage.set_trial_system_attr(trial._trial_id, key, value)


def raise_study_attrs(study: Study, attrs: Mapping[str, object], prefix: str) -> None:
    """Bring the counters among a study's own attributes up to what a trial of the record says."""
    have = study._storage.get_study_system_attrs(study._study_id)
    for key, value in attrs.items():
        if key.startswith(prefix) and isinstance(value, int) and value > have.get(key, -1):
            study._storage.set_study_system_attr(study._study_id, key, value)


def n_good(n_trials: int) -> int:
    """Return how many of the trials that have ended count as good: a fifth, but no more than 25.

    Optuna's tenth is four trials of forty: the four luckiest, where trainings differ by their seeds.
    """
    return min(math.ceil(n_trials / 5), 25)


class TpeBesideGiven(TPESampler):
    """Optuna's own, that can be told some parameters: the others are the best of its candidates beside these.

    It draws what Optuna's own would draw with as many good trials, and reads the trials that have ended only once.

    Its candidates come from where good trials lie, and that one is taken which is likeliest among good trials and
    unlikeliest among the others. Put into the candidates before that is judged, what is given tells which learning rate
    goes with this batch size; put into the one that was taken, it would come with the rate of another.

    While nothing is known yet, what is drawn beside given parameters is spread: at random, eight learning rates at one
    batch size leave gaps, which drawn freely other batch sizes make up for.
    """

    given: Mapping[str, float] = MappingProxyType({})
    """Name → value inside Optuna, for the next ask."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of Optuna's own but `gamma`."""
        super().__init__(**settings)
        self._gamma = n_good  # asked for by its name, it would warn
        self._observations: Observations | None = None

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Draw parameters as Optuna's own does; that also knows of several objectives and of constraints."""
        if len(study.directions) > 1:
            return super()._sample(study, trial, search_space)
        seen = self._observations
        if seen is None:
            seen = self._observations = Observations(lambda one: self._get_params(one, study))
        trials = study._get_trials(deepcopy=False)
        seen.read(trials, search_space, asking=trial.number)
        if seen.has_infeasible:
            return super()._sample(study, trial, search_space)
        below, above = seen.split(
            n_good,
            minimizes=study.direction is StudyDirection.MINIMIZE,
            with_running=self._constant_liar,
            score_of_pruned=lambda number: _get_pruned_trial_score(trials[number], study),
        )
        good, others = (
            self._parzen_estimator_cls(
                seen.columns(numbers, list(search_space)), search_space, self._parzen_estimator_parameters
            )
            for numbers in (below, above)
        )
        samples = good.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(samples, self._compute_acquisition_func(samples, good, others))
        return {name: distribution.to_external_repr(best[name]) for name, distribution in search_space.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one parameter as Optuna's own does; at random beside given ones, it is spread."""
        draw = partial(super().sample_independent, study, trial, param_name, param_distribution)
        beside = self._beside(study, param_name) if self.given and self._draws_at_random(study) else []
        if not beside or isinstance(param_distribution, CategoricalDistribution):
            return draw()
        place = _place_in(param_distribution)
        taken = [place(value) for value in beside]
        return max((draw() for _ in range(_SPREAD_OVER)), key=lambda value: _gap(place(value), taken))

    def _draws_at_random(self, study: Study) -> bool:
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return len(study._get_trials(deepcopy=False, states=states, use_cache=True)) < self._n_startup_trials

    def _beside(self, study: Study, name: str) -> list[Any]:
        """Return a parameter's values in the trials that have what is given; what failed is as if never drawn."""
        return [
            one.params[name]
            for one in study._get_trials(deepcopy=False)
            if name in one.params
            and one.state is not TrialState.FAIL
            and all(
                key in one.params and one.distributions[key].to_internal_repr(one.params[key]) == value
                for key, value in self.given.items()
            )
        ]

    def _compute_acquisition_func(
        self, samples: dict[str, Any], mpe_below: _ParzenEstimator, mpe_above: _ParzenEstimator
    ) -> Any:
        for name, value in self.given.items():
            if name in samples:
                samples[name][:] = value
        return super()._compute_acquisition_func(samples, mpe_below, mpe_above)


def _place_in(distribution: BaseDistribution) -> Callable[[float], float]:
    """Return what tells where in a range a value lies, from 0 to 1, on the axis it is drawn along."""
    assert isinstance(distribution, FloatDistribution | IntDistribution), "numbers have places"
    along = math.log if distribution.log else float
    low, high = along(distribution.low), along(distribution.high)
    return lambda value: (along(value) - low) / (high - low)


def _gap(place: float, taken: Sequence[float]) -> float:
    """Return how far a place is from all that are taken, around the ends: else most would go there."""
    return min(min(abs(place - one), 1 - abs(place - one)) for one in taken)


class OrderedNsgaii(NSGAIISampler):
    """Optuna's own has a generation's parents in another order at the first ask than at later ones.

    Which ask is the first depends on when the study was last rebuilt.
    """

    @classmethod
    def _get_generation_key(cls) -> str:
        return "nsgaii:generation"  # in the record: not to change with the name of this class

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().get_parent_population(study, generation), key=lambda trial: trial.number)
