"""From the samplers and pruners of a spec to Optuna's objects: one builder a class, found by the spec it names.

What a sampler or pruner is like (heavy, judging, …) its spec class says; what Optuna's needs to be the same after a
rebuild (what it keeps, what it must forget) its builder says.
"""

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
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
    PrunerBase,
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
    SamplerBase,
    TpeSampler,
)
from stepsize.spec.space import SearchSpace
from stepsize_workers.sampling.distributions import distribution_of
from stepsize_workers.sampling.optuna_internals import (
    OrderedNsgaii,
    TpeBesideGiven,
    copy_study_attrs,
    forget_fits,
    raise_study_attrs,
    seed_generators,
)

S = TypeVar("S", bound=SamplerBase)
P = TypeVar("P", bound=PrunerBase)


class SamplerBuilder(ABC, Generic[S]):
    """Makes Optuna's sampler for one class of the spec, and keeps it the same after a rebuild."""

    spec: ClassVar[type[SamplerBase]]
    """What it is for."""
    n_tries: ClassVar[int] = 20
    """How often asking again is worth it for one proposal."""
    kept: ClassVar[tuple[str, ...]] = ()
    """Prefixes of what it notes with a trial and can't do without when the study is rebuilt."""
    study_kept: ClassVar[str | None] = None
    """The prefix of what it notes with the study itself; each trial carries that into the record."""

    @abstractmethod
    def build(self, sampler: S, space: SearchSpace) -> BaseSampler:
        """Return the sampler."""

    def forget(self, sampler: BaseSampler) -> None:
        """Drop what a sampler remembers of earlier asks beside the study: a rebuilt one has none of it."""

    def give(self, sampler: BaseSampler, given: Mapping[str, float]) -> None:
        """Let the next ask draw what goes with these parameters, where the sampler looks at several at once."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _SAMPLERS[cls.spec] = cls


class PrunerBuilder(ABC, Generic[P]):
    """Makes Optuna's pruner for one class of the spec.

    Those that compare with earlier trials wait for as many that have reported: to Optuna a diverged trial and one of an
    earlier job, which have not, are complete.
    """

    spec: ClassVar[type[PrunerBase]]
    """What it is for."""

    @abstractmethod
    def build(self, pruner: P) -> BasePruner:
        """Return the pruner."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _PRUNERS[cls.spec] = cls


_SAMPLERS: dict[type[SamplerBase], type[SamplerBuilder[Any]]] = {}
_PRUNERS: dict[type[PrunerBase], type[PrunerBuilder[Any]]] = {}
PRUNER_MARKS = "completed_rung_"
"""Marks of successive halving: a trial that runs again leaves them anew, from the reports that were kept."""


class BuiltSampler:
    """One of Optuna's samplers, with what its builder knows about it."""

    def __init__(self, sampler: Sampler, space: SearchSpace) -> None:
        self._builder = _SAMPLERS[type(sampler)]()
        self.n_tries = self._builder.n_tries
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.sampler = self._builder.build(sampler, space)

    def begin(self, seed: int, *, given: Mapping[str, float]) -> None:
        """Seed every generator and forget earlier asks.

        Args:
            given: parameters that are not to be drawn, as Optuna has them inside.
        """
        seed_generators(self.sampler, seed)
        self._builder.forget(self.sampler)
        self._builder.give(self.sampler, given)

    def restore_study(self, study: Study, trial_attrs: Mapping[str, object]) -> None:
        """Bring a rebuilt study's own attributes up to what a trial of the record says."""
        if self._builder.study_kept is not None:
            raise_study_attrs(study, trial_attrs, self._builder.study_kept)


def kept_attrs(sampler: Sampler) -> tuple[str, ...]:
    """Return the prefixes of what a sampler and any pruner note with a trial and the record must keep too."""
    return (*_SAMPLERS[type(sampler)].kept, PRUNER_MARKS)


def build_pruner(pruner: Pruner) -> BasePruner:
    """Return Optuna's pruner for a spec's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _PRUNERS[type(pruner)]().build(pruner)


class _Tpe(SamplerBuilder[TpeSampler]):
    spec = TpeSampler
    n_tries = 5

    def give(self, sampler: BaseSampler, given: Mapping[str, float]) -> None:
        if isinstance(sampler, TpeBesideGiven):
            sampler.given = given

    def build(self, sampler: TpeSampler, space: SearchSpace) -> BaseSampler:
        return TpeBesideGiven(
            seed=sampler.seed,
            n_startup_trials=sampler.n_startup_trials,
            n_ei_candidates=sampler.n_ei_candidates,
            # Ungrouped, conditional parameters are drawn independently of all others.
            group=any(parameter.when for parameter in space.values()),
            multivariate=True,
        )


class _Random(SamplerBuilder[RandomSampler]):
    spec = RandomSampler

    def build(self, sampler: RandomSampler, space: SearchSpace) -> BaseSampler:
        return optuna.samplers.RandomSampler(seed=sampler.seed)


class _Grid(SamplerBuilder[GridSampler]):
    """Cells are walked by the search itself; what a client's own configuration leaves out is drawn at random."""

    spec = GridSampler

    def build(self, sampler: GridSampler, space: SearchSpace) -> BaseSampler:
        return optuna.samplers.RandomSampler(seed=sampler.seed)


