"""The search of one job: the only file that holds an Optuna study.

The study is a working copy in memory. The record is the database: `Search` is rebuilt from it whenever a worker takes a
job over, and is told nothing that is not committed. Trials are known here by the record's numbers; Optuna numbers its
own in the order in which they enter the study.
"""

import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.trial import TrialState as OptunaState

from service.domain.seeds import derive_seed
from service.domain.trial import Report, Trial, TrialState
from service.spec.grid import grid_cells
from service.spec.job import JobSpec
from service.spec.objective import Objective
from service.spec.pruners import (
    AshaPruner,
    HyperbandPruner,
    MedianPruner,
    NoPruner,
    PatientPruner,
    PercentilePruner,
    Pruner,
    ThresholdPruner,
)
from service.spec.samplers import GridSampler, RandomSampler, Sampler, TpeSampler
from service.spec.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Scalar,
    SearchSpace,
    applies,
    in_dependency_order,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)

_FEASIBLE = "feasible"
"""The constraint key that every trial carries: a constraint on only some trials makes the GP sampler raise."""
_DERIVED_ATTRS = ("constraints", "tpe:relative_params", "fixed_params")
"""System attributes that are not kept: they follow from the record."""


@dataclass(frozen=True)
class Proposal:
    """A configuration to try next. Not yet part of the search: `open` makes it so once it is in the record."""

    params: dict[str, Scalar]
    cell: int | None = None
    draw: optuna.trial.Trial | None = None
    """The study's own handle; nobody else's business."""
    study_attrs: Mapping[str, object] = field(default_factory=dict)
    """What the record must keep with the trial for a rebuilt study to be the same study."""


