"""From the samplers and pruners of a spec to Optuna's objects."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.study import Study
from optuna.trial import FrozenTrial

from stepsize.spec.pruners import (
    AshaPruner,
    HyperbandPruner,
    MedianPruner,
    NoPruner,
    PatientPruner,
    PercentilePruner,
    Pruner,
    ThresholdPruner,
)
from stepsize.spec.samplers import (
    CmaEsSampler,
    GpSampler,
    GridSampler,
    NsgaiiSampler,
    QmcSampler,
    RandomSampler,
    Sampler,
    TpeSampler,
)
from stepsize.spec.space import SearchSpace
from stepsize_workers.sampling.distributions import distribution_of

QMC_ATTRS = "qmc:"
"""Optuna keeps how far into its sequence a study is among the study's attributes, under this prefix."""
_SAMPLER_ATTRS = ("cma:", "nsgaii:", QMC_ATTRS)
"""What samplers keep with a trial and can't do without when the study is rebuilt."""


@dataclass(frozen=True)
class BuiltSampler:
    """One of Optuna's samplers, and how often it is worth asking for one proposal."""

    sampler: BaseSampler
    n_tries: int


def is_heavy(sampler: Sampler) -> bool:
    """Tell whether a sampler thinks too long, or imports too much, for the process that renews leases."""
    return isinstance(sampler, GpSampler | CmaEsSampler | NsgaiiSampler)


def build_sampler(sampler: Sampler, space: SearchSpace) -> BuiltSampler:
    """Return Optuna's sampler for a spec's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _build_sampler(sampler, space)


def _build_sampler(sampler: Sampler, space: SearchSpace) -> BuiltSampler:
    match sampler:
        case TpeSampler():
            return BuiltSampler(_build_tpe(sampler, space), n_tries=5)
        case RandomSampler() | GridSampler():
            return BuiltSampler(optuna.samplers.RandomSampler(seed=sampler.seed), n_tries=20)
        case QmcSampler():
            return BuiltSampler(_WholeSpaceQmc(sampler, space), n_tries=20)
        case GpSampler():
            # Asked again it would fit the same model and propose the same point, in as many seconds.
            return BuiltSampler(_build_gp(sampler), n_tries=1)
        case CmaEsSampler():
            return BuiltSampler(_build_cmaes(sampler), n_tries=20)
        case NsgaiiSampler():
            return BuiltSampler(_build_nsgaii(sampler), n_tries=20)
        case _:
            assert_never(sampler)


def _build_tpe(sampler: TpeSampler, space: SearchSpace) -> BaseSampler:
    return optuna.samplers.TPESampler(
        seed=sampler.seed,
        n_startup_trials=sampler.n_startup_trials,
        n_ei_candidates=sampler.n_ei_candidates,
        # Ungrouped, conditional parameters are drawn independently of all others.
        group=any(parameter.when for parameter in space.values()),
        multivariate=True,
    )


def _build_gp(sampler: GpSampler) -> BaseSampler:
    return optuna.samplers.GPSampler(
        seed=sampler.seed,
        n_startup_trials=sampler.n_startup_trials,
        deterministic_objective=sampler.deterministic,
        warn_independent_sampling=False,
    )


def _build_cmaes(sampler: CmaEsSampler) -> BaseSampler:
    return _NumberlessCmaEs(
        seed=sampler.seed,
        n_startup_trials=sampler.n_startup_trials,
        popsize=sampler.population_size,
        warn_independent_sampling=False,
    )


def _build_nsgaii(sampler: NsgaiiSampler) -> BaseSampler:
    return _OrderedNsgaii(
        seed=sampler.seed,
        population_size=sampler.population_size,
        mutation_prob=sampler.mutation_probability,
        crossover_prob=sampler.crossover_probability,
    )


class _WholeSpaceQmc(optuna.samplers.QMCSampler):
    """A sequence over every parameter, conditional ones too: those that don't apply are dropped afterwards.

    Optuna's own takes the parameters of the first trial, which it draws at random.
    """

    def __init__(self, sampler: QmcSampler, space: SearchSpace) -> None:
        super().__init__(
            qmc_type=sampler.sequence, scramble=sampler.scramble, seed=sampler.seed, warn_independent_sampling=False
        )
        self._space = space

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        distributions = {name: distribution_of(parameter) for name, parameter in self._space.items()}
        return {name: distribution for name, distribution in distributions.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        point = super().sample_relative(study, trial, search_space)
        for key, value in study._storage.get_study_system_attrs(study._study_id).items():
            if key.startswith(QMC_ATTRS):  # the trial takes it into the record
                study._storage.set_trial_system_attr(trial._trial_id, key, value)
        return point


class _NumberlessCmaEs(optuna.samplers.CmaEsSampler):
    """Optuna's own adds its trial number to the seed, which differs in a rebuilt study."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        unnumbered = copy.copy(trial)
        unnumbered.number = 0
        return super().sample_relative(study, unnumbered, search_space)


