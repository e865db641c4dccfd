"""The search of one job: the only file that holds an Optuna study.

The study is a working copy in memory. The record is the database: `Search` is rebuilt from it whenever a worker takes a
job over, and is told nothing that is not committed. Trials are known here by the record's numbers; Optuna numbers its
own in the order in which they enter the study.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.trial import TrialState as OptunaState

from stepsize.domain.seeds import derive_seed
from stepsize.domain.trial import Report, Trial, TrialPurpose, TrialReason, TrialState
from stepsize.spec.objective import Objective
from stepsize.spec.pruners import NoPruner
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.samplers import GridSampler, RandomSampler
from stepsize.spec.space import Scalar, SearchSpace, applies, in_dependency_order
from stepsize_workers.sampling.admission import Admission
from stepsize_workers.sampling.asker import Asker, Closed, Discarded, Note, Opened, Restored, Warmed
from stepsize_workers.sampling.builders import PRUNER_MARKS, BuiltSampler, build_pruner, kept_attrs
from stepsize_workers.sampling.cells import Grid
from stepsize_workers.sampling.distributions import distribution_of, from_optuna, suggest, to_optuna
from stepsize_workers.sampling.optuna_internals import set_trial_attrs, trial_attrs
from stepsize_workers.sampling.proposing import AdmittingSampler, NothingLeftError
from stepsize_workers.warm_start import EarlierTrial

optuna.logging.set_verbosity(optuna.logging.WARNING)

_FEASIBLE = "feasible"
"""The constraint key that every trial of a replica carries: one on only some trials makes the GP sampler raise."""


@dataclass(frozen=True)
class Proposal:
    """A configuration to try next. Not yet part of the search: `open` makes it so once it is in the record."""

    params: dict[str, Scalar]
    cell: int | None = None
    draw: optuna.trial.Trial | None = None
    """The study's own handle; nobody else's business."""
    study_attrs: Mapping[str, object] = field(default_factory=dict)
    """What the record must keep with the trial for a rebuilt study to be the same study."""
    ask: int | None = None
    """The number it was asked for as, where another process was asked."""


class Search:
    """Proposes parameters, judges reports, learns from ends. One a job, in the process that holds the job's lease."""

    def __init__(
        self,
        job_id: str,
        spec: ResolvedJobSpec,
        on_ready: Callable[[], None] | None = None,
        *,
        asks_here: bool = False,
        last_step: Callable[[Mapping[str, Scalar]], int | None] = lambda _: None,
    ) -> None:
        """Begin with an empty study.

        Args:
            on_ready: called, in a thread of its own, when the answer to an ask has come that `propose` did not have.
            asks_here: whether a heavy sampler may think in this process; else one is started for it.
            last_step: a trial's parameters → its last step, at which there is nothing left to save; None: unknown.
        """
        self._space: SearchSpace = spec.search_space
        self._objectives: Sequence[Objective] = spec.objectives
        self._seed: int = spec.seed
        asks_elsewhere = spec.sampler.is_heavy and not asks_here
        self._asker = Asker(job_id, spec, on_ready) if asks_elsewhere else None
        # To TPE a constraint beside a stand-in changes nothing, and reading them was a third of an ask.
        self._constrains = asks_here
        self._last_step = last_step
        self._admission = Admission(spec)
        drawn_by = RandomSampler(seed=self._seed) if asks_elsewhere else spec.sampler
        self._built = BuiltSampler(drawn_by, self._space)
        self._kept = kept_attrs(spec.sampler)
        self._sampler = AdmittingSampler(self._built, self._admission)
        self._study = optuna.create_study(
            study_name=job_id,
            directions=[objective.direction.value for objective in self._objectives],
            sampler=self._sampler,
            # The replica judges no reports, and Hyperband's brackets would show its sampler a part of the trials only.
            pruner=build_pruner(NoPruner() if asks_here else spec.pruner),
        )
        self._grid: Grid | None = None
        if isinstance(spec.sampler, GridSampler):
            self._grid = Grid(spec.sampler, self._space, self._seed, self._admission.is_allowed)
        self._open: dict[int, _OpenTrial] = {}

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing left to propose."""
        return self._grid.is_exhausted if self._grid else self._admission.is_exhausted

    @property
    def is_thinking(self) -> bool:
        """Whether an ask is under way; `on_ready` is called when `propose` has its answer."""
        return self._asker is not None and self._asker.is_thinking

    def shut(self) -> None:
        """End what the search runs beside this process."""
        if self._asker:
            self._asker.shut()

    def warm(self, earlier: Iterable[EarlierTrial]) -> None:
        """Enter trials of earlier jobs as history, before anything else: what they tried may be proposed again."""
        earlier = tuple(earlier)
        if earlier:
            self._note(Warmed(earlier))
        for index, trial in enumerate(earlier):
            self._admission.learn(index - len(earlier), trial.params, trial.state, trial.reason)
            frozen = optuna.trial.create_trial(
                state=_OPTUNA_STATES[trial.state],
                values=trial.values,
                params={name: to_optuna(self._space[name], value) for name, value in trial.params.items()},
                distributions={name: distribution_of(self._space[name]) for name in trial.params},
                intermediate_values={} if trial.step is None else {trial.step: trial.values[0]},
                constraints=self._constraints(trial.state),
            )
            self._study.add_trial(frozen)

    def restore(self, trials: Iterable[Trial], reports: Iterable[Report]) -> None:
        """Enter what the record has, in the record's order; trials that were under way are open again.

        Args:
            trials: by number.
            reports: of any of these trials; none are needed without a pruner.
        """
        trials = tuple(trials)
        self._note(Restored(trials))
        values = self._first_objective(reports)
        for trial in trials:
            if self._grid and trial.cell is not None:
                self._grid.mark_taken(trial.cell)
            if trial.purpose is not TrialPurpose.SEARCH or (trial.attempt == 0 and not trial.state.is_finished):
                continue  # only the search enters the study; a queued trial does when it starts
            self._built.restore_study(self._study, trial.study_attrs)
            if trial.state.is_finished:
                self._admission.learn(trial.number, trial.params, trial.state, trial.reason)
            if trial.state.is_finished and not self._waits_for_stand_in(trial):
                self._admission.cells.enter(trial.params)
                self._study.add_trial(self._freeze(trial, values.get(trial.number, {})))
                continue
            self._reopen(trial, values.get(trial.number, {}))

    def propose(self, number: int) -> Proposal | None:
        """Return what to try as trial `number`; None: nothing is left, or (`is_thinking`) the answer is still to come.

        The sampler's generator is seeded from (job seed, trial number) first, so that a search that was interrupted and
        rebuilt draws what the uninterrupted one would have.
        """
        if self.is_exhausted:
            return None
        if self._grid:
            cell = self._grid.next_cell()
            return None if cell is None else Proposal(self._grid.cells[cell], cell)
        proposal = self._ask_elsewhere(self._asker, number) if self._asker else self._ask_here(number)
        if proposal:
            self._admission.cells.enter(proposal.params)
        return proposal

    def complete(self, number: int, params: Mapping[str, Scalar]) -> Proposal:
        """Return a configuration a client asked for, with what it left out drawn by the sampler, if that is quick."""
        self._sampler.begin(derive_seed(self._seed, "ask", number))
        draw = self._enter(params)
        completed = self._suggest(draw)
        self._admission.cells.enter(completed)
        cell = self._grid.take(completed) if self._grid else None
        return Proposal(completed, cell, draw, self._attrs_to_keep(draw))

    def open(self, number: int, proposal: Proposal) -> None:
        """Make a trial part of the search: it is in the record and about to run."""
        draw = proposal.draw
        if draw is None:
            draw = self._enter(proposal.params, proposal.study_attrs)
            self._suggest(draw)
            if proposal.ask is None and proposal.cell is None:
                self._admission.cells.enter(proposal.params)
        self._open[number] = _OpenTrial(draw, proposal.params)
        self._note(Opened(number, proposal.params, proposal.study_attrs, proposal.ask))

    def is_open(self, number: int) -> bool:
        """Tell whether a trial is part of the search and has not ended."""
        return number in self._open

    def discard(self, proposal: Proposal) -> None:
        """Drop a proposal that never made it into the record; its cell is free again."""
        if proposal.draw is not None:
            self._study.tell(proposal.draw, state=OptunaState.FAIL)
        if proposal.ask is not None:
            self._note(Discarded(proposal.ask))
        if self._grid and proposal.cell is not None:
            self._grid.give_back(proposal.cell)
        if proposal.draw is not None or proposal.ask is not None:
            self._admission.cells.leave(proposal.params)

    def report(self, number: int, step: int, values: Mapping[str, float]) -> bool:
        """Take in a committed measurement and return whether the pruner would stop the trial."""
        value = values.get(self._objectives[0].metric)
        if value is None or not math.isfinite(value) or len(self._objectives) > 1:
            return False
        return self._judge(self._open[number], step, value)

    def study_attrs(self, number: int) -> dict[str, object]:
        """Return what Optuna keeps with an open trial and the record must keep too (the rungs it has passed)."""
        return self._attrs_to_keep(self._open[number].draw)

    def close(
        self, number: int, state: TrialState, values: Sequence[float] | None, *, reason: TrialReason | None = None
    ) -> None:
        """Take in a committed end.

        Args:
            values: of the objectives; for an infeasible trial their stand-ins. None leaves an infeasible trial open (to
                the sampler it runs on, and is avoided like one) until the first feasible value gives it a stand-in.
            reason: why; an infeasible trial that diverged or ran out of memory shows where trials fail.
        """
        self._note(Closed(number, state, tuple(values) if values else None, reason))
        self._admission.learn(number, self._open[number].params, state, reason)
        if state is TrialState.INFEASIBLE and values is None:
            return
        trial = self._open.pop(number).draw
        for key, value in self._constraints(state).items():
            trial.set_constraint(key, value)
        optuna_state = _OPTUNA_STATES[state]
        told = list(values) if values and optuna_state is OptunaState.COMPLETE else None
        self._study.tell(trial, told, state=optuna_state)

    def _note(self, note: Note) -> None:
        if self._asker:
            self._asker.note(note)

    def _ask_here(self, number: int) -> Proposal | None:
        self._sampler.begin(derive_seed(self._seed, "ask", number))
        draw = self._study.ask()
        try:
            params = self._suggest(draw)
        except NothingLeftError:
            self._study.tell(draw, state=OptunaState.FAIL)
            self._admission.found_nothing = True
            return None
        return Proposal(params, draw=draw, study_attrs=self._attrs_to_keep(draw))

    def _ask_elsewhere(self, asker: Asker, number: int) -> Proposal | None:
        answer = asker.ask(number)
        if answer is None:
            return None
        if answer.has_failed:
            return self._ask_here(number)  # at random: better than a job that stands still
        if answer.params is None:
            self._admission.found_nothing = True
            return None
        return Proposal(answer.params, study_attrs=answer.study_attrs, ask=number)

    def _reopen(self, trial: Trial, reported: Mapping[int, float]) -> None:
        attrs = {key: value for key, value in trial.study_attrs.items() if not key.startswith(PRUNER_MARKS)}
        draw = self._enter(trial.params, attrs)
        self._suggest(draw)
        self._admission.cells.enter(trial.params)
        self._open[trial.number] = opened = _OpenTrial(draw, trial.params)
        for step, value in sorted(reported.items()):
            self._judge(opened, step, value)  # leaves the marks of the rungs it has passed

    def _judge(self, trial: "_OpenTrial", step: int, value: float) -> bool:
        """Enter a value and return whether the trial is to be stopped; never at its end, where it has run anyway."""
        trial.draw.report(value, step)
        last = self._last_step(trial.params)
        return (last is None or step < last) and trial.draw.should_prune()

    def _enter(
        self, params: Mapping[str, Scalar], study_attrs: Mapping[str, object] | None = None
    ) -> optuna.trial.Trial:
        self._study.enqueue_trial({name: to_optuna(self._space[name], value) for name, value in params.items()})
        draw = self._study.ask()
        set_trial_attrs(draw, study_attrs or {})
        return draw

    def _suggest(self, trial: optuna.trial.Trial) -> dict[str, Scalar]:
        """Draw every parameter that applies, parents first; return them as clients see them."""
        params: dict[str, Scalar] = {}
        for name in in_dependency_order(self._space):
            parameter = self._space[name]
            if applies(parameter, params):
                params[name] = from_optuna(parameter, suggest(trial, name, distribution_of(parameter)))
        return params

    def _attrs_to_keep(self, draw: optuna.trial.Trial) -> dict[str, object]:
        return {key: value for key, value in trial_attrs(draw).items() if key.startswith(self._kept)}

    def _first_objective(self, reports: Iterable[Report]) -> dict[int, dict[int, float]]:
        """Return what pruners judge by: trial number → step → finite value."""
        metric = self._objectives[0].metric
        values: dict[int, dict[int, float]] = {}
        for report in reports:
            if metric in report.values and math.isfinite(report.values[metric]):
                values.setdefault(report.number, {})[report.step] = report.values[metric]
        return values

    def _constraints(self, state: TrialState) -> dict[str, float]:
        """Return the constraint a trial carries: above 0, it is infeasible."""
        return {_FEASIBLE: 1.0 if state is TrialState.INFEASIBLE else -1.0} if self._constrains else {}

    def _waits_for_stand_in(self, trial: Trial) -> bool:
        return trial.state is TrialState.INFEASIBLE and trial.stand_in is None

    def _freeze(self, trial: Trial, reported: Mapping[int, float]) -> optuna.trial.FrozenTrial:
        """Return a finished trial as the study would have had it."""
        state = _OPTUNA_STATES[trial.state]
        return optuna.trial.create_trial(
            state=state,
            values=self._frozen_values(trial, state, reported),
            params={name: to_optuna(self._space[name], value) for name, value in trial.params.items()},
            distributions={name: distribution_of(self._space[name]) for name in trial.params},
            system_attrs=dict(trial.study_attrs),
            intermediate_values=dict(reported),
            constraints=self._constraints(trial.state),
        )

    def _frozen_values(self, trial: Trial, state: OptunaState, reported: Mapping[int, float]) -> Sequence[float] | None:
        match state:
            case OptunaState.COMPLETE:
                return trial.stand_in or [trial.values[objective.metric] for objective in self._objectives]
            case OptunaState.PRUNED if reported:
                return [reported[max(reported)]]  # as Optuna does when it is told PRUNED
            case _:
                return None


@dataclass(frozen=True)
class _OpenTrial:
    """A trial that is part of the search and has not ended."""

    draw: optuna.trial.Trial
    params: Mapping[str, Scalar]


_OPTUNA_STATES: dict[TrialState, OptunaState] = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.INFEASIBLE: OptunaState.COMPLETE,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELLED: OptunaState.FAIL,
}