class Search:
    """Proposes parameters, judges reports, learns from ends. One a job, in the process that holds the job's lease."""

    def __init__(self, job_id: str, spec: JobSpec, on_ready: Callable[[], None] | None = None) -> None:
        assert spec.search_space is not None, "a stored spec has its search space written back"
        assert spec.objectives, "a stored spec has its objectives written back"
        assert spec.sampler.seed is not None, "a stored spec has its seed written back"
        self._space: SearchSpace = spec.search_space
        self._objectives: Sequence[Objective] = spec.objectives
        self._seed: int = spec.sampler.seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # grouped TPE and the patient pruner
            self._sampler = _build_sampler(spec.sampler, self._space)
            pruner = _build_pruner(spec.pruner)
        self._study = optuna.create_study(
            study_name=job_id,
            directions=[objective.direction.value for objective in self._objectives],
            sampler=self._sampler,
            pruner=pruner,
        )
        self._grid = _Grid(spec.sampler, self._space, self._seed) if isinstance(spec.sampler, GridSampler) else None
        self._open: dict[int, optuna.trial.Trial] = {}

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing left to propose."""
        return self._grid is not None and self._grid.is_exhausted

    @property
    def is_thinking(self) -> bool:
        """Whether an ask is under way; `on_ready` is called when `propose` has its answer."""
        return False

    def shut(self) -> None:
        """End what the search runs beside this process."""

    def restore(self, trials: Iterable[Trial], reports: Iterable[Report]) -> None:
        """Enter what the record has, in the record's order; trials that were under way are open again.

        Args:
            trials: by number.
            reports: of any of these trials; none are needed without a pruner.
        """
        values: dict[int, dict[int, float]] = {}
        metric = self._objectives[0].metric
        for report in reports:
            if metric in report.values:
                values.setdefault(report.number, {})[report.step] = report.values[metric]
        for trial in trials:
            if self._grid and trial.cell is not None:
                self._grid.mark_taken(trial.cell)
            if trial.replicate_of is not None or (trial.attempt == 0 and not trial.state.is_finished):
                continue  # a replicate never enters the study; a queued trial does when it starts
            if trial.state.is_finished and not self._waits_for_stand_in(trial):
                self._study.add_trial(self._freeze(trial, values.get(trial.number, {})))
                continue
            self.open(trial.number, Proposal(trial.params, trial.cell))
            for step, value in sorted(values.get(trial.number, {}).items()):
                self._open[trial.number].report(value, step)
                self._open[trial.number].should_prune()  # leaves the marks of the rungs it has passed

    def propose(self, number: int) -> Proposal | None:
        """Return what to try as trial `number`; None: there is nothing left to propose.

        The sampler's generator is seeded from (job seed, trial number) first, so that a search that was interrupted and
        rebuilt draws what the uninterrupted one would have.
        """
        if self._grid:
            cell = self._grid.next_cell()
            return cell if cell is None else Proposal(self._grid.cells[cell], cell)
        _reseed(self._sampler, derive_seed(self._seed, "ask", number))
        draw = self._study.ask()
        return Proposal(self._suggest(draw), draw=draw)

    def complete(self, number: int, params: Mapping[str, Scalar]) -> Proposal:
        """Return a configuration a client asked for, with what it left out drawn by the sampler."""
        _reseed(self._sampler, derive_seed(self._seed, "ask", number))
        draw = self._enter(params)
        completed = self._suggest(draw)
        return Proposal(completed, self._grid.take(completed) if self._grid else None, draw)

    def open(self, number: int, proposal: Proposal) -> None:
        """Make a trial part of the search: it is in the record and about to run."""
        draw = proposal.draw
        if draw is None:
            draw = self._enter(proposal.params)
            self._suggest(draw)
        self._open[number] = draw

    def is_open(self, number: int) -> bool:
        """Tell whether a trial is part of the search and has not ended."""
        return number in self._open

    def discard(self, proposal: Proposal) -> None:
        """Drop a proposal that never made it into the record; its cell is free again."""
        if proposal.draw is not None:
            self._study.tell(proposal.draw, state=OptunaState.FAIL)
        if self._grid and proposal.cell is not None:
            self._grid.give_back(proposal.cell)

    def report(self, number: int, step: int, values: Mapping[str, float]) -> bool:
        """Take in a committed measurement and return whether the pruner would stop the trial."""
        value = values.get(self._objectives[0].metric)
        if value is None or len(self._objectives) > 1:
            return False
        trial = self._open[number]
        trial.report(value, step)
        return trial.should_prune()

    def study_attrs(self, number: int) -> dict[str, object]:
        """Return what Optuna keeps with an open trial and the record must keep too (the rungs it has passed)."""
        trial = self._open[number]
        attrs = trial.storage.get_trial_system_attrs(trial._trial_id)
        return {key: value for key, value in attrs.items() if not key.startswith(_DERIVED_ATTRS)}

    def close(self, number: int, state: TrialState, values: Sequence[float] | None) -> None:
        """Take in a committed end.

        Args:
            values: of the objectives; for an infeasible trial their stand-ins. None leaves an infeasible trial open (to
                the sampler it runs on, and is avoided like one) until the first feasible value gives it a stand-in.
        """
        if state is TrialState.INFEASIBLE and values is None:
            return
        trial = self._open.pop(number)
        trial.set_constraint(_FEASIBLE, 1.0 if state is TrialState.INFEASIBLE else -1.0)
        optuna_state = _OPTUNA_STATES[state]
        told = list(values) if values and optuna_state is OptunaState.COMPLETE else None
        self._study.tell(trial, told, state=optuna_state)

    def _enter(self, params: Mapping[str, Scalar]) -> optuna.trial.Trial:
        self._study.enqueue_trial({name: _to_optuna(self._space[name], value) for name, value in params.items()})
        return self._study.ask()

    def _suggest(self, trial: optuna.trial.Trial) -> dict[str, Scalar]:
        """Draw every parameter that applies, parents first; return them as clients see them."""
        params: dict[str, Scalar] = {}
        for name in in_dependency_order(self._space):
            parameter = self._space[name]
            if applies(parameter, params):
                params[name] = _from_optuna(parameter, _draw(trial, name, _distribution(parameter)))
        return params

    def _waits_for_stand_in(self, trial: Trial) -> bool:
        return trial.state is TrialState.INFEASIBLE and trial.told is None

    def _freeze(self, trial: Trial, reported: Mapping[int, float]) -> optuna.trial.FrozenTrial:
        """Return a finished trial as the study would have had it."""
        state = _OPTUNA_STATES[trial.state]
        return optuna.trial.create_trial(
            state=state,
            values=self._frozen_values(trial, state, reported),
            params={name: _to_optuna(self._space[name], value) for name, value in trial.params.items()},
            distributions={name: _distribution(self._space[name]) for name in trial.params},
            system_attrs=dict(trial.study_attrs),
            intermediate_values=dict(reported),
            constraints={_FEASIBLE: 1.0 if trial.state is TrialState.INFEASIBLE else -1.0},
        )

    def _frozen_values(self, trial: Trial, state: OptunaState, reported: Mapping[int, float]) -> Sequence[float] | None:
        match state:
            case OptunaState.COMPLETE:
                return trial.told or [trial.values[objective.metric] for objective in self._objectives]
            case OptunaState.PRUNED if reported:
                return [reported[max(reported)]]  # as Optuna does when it is told PRUNED
            case _:
                return None


class _Grid:
    """Which cells of the grid are still to be tried, in an order shuffled by the job's seed."""

    def __init__(self, sampler: GridSampler, space: SearchSpace, seed: int) -> None:
        self.cells = grid_cells(space, points=sampler.points)
        order = list(range(len(self.cells)))
        random.Random(derive_seed(seed, "grid")).shuffle(order)
        self._left = dict.fromkeys(order)
        self._index = {_cell_key(cell): index for index, cell in enumerate(self.cells)}

    @property
    def is_exhausted(self) -> bool:
        return not self._left

    def next_cell(self) -> int | None:
        cell = next(iter(self._left), None)
        if cell is not None:
            self.mark_taken(cell)
        return cell

    def take(self, params: Mapping[str, Scalar]) -> int | None:
        """Return the free cell these parameters are, if they are one, and take it."""
        cell = self._index.get(_cell_key(params))
        if cell not in self._left:
            return None
        self.mark_taken(cell)
        return cell

    def give_back(self, cell: int) -> None:
        self._left[cell] = None

    def mark_taken(self, cell: int) -> None:
        self._left.pop(cell, None)


