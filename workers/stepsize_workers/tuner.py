"""What a job's search has learned, what it is told, and what it proposes next.

Nothing enters here before its commit: ends are foreseen, then written, then taken in.
"""

import gc
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stepsize.domain.job import JobKind, JobReason
from stepsize.domain.outcomes import objective_values
from stepsize.domain.seeds import training_seed
from stepsize.domain.trial import Report, Trial, TrialPurpose, TrialState
from stepsize.spec.space import Scalar
from stepsize.store.ledger import NewTrial
from stepsize_workers.held_job import HeldJob
from stepsize_workers.search import Proposal, Search
from stepsize_workers.stand_ins import End, Foreseen, StandIns
from stepsize_workers.stopping import StopRules, in_order_of_end, limit_reached
from stepsize_workers.warm_start import History, load_history

_LARGE_STUDY = 1000
"""Trials from which a rebuilt study is kept from the garbage collector: half a million objects for 10,000 trials, which
live as long as the job; walking them in every full collection doubled the cost of a trial."""


@dataclass(frozen=True)
class Draft:
    """A trial about to come to life: what it is to try, and what the record has of it already."""

    proposal: Proposal
    queued: Trial | None = None
    """None: the search has just proposed it."""


class Tuner:
    """The search of one job with everything that watches it."""

    def __init__(self, held: HeldJob) -> None:
        self._held = held
        self._history = History()
        self._search = self._new_search()
        self._rules = StopRules(held)
        self._stand_ins = StandIns(held.objectives)

    # -- from the record ---------------------------------------------------------------------------------------------

    def load_history(self) -> None:
        """Read the earlier trials that the job's warm start names."""
        spec = self._held.spec
        if spec.warm_start is not None:
            space = spec.search_space
            self._history = self._held.read(lambda connection: load_history(connection, self._held.job, space))

    def rebuild(self, trials: Sequence[Trial], reports: Iterable[Report]) -> None:
        """Forget the study, and learn what the record says.

        Args:
            trials: all of the job's, by number.
            reports: of these; none are needed without a pruner.
        """
        self._search.shut()
        self._search = self._new_search()
        if self._held.job.kind is JobKind.TUNE:
            self._search.warm(self._history.trials)
            self._search.restore(trials, reports)
        if len(trials) >= _LARGE_STUDY:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        ends = [self.end_of(trial) for trial in in_order_of_end(trials)]
        self._stand_ins = StandIns(self._held.objectives)
        for end in ends:
            self._stand_ins.take_in(end)
        self._rules.restart(ends)

    def end_of(self, trial: Trial) -> End:
        """Return how a finished trial has ended, for the search."""
        is_feasible = trial.state is TrialState.COMPLETED
        values = objective_values(self._held.objectives, trial.values) if is_feasible else None
        return End(trial.number, trial.params, trial.state, trial.reason, values, trial.stand_in)

    # -- what comes next ---------------------------------------------------------------------------------------------

    @property
    def is_thinking(self) -> bool:
        """Whether the next proposal is being thought of; the engine is woken when it is there."""
        return self._search.is_thinking

    def n_to_propose(self) -> int:
        """Return how many further configurations the search may propose now."""
        job = self._held.job
        if job.kind is not JobKind.TUNE or limit_reached(job, work_s=self._held.work_s) or self._rules.rule_met():
            return 0
        if self._search.is_exhausted or self._rules.is_undecided:
            return 0
        return max(0, self._most_searched - self._n_searched)

    def startable(self, queued: Sequence[Trial]) -> list[Trial]:
        """Return the queued trials that may start: once a rule has ended the search, those that are no part of it."""
        if limit_reached(self._held.job, work_s=self._held.work_s):
            return []
        if self._rules.rule_met():
            return [trial for trial in queued if trial.purpose is not TrialPurpose.SEARCH]
        return list(queued)

    def why_over(self, queued: Sequence[Trial]) -> JobReason | None:
        """Return why no further configuration is proposed, or None."""
        if reason := self._rules.rule_met():
            return reason
        if any(trial.purpose is TrialPurpose.SEARCH for trial in queued):
            return None
        job = self._held.job
        if job.kind is not JobKind.TUNE or self._n_searched >= self._most_searched:
            return JobReason.MAX_TRIALS
        return JobReason.SPACE_EXHAUSTED if self._search.is_exhausted else None

    def is_closing(self) -> bool:
        """Tell whether a limit or a rule has ended the search, whatever is queued."""
        return limit_reached(self._held.job, work_s=self._held.work_s) is not None or self._rules.rule_met() is not None

    def next_drafts(
        self,
        waiting: Sequence[Trial],
        n: int,
        *,
        within_s: float = math.inf,
        like: Mapping[str, Scalar] | None = None,
        n_drafted: int = 0,
    ) -> list[Draft]:
        """Return up to `n` trials to bring to life: of those that wait in the record first, then new ones.

        Each must be handed to `settle_drafts` once it is known which of them the record has.

        Args:
            within_s: seconds after which no further proposal is begun, if there is one.
            like: what new ones must share with the trials of a group.
            n_drafted: new ones drafted before that are not in the record yet.
        """
        deadline = time.monotonic() + within_s
        drafts = [Draft(self._proposal_of(trial), trial) for trial in waiting[: max(0, n)]]
        for ahead in range(min(n - len(drafts), self.n_to_propose() - n_drafted)):
            if drafts and time.monotonic() > deadline:
                break
            proposal = self._search.propose(self._held.job.n_trials + n_drafted + ahead, like=like)
            if proposal is None:
                break
            drafts.append(Draft(proposal))
        return drafts

    def seed_of(self, draft: Draft, number: int) -> int:
        """Return the seed a draft trains with as trial `number`."""
        if draft.queued is not None:
            return draft.queued.seed
        return training_seed(self._held.spec.seed, self._held.spec.seeds, number)

    def new_trial(self, draft: Draft, number: int, state: TrialState) -> NewTrial:
        """Return a draft as it enters the record."""
        proposal = draft.proposal
        return NewTrial(
            number=number,
            state=state,
            params=proposal.params,
            seed=self.seed_of(draft, number),
            study_attrs=proposal.study_attrs,
            cell=proposal.cell,
        )

    def settle_drafts(self, drafts: Sequence[Draft], recorded: Sequence[tuple[int, Draft]]) -> None:
        """Make the drafts that are in the record part of the search, by number, and discard the others."""
        for draft in drafts:
            if not any(draft is other for _, other in recorded):
                is_kept = draft.queued is not None and draft.queued.cell is not None  # the record holds its cell
                self._search.discard(replace(draft.proposal, cell=None) if is_kept else draft.proposal)
        for number, draft in recorded:
            if draft.queued is None or self._held.is_searched(draft.queued):
                self._open(number, draft.proposal)

    def enter(self, trial: Trial) -> None:
        """Make a trial of the record part of the search, from when it may be tried on: no other is to be like it."""
        if self._held.is_searched(trial):
            self._open(trial.number, Proposal(trial.params, trial.cell, study_attrs=trial.study_attrs))

    # -- what it is told ---------------------------------------------------------------------------------------------

    def is_open(self, number: int) -> bool:
        """Tell whether a trial is part of the search and has not ended, as far as the search knows."""
        return self._search.is_open(number)

    def report(self, report: Report) -> bool:
        """Take in a committed measurement of an open trial and return whether the pruner would stop it."""
        return self._search.report(report.number, report.step, report.values)

    def study_attrs(self, number: int) -> dict[str, object]:
        """Return what the record must keep with a trial for a rebuilt study to be the same study."""
        return self._search.study_attrs(number) if self._search.is_open(number) else {}

    def foresee(self, ends: Iterable[End]) -> Foreseen:
        """Return which stand-ins are to be written with these ends."""
        return self._stand_ins.foresee(ends)

    def take_in(self, ends: Sequence[End]) -> None:
        """Take in committed ends, in the order of the commits, with the stand-ins foreseen for them."""
        self._rules.take_in(ends)
        for end in ends:
            self._stand_ins.take_in(end)
            if self._search.is_open(end.number):
                self._search.close(end.number, end.state, end.values or end.stand_in, reason=end.reason)

    def shut(self) -> None:
        """End what thinks beside this process."""
        self._search.shut()
        self._rules.shut()

    def _new_search(self) -> Search:
        return Search(
            self._held.job.id,
            self._held.spec,
            on_ready=self._held.site.engine.wake,
            last_step=self._held.last_step,
        )

    def _open(self, number: int, proposal: Proposal) -> None:
        if not self._search.is_open(number):
            self._search.open(number, proposal)

    def _proposal_of(self, trial: Trial) -> Proposal:
        """Return what a queued trial tries; what the client that enqueued it left out is drawn."""
        if not self._held.is_searched(trial) or self._search.is_open(trial.number):
            return Proposal(trial.params, trial.cell)
        proposal = self._search.complete(trial.number, trial.params)
        # Tried before: it is still the record of its cell.
        return proposal if trial.cell is None else replace(proposal, cell=trial.cell)

    @property
    def _most_searched(self) -> int:
        """How many trials the search may have: all but those that check its answer, or are kept to."""
        job = self._held.job
        return self._held.spec.budget.max_trials - max(job.n_kept, job.n_confirming)

    @property
    def _n_searched(self) -> int:
        return self._held.job.n_counted - self._held.job.n_confirming