class _OrderedNsgaii(optuna.samplers.NSGAIISampler):
    """Optuna's own has a generation's parents in another order at the first ask than at later ones.

    Which ask is the first depends on when the study was last rebuilt.
    """

    @classmethod
    def _get_generation_key(cls) -> str:
        return "nsgaii:generation"  # in the record: not to change with the name of this class

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().get_parent_population(study, generation), key=lambda trial: trial.number)


def reseed(sampler: BaseSampler, seed: int) -> None:
    """Seed every generator a sampler holds, its inner samplers' too, and drop what it remembers of earlier asks.

    Optuna's public `reseed_rng` takes no seed; making the sampler anew would drop its search-space cache and cost a
    pass over the history at every ask. The resume suite fails if the attributes' types move.
    """
    for value in vars(sampler).values():
        if isinstance(value, LazyRandomState):
            value.rng.seed(seed)
        elif isinstance(value, BaseSampler):
            reseed(value, seed)
    if isinstance(sampler, optuna.samplers.GPSampler):  # kernels to start the next fit from; a rebuilt study has none
        sampler._gprs_cache_list = None
        sampler._constraints_gprs_cache_list = None


def sampler_attrs(trial: optuna.trial.Trial) -> dict[str, object]:
    """Return what the sampler keeps with a trial and the record must keep too."""
    attrs = trial.storage.get_trial_system_attrs(trial._trial_id)
    return {key: value for key, value in attrs.items() if key.startswith(_SAMPLER_ATTRS)}


def restore_trial_attrs(trial: optuna.trial.Trial, attrs: Mapping[str, Any]) -> None:
    """Give a trial that enters a rebuilt study what the sampler had kept with it."""
    for key, value in attrs.items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)


def restore_study_attrs(study: Study, trial_attrs: dict[str, object]) -> None:
    """Bring a rebuilt study's own attributes up to what a trial of the record says."""
    have = study._storage.get_study_system_attrs(study._study_id)
    for key, value in trial_attrs.items():
        if key.startswith(QMC_ATTRS) and isinstance(value, int) and value > have.get(key, -1):
            study._storage.set_study_system_attr(study._study_id, key, value)


def build_pruner(pruner: Pruner) -> optuna.pruners.BasePruner:
    """Return Optuna's pruner for a spec's.

    Those that compare with earlier trials wait for as many that have reported: to Optuna a diverged trial and one of an
    earlier job, which have not, are complete.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _build_pruner(pruner)


def _build_pruner(pruner: Pruner) -> optuna.pruners.BasePruner:
    match pruner:
        case NoPruner():
            return optuna.pruners.NopPruner()
        case MedianPruner():
            return optuna.pruners.MedianPruner(
                n_startup_trials=pruner.n_startup_trials,
                n_warmup_steps=pruner.n_warmup_steps,
                interval_steps=pruner.interval_steps,
                n_min_trials=max(1, pruner.n_startup_trials),
            )
        case AshaPruner():
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=pruner.min_resource,
                reduction_factor=pruner.reduction_factor,
                min_early_stopping_rate=pruner.min_early_stopping_rate,
            )
        case PercentilePruner():
            return optuna.pruners.PercentilePruner(
                pruner.percentile,
                n_startup_trials=pruner.n_startup_trials,
                n_warmup_steps=pruner.n_warmup_steps,
                interval_steps=pruner.interval_steps,
                n_min_trials=max(1, pruner.n_startup_trials),
            )
        case HyperbandPruner():
            return optuna.pruners.HyperbandPruner(
                min_resource=pruner.min_resource,
                max_resource=pruner.max_resource or "auto",
                reduction_factor=pruner.reduction_factor,
            )
        case ThresholdPruner():
            return optuna.pruners.ThresholdPruner(
                lower=pruner.lower,
                upper=pruner.upper,
                n_warmup_steps=pruner.n_warmup_steps,
                interval_steps=pruner.interval_steps,
            )
        case PatientPruner():
            return optuna.pruners.PatientPruner(None, patience=pruner.patience, min_delta=pruner.min_delta)
        case _:
            assert_never(pruner)
