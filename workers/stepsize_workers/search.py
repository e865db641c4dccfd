"""The search of one job: what is proposed, what is under way, and what has been learned.

The record is the database: `Search` is rebuilt from it whenever a worker takes a job over, and is told nothing that is
not committed. Trials are known here by the record's numbers.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stepsize.domain.trial import Report, Trial, TrialPurpose, TrialReason, TrialState
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.samplers import GridSampler
from stepsize.spec.space import Scalar
from stepsize_workers.sampling.admission import Admission
from stepsize_workers.sampling.asker import Asker, Closed, Discarded, Note, Opened, Restored, Warmed
from stepsize_workers.sampling.cells import Grid
from stepsize_workers.sampling.proposing import NoneAlikeError, NothingLeftError
from stepsize_workers.sampling.working_study import Draw, WorkingStudy
from stepsize_workers.warm_start import EarlierTrial


@dataclass(frozen=True)
class Proposal:
    """A configuration to try next. Not yet part of the search: `open` makes it so once it is in the record."""

    params: dict[str, Scalar]
    cell: int | None = None
    draw: Draw | None = None
    """Where it is under way in the study already."""
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
        self._metric = spec.objectives[0].metric
        self._is_judged = len(spec.objectives) == 1
        asks_elsewhere = spec.sampler.is_heavy and not asks_here
        self._asker = Asker(job_id, spec, on_ready) if asks_elsewhere else None
        self._admission = Admission(spec)
        self._study = WorkingStudy(spec, self._admission, is_replica=asks_here, last_step=last_step)
        self._grid: Grid | None = None
        if isinstance(spec.sampler, GridSampler):
            self._grid = Grid(spec.sampler, spec.search_space, spec.seed, self._admission.is_allowed)
        self._open: dict[int, Draw] = {}

    @property
    def study(self) -> WorkingStudy:
        """What the sampler and the pruner have been shown."""
        return self._study

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
            self._study.add_earlier(trial)

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
            self._study.recall(trial.study_attrs)
            if trial.state.is_finished:
                self._admission.learn(trial.number, trial.params, trial.state, trial.reason)
            if trial.state.is_finished and not _waits_for_stand_in(trial):
                self._admission.cells.enter(trial.params)
                self._study.add_ended(trial, values.get(trial.number, {}))
                continue
            self._admission.cells.enter(trial.params)
            self._open[trial.number] = self._study.reopen(trial, values.get(trial.number, {}))

    def propose(self, number: int, *, like: Mapping[str, Scalar] | None = None) -> Proposal | None:
        """Return what to try as trial `number`; None: nothing is left, or (`is_thinking`) the answer is still to come.

        A search that was interrupted and rebuilt proposes what the uninterrupted one would have.

        Args:
            like: what it shares with the trials of a group. None too where nothing like that is left, and of a sampler
                that thinks for long: it only proposes freely.
        """
        if self.is_exhausted or (like is not None and self._asker):
            return None
        if self._grid:
            cell = self._grid.next_cell(like)
            return None if cell is None else Proposal(self._grid.cells[cell], cell)
        proposal = self._ask_elsewhere(self._asker, number) if self._asker else self._ask_here(number, like)
        if proposal:
            self._admission.cells.enter(proposal.params)
        return proposal

    def complete(self, number: int, params: Mapping[str, Scalar]) -> Proposal:
        """Return a configuration a client asked for, with what it left out drawn by the sampler, if that is quick."""
        draw = self._study.complete(number, params)
        self._admission.cells.enter(draw.params)
        cell = self._grid.take(draw.params) if self._grid else None
        return Proposal(draw.params, cell, draw, self._study.attrs_to_keep(draw))

    def open(self, number: int, proposal: Proposal) -> None:
        """Make a trial part of the search: it is in the record and about to run."""
        draw = proposal.draw
        if draw is None:
            draw = self._study.enter(proposal.params, proposal.study_attrs)
            if proposal.ask is None and proposal.cell is None:
                self._admission.cells.enter(proposal.params)
        self._open[number] = draw
        self._note(Opened(number, proposal.params, proposal.study_attrs, proposal.ask))

    def is_open(self, number: int) -> bool:
        """Tell whether a trial is part of the search and has not ended."""
        return number in self._open

    def discard(self, proposal: Proposal) -> None:
        """Drop a proposal that never made it into the record; its cell is free again."""
        if proposal.draw is not None:
            self._study.drop(proposal.draw)
        if proposal.ask is not None:
            self._note(Discarded(proposal.ask))
        if self._grid and proposal.cell is not None:
            self._grid.give_back(proposal.cell)
        if proposal.draw is not None or proposal.ask is not None:
            self._admission.cells.leave(proposal.params)

    def report(self, number: int, step: int, values: Mapping[str, float]) -> bool:
        """Take in a committed measurement and return whether the pruner would stop the trial."""
        value = values.get(self._metric)
        if value is None or not math.isfinite(value) or not self._is_judged:
            return False
        return self._study.judge(self._open[number], step, value)

    def study_attrs(self, number: int) -> dict[str, object]:
        """Return what Optuna keeps with an open trial and the record must keep too (the rungs it has passed)."""
        return self._study.attrs_to_keep(self._open[number])

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
        self._study.end(self._open.pop(number), state, values)

    def _note(self, note: Note) -> None:
        if self._asker:
            self._asker.note(note)

    def _ask_here(self, number: int, like: Mapping[str, Scalar] | None = None) -> Proposal | None:
        try:
            draw = self._study.ask(number, like=like)
        except NoneAlikeError:
            return None
        except NothingLeftError:
            self._admission.found_nothing = True
            return None
        return Proposal(draw.params, draw=draw, study_attrs=self._study.attrs_to_keep(draw))

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

    def _first_objective(self, reports: Iterable[Report]) -> dict[int, dict[int, float]]:
        """Return what pruners judge by: trial number → step → finite value."""
        values: dict[int, dict[int, float]] = {}
        for report in reports:
            if self._metric in report.values and math.isfinite(report.values[self._metric]):
                values.setdefault(report.number, {})[report.step] = report.values[self._metric]
        return values


def _waits_for_stand_in(trial: Trial) -> bool:
    return trial.state is TrialState.INFEASIBLE and trial.stand_in is None