def _cell_key(params: Mapping[str, Scalar]) -> frozenset[tuple[str, Scalar]]:
    return frozenset(params.items())


_OPTUNA_STATES: dict[TrialState, OptunaState] = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.INFEASIBLE: OptunaState.COMPLETE,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELLED: OptunaState.FAIL,
}


def _build_sampler(sampler: Sampler, space: SearchSpace) -> BaseSampler:
    match sampler:
        case TpeSampler():
            return optuna.samplers.TPESampler(
                seed=sampler.seed,
                n_startup_trials=sampler.n_startup_trials,
                n_ei_candidates=sampler.n_ei_candidates,
                # Ungrouped, conditional parameters are drawn independently of all others.
                group=any(parameter.when for parameter in space.values()),
                multivariate=True,
            )
        case RandomSampler() | GridSampler():
            return optuna.samplers.RandomSampler(seed=sampler.seed)
        case _:
            assert_never(sampler)


def _build_pruner(pruner: Pruner) -> optuna.pruners.BasePruner:
    match pruner:
        case NoPruner():
            return optuna.pruners.NopPruner()
        case MedianPruner():
            return optuna.pruners.MedianPruner(
                n_startup_trials=pruner.n_startup_trials,
                n_warmup_steps=pruner.n_warmup_steps,
                interval_steps=pruner.interval_steps,
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


def _reseed(sampler: BaseSampler, seed: int) -> None:
    """Seed every generator a sampler holds, its inner samplers' too.

    Optuna's public `reseed_rng` takes no seed; making the sampler anew would drop its search-space cache and cost a
    pass over the history at every ask. `test_resumed_search_equals_uninterrupted` fails if the attribute's type moves.
    """
    for value in vars(sampler).values():
        if isinstance(value, LazyRandomState):
            value.rng.seed(seed)
        elif isinstance(value, BaseSampler):
            _reseed(value, seed)


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case FloatParameter(low=float() as low, high=float() as high):
            return FloatDistribution(low, high, log=parameter.log, step=parameter.step)
        case IntParameter(powers_of_two=True):
            return IntDistribution(parameter.low.bit_length() - 1, parameter.high.bit_length() - 1)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case CategoricalParameter():
            return CategoricalDistribution(parameter.choices)
        case _:
            raise AssertionError("bounds are resolved before a search starts")


def _draw(trial: optuna.trial.Trial, name: str, distribution: BaseDistribution) -> Scalar:
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


def _to_optuna(parameter: Parameter, value: Scalar) -> Scalar:
    if isinstance(parameter, IntParameter) and parameter.powers_of_two:
        return int(value).bit_length() - 1
    return value


def _from_optuna(parameter: Parameter, value: Scalar) -> Scalar:
    if isinstance(parameter, IntParameter) and parameter.powers_of_two:
        return 1 << int(value)
    return value