class _Qmc(SamplerBuilder[QmcSampler]):
    spec = QmcSampler
    kept = ("qmc:",)
    study_kept = "qmc:"

    def build(self, sampler: QmcSampler, space: SearchSpace) -> BaseSampler:
        return _WholeSpaceQmc(sampler, space)


class _Gp(SamplerBuilder[GpSampler]):
    spec = GpSampler
    n_tries = 1
    """Asked again it would fit the same model and propose the same point, in as many seconds."""

    def build(self, sampler: GpSampler, space: SearchSpace) -> BaseSampler:
        return optuna.samplers.GPSampler(
            seed=sampler.seed,
            n_startup_trials=sampler.n_startup_trials,
            deterministic_objective=sampler.deterministic,
            warn_independent_sampling=False,
        )

    def forget(self, sampler: BaseSampler) -> None:
        assert isinstance(sampler, optuna.samplers.GPSampler), "as built above"
        forget_fits(sampler)


class _CmaEs(SamplerBuilder[CmaEsSampler]):
    spec = CmaEsSampler
    kept = ("cma:",)

    def build(self, sampler: CmaEsSampler, space: SearchSpace) -> BaseSampler:
        return _NumberlessCmaEs(
            seed=sampler.seed,
            n_startup_trials=sampler.n_startup_trials,
            popsize=sampler.population_size,
            warn_independent_sampling=False,
        )


class _Nsgaii(SamplerBuilder[NsgaiiSampler]):
    spec = NsgaiiSampler
    kept = ("nsgaii:",)

    def build(self, sampler: NsgaiiSampler, space: SearchSpace) -> BaseSampler:
        return OrderedNsgaii(
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
        copy_study_attrs(study, trial, _Qmc.study_kept)
        return point


class _NumberlessCmaEs(optuna.samplers.CmaEsSampler):
    """Optuna's own adds its trial number to the seed, which differs in a rebuilt study."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        unnumbered = copy.copy(trial)
        unnumbered.number = 0
        return super().sample_relative(study, unnumbered, search_space)


class _None(PrunerBuilder[NoPruner]):
    spec = NoPruner

    def build(self, pruner: NoPruner) -> BasePruner:
        return optuna.pruners.NopPruner()


class _Median(PrunerBuilder[MedianPruner]):
    spec = MedianPruner

    def build(self, pruner: MedianPruner) -> BasePruner:
        return optuna.pruners.MedianPruner(
            n_startup_trials=pruner.n_startup_trials,
            n_warmup_steps=pruner.n_warmup_steps,
            interval_steps=pruner.interval_steps,
            n_min_trials=max(1, pruner.n_startup_trials),
        )


class _Percentile(PrunerBuilder[PercentilePruner]):
    spec = PercentilePruner

    def build(self, pruner: PercentilePruner) -> BasePruner:
        return optuna.pruners.PercentilePruner(
            pruner.percentile,
            n_startup_trials=pruner.n_startup_trials,
            n_warmup_steps=pruner.n_warmup_steps,
            interval_steps=pruner.interval_steps,
            n_min_trials=max(1, pruner.n_startup_trials),
        )


class _Asha(PrunerBuilder[AshaPruner]):
    spec = AshaPruner

    def build(self, pruner: AshaPruner) -> BasePruner:
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=pruner.min_resource,
            reduction_factor=pruner.reduction_factor,
            min_early_stopping_rate=pruner.min_early_stopping_rate,
        )


class _Hyperband(PrunerBuilder[HyperbandPruner]):
    spec = HyperbandPruner

    def build(self, pruner: HyperbandPruner) -> BasePruner:
        return optuna.pruners.HyperbandPruner(
            min_resource=pruner.min_resource,
            max_resource=pruner.max_resource or "auto",
            reduction_factor=pruner.reduction_factor,
        )


class _Threshold(PrunerBuilder[ThresholdPruner]):
    spec = ThresholdPruner

    def build(self, pruner: ThresholdPruner) -> BasePruner:
        return optuna.pruners.ThresholdPruner(
            lower=pruner.lower,
            upper=pruner.upper,
            n_warmup_steps=pruner.n_warmup_steps,
            interval_steps=pruner.interval_steps,
        )


class _Patient(PrunerBuilder[PatientPruner]):
    spec = PatientPruner

    def build(self, pruner: PatientPruner) -> BasePruner:
        return optuna.pruners.PatientPruner(None, patience=pruner.patience, min_delta=pruner.min_delta)
