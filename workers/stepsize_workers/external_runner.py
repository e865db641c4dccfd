"""Runs the search of one job whose trials clients run elsewhere: keeps suggestions ready, judges, learns.

The API writes what clients say; this reads it, in the order of its commits, in one read a wake-up. Everything the
search is told comes from the record that way, this runner's own verdicts too, so that another worker that takes over at
any moment has the same search.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from stepsize.domain.job import Desired, Job, JobState
from stepsize.domain.lease import Lease
from stepsize.domain.seeds import training_seed
from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.errors import LeaseLostError
from stepsize.store.changes import Changed, reports_changed, trials_changed
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.ledger import Ledger, NewTrial
from stepsize.store.suggestions import database_time
from stepsize.store.trials import load_trials
from stepsize.store.workers import SlotRecord
from stepsize_workers.conclusions import objective_values
from stepsize_workers.engines.base import Event
from stepsize_workers.overdue import WHY_OVERDUE, Timekeeper
from stepsize_workers.runner import JobRunner
from stepsize_workers.search import Proposal
from stepsize_workers.site import Site
from stepsize_workers.stopping import in_order_of_end, limit_reached


@dataclass(frozen=True)
class _Offer:
    """A trial about to be on offer."""

    proposal: Proposal
    queued: Trial | None = None
    """What the record has of it already: a client enqueued it, or it is a replicate."""


@dataclass
class _Verdicts:
    """What the search says of what it was told."""

    judged: dict[int, int] = field(default_factory=dict)
    """Trial number → last step judged."""
    pruned: set[int] = field(default_factory=set)
    study_attrs: dict[int, dict[str, object]] = field(default_factory=dict)
    """What Optuna keeps with trials that have ended, where the record has it otherwise."""

    def __bool__(self) -> bool:
        return bool(self.judged or self.study_attrs)


class ExternalRunner(JobRunner):
    """A job whose trials run wherever clients ask for suggestions; it takes no slot."""

    def __init__(self, lease: Lease, job: Job, site: Site) -> None:
        super().__init__(lease, job, site)
        self._open: dict[int, Trial] = {}
        """Trials that have not ended, as last read."""
        self._seen = 0
        """The change up to which the record is taken in."""
        self._untold: list[Trial | Report] = []
        self._time = Timekeeper()

    # -- what the loop asks ------------------------------------------------------------------------------------------

    @property
    def n_running(self) -> int:
        """Trials under way; those whose client is silent count as long as they may be given to another."""
        if self.is_over:
            return 0
        gives = self._job.desired is Desired.RUN
        return sum(gives or self._time.is_live(trial) for trial in self._running())

    def fits(self, slot: SlotRecord) -> bool:
        return False

    def wants_slots(self) -> int:
        return 0

    def start(self, slots: Sequence[SlotRecord]) -> None:
        """No trial of this job runs here."""

    def handle(self, events: Sequence[Event]) -> None:
        """No trial of this job runs here."""

    def shut_down(self) -> None:
        """Give the job back; its running trials go on."""
        if self._running():
            self._transact(lambda ledger: ledger.release_lease())
            self._let_go()

    # -- taking over -------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Rebuild the search, as if the worker that had it had never gone."""
        trials = self._site.read(lambda connection: load_trials(connection, self._job.id))
        ended = in_order_of_end(trials)
        if any(_lacks_stand_in(trial) for trial in ended):  # that worker had not come to it
            self._record_stand_ins(ended)
        super().restore()

    def _load_record(self, connection: Connection) -> tuple[list[Trial], list[Report]]:
        """Return the record as far as a search has been told of it; `_untold` is the rest, to be told in turn."""
        self._seen = get_job(connection, self._job.id, project=self._job.project).change
        trials, reports = super()._load_record(connection)
        ended = [trial for trial in trials if self._is_untold(trial)]
        self._open = {trial.number: trial for trial in trials if not trial.state.is_finished}
        self._open |= {trial.number: replace(trial, state=TrialState.RUNNING) for trial in ended}
        unjudged = [report for report in reports if self._is_unjudged(report)]
        self._untold = [*unjudged, *ended]
        told = [report for report in reports if not self._is_unjudged(report)]
        return [self._open.get(trial.number, trial) for trial in trials], told

    def _is_untold(self, trial: Trial) -> bool:
        """Tell whether a trial has ended with reports that were never judged."""
        if not self._judged or not trial.state.is_finished or trial.step is None or not self._is_searched(trial):
            return False
        return trial.judged_step is None or trial.step > trial.judged_step

    def _is_unjudged(self, report: Report) -> bool:
        trial = self._open.get(report.number)
        return trial is not None and (trial.judged_step is None or report.step > trial.judged_step)

    def _rebuild_search(self) -> None:
        super()._rebuild_search()
        self._enter(self._open.values())
        self._feed(self._untold)

    def _enter(self, trials: Iterable[Trial]) -> None:
        """Make trials part of the search: from when they are on offer, so that no two are alike."""
        for trial in trials:
            if trial.lease_token and self._is_searched(trial) and not self._search.is_open(trial.number):
                self._search.open(trial.number, Proposal(trial.params, trial.cell, study_attrs=trial.study_attrs))

    # -- what clients say --------------------------------------------------------------------------------------------

    def read_controls(self) -> None:
        """Look at what clients have said and asked for since, and act on it."""
        with self._site.database.read() as connection:
            self._adopt(get_job(connection, self._job.id, project=self._job.project))
            if self._job.lease_token != self.lease.token:
                raise LeaseLostError(f"job {self._job.id}", self.lease.token)
            self._time.set_by(database_time(connection))
            news = self._read_news(connection)
        self._seen = self._job.change
        if news:
            self._take_in(news)
        self._cancel_trials([trial.number for trial in self._running() if trial.cancel_requested])

    def _read_news(self, connection: Connection) -> list[Trial | Report]:
        """Return what has changed since, in the order of the commits; of one commit, reports go before ends."""
        span = {"after": self._seen, "upto": self._job.change}
        if span["after"] == span["upto"]:
            return []
        changed: list[Changed[Trial] | Changed[Report]] = []
        if self._judged:
            changed += reports_changed(connection, self._job.id, **span)
        changed += trials_changed(connection, self._job.id, **span)
        return [found.row for found in sorted(changed, key=lambda found: found.change)]

    def _take_in(self, news: Sequence[Trial | Report]) -> None:
        trials = [row for row in news if isinstance(row, Trial)]
        ended = [trial for trial in trials if trial.state.is_finished and trial.number in self._open]
        searched = [trial for trial in ended if self._is_searched(trial)]
        stand_ins, others_waited = self._record_stand_ins(searched)
        if others_waited or any(self._starts_anew(trial) for trial in trials):
            # Optuna's trials forget nothing: no missing value, and nothing that an attempt has reported which was lost.
            for trial in searched:
                if not self._is_untold(trial):
                    self._learn(trial.params, trial.state, self._feasible_values(trial))
            self._rebuild_search()
            return
        told = [
            replace(row, stand_in=stand_ins[row.number]) if isinstance(row, Trial) and row.number in stand_ins else row
            for row in news
        ]
        self._feed(told)

    def _starts_anew(self, trial: Trial) -> bool:
        """Tell whether a trial that the search has reports of is in another attempt now."""
        before = self._open.get(trial.number)
        if before is None or before.step is None or not self._judged:
            return False
        return trial.lease_token != before.lease_token

    def _feasible_values(self, trial: Trial) -> tuple[float, ...] | None:
        feasible = trial.state is TrialState.COMPLETED
        return objective_values(self._objectives, trial.values) if feasible else None

    def _record_stand_ins(self, ended: Sequence[Trial]) -> tuple[dict[int, tuple[float, ...]], bool]:
        """Record what infeasible trials are told to the study as: the worst feasible values before them.

        Args:
            ended: trials of the search, as they did.

        Returns:
            By trial number; and whether any that waited for a first feasible value has it now.
        """
        before, first = self._worst, None
        stand_ins: dict[int, tuple[float, ...]] = {}
        for trial in ended:
            if values := self._feasible_values(trial):
                first = values if self._worst is None else first
                self._remember_worst(values)
            elif _lacks_stand_in(trial) and self._worst is not None:
                stand_ins[trial.number] = self._worst
        self._worst = before  # these are not in the search yet
        others_wait = first is not None and self._job.counts[TrialState.INFEASIBLE] > 0

        def write(ledger: Ledger) -> None:
            if first is not None:
                ledger.give_stand_ins(first)
            for number, values in stand_ins.items():
                ledger.touch_trial(number, stand_in=list(values))

        if stand_ins or others_wait:
            self._transact(write)
        return stand_ins, others_wait

    def _feed(self, news: Iterable[Trial | Report]) -> None:
        """Tell the search what is in the record, and record what it says to that."""
        verdicts = _Verdicts()
        for row in news:
            if isinstance(row, Report):
                self._judge(row, verdicts)
            elif not row.state.is_finished:
                self._note(row)
            elif self._open.pop(row.number, None):
                self._close(row, verdicts)
        self._queued = sorted(
            (trial for trial in self._open.values() if trial.state is TrialState.QUEUED), key=lambda trial: trial.number
        )
        if verdicts:
            self._transact(lambda ledger: self._record_verdicts(ledger, verdicts))

    def _note(self, trial: Trial) -> None:
        self._open[trial.number] = trial
        self._enter([trial])

    def _judge(self, report: Report, verdicts: _Verdicts) -> None:
        number = report.number
        if not self._search.is_open(number):
            return
        verdicts.judged[number] = max(report.step, verdicts.judged.get(number, -1))
        if self._search.report(number, report.step, report.values):
            verdicts.pruned.add(number)

    def _close(self, trial: Trial, verdicts: _Verdicts) -> None:
        number = trial.number
        self._time.forget(number)
        if not self._search.is_open(number):
            return
        attrs = self._search.study_attrs(number)
        if attrs != trial.study_attrs:
            verdicts.study_attrs[number] = attrs
        values = self._feasible_values(trial)
        if values is not None:
            self._remember_worst(values)
        self._learn(trial.params, trial.state, values)
        self._search.close(number, trial.state, values or trial.stand_in, reason=trial.reason)

    def _record_verdicts(self, ledger: Ledger, verdicts: _Verdicts) -> None:
        for number, step in verdicts.judged.items():
            trial = self._open.get(number)
            if trial is None or not ledger.is_held(number, token=trial.lease_token):
                continue
            columns = {"judged_step": step, "study_attrs": self._search.study_attrs(number)}
            if number in verdicts.pruned:
                pruned = {"reason": TrialReason.PRUNER, **columns}
                ledger.move_trial(number, TrialState.RUNNING, TrialState.PRUNED, gpu_seconds=0.0, **pruned)
            else:
                ledger.touch_trial(number, **columns)
        for number, attrs in verdicts.study_attrs.items():
            ledger.touch_trial(number, study_attrs=attrs)

    # -- what clients want -------------------------------------------------------------------------------------------

    def _cancel_trials(self, numbers: Sequence[int]) -> None:
        if self._job.desired is Desired.CANCEL:
            numbers = [trial.number for trial in self._running()]
        if numbers:
            self._transact(lambda ledger: _cancel(ledger, TrialState.RUNNING, numbers, TrialReason.USER))
            self.read_controls()

    def settle(self) -> None:
        if self.is_over:
            return
        self._end_overdue()
        self._withdraw()
        self._offer()
        super().settle()

    # -- what time brings --------------------------------------------------------------------------------------------

    def _end_overdue(self) -> None:
        """Fail trials that take too long, are silent for too long, or were lost by as many clients as may try."""
        overdue = [
            (trial, reason) for trial in self._running() if (reason := self._time.why_overdue(trial, self._spec.budget))
        ]
        if not overdue:
            return

        def fail(ledger: Ledger) -> None:
            lapsed = ledger.lapsed_trials()
            for trial, reason in overdue:
                if not ledger.is_held(trial.number, token=trial.lease_token):
                    continue
                if reason is TrialReason.LOST and trial.number not in lapsed:
                    continue
                error = {"type": "TrialOverdue", "message": f"{WHY_OVERDUE[reason]} in attempt {trial.attempt}"}
                ledger.move_trial(trial.number, TrialState.RUNNING, TrialState.FAILED, reason=reason, error=error)

        self._transact(fail)
        self.read_controls()

    def _running(self) -> list[Trial]:
        return [trial for trial in self._open.values() if trial.state is TrialState.RUNNING]

    # -- suggestions -------------------------------------------------------------------------------------------------

    def _withdraw(self) -> None:
        """Once no new trial is to start, take back what is on offer, and what no client is going to finish."""
        is_over = limit_reached(self._job) is not None or self._rule_met() is not None
        if self._job.desired is not Desired.STOP and not (self._job.desired is Desired.RUN and is_over):
            return
        startable = {trial.number for trial in self._startable()} if is_over else set()
        queued = [trial.number for trial in self._queued if is_over and trial.number not in startable]
        lapsed = [trial.number for trial in self._running() if not self._time.is_live(trial)]
        if not queued and not lapsed:
            return
        reason = TrialReason.USER if self._job.desired is Desired.STOP else None

        def withdraw(ledger: Ledger) -> None:
            _cancel(ledger, TrialState.QUEUED, queued, reason)
            _cancel(ledger, TrialState.RUNNING, [n for n in lapsed if n in ledger.lapsed_trials()], reason)

        self._transact(withdraw)
        self.read_controls()

    def _offer(self) -> None:
        """Keep suggestions ready: one, or as many as clients have trials, within the budget."""
        if self._job.desired is not Desired.RUN or self._job.state is not JobState.RUNNING:
            return
        ready = sum(trial.lease_token > 0 for trial in self._startable())
        offers = self._next_offers(self._n_ahead() - ready)
        if not offers:
            return
        offered = self._transact(lambda ledger: self._record_offers(ledger, offers))
        if offered is None:
            self._rebuild_search()
            return
        for offer in offers:
            if not any(offer is other for _, other in offered):
                kept = offer.queued is not None and offer.queued.cell is not None  # the record holds its cell
                self._search.discard(replace(offer.proposal, cell=None) if kept else offer.proposal)
        for number, offer in offered:
            if offer.queued is None or self._is_searched(offer.queued):
                self._search.open(number, offer.proposal)
        self.read_controls()

    def _n_ahead(self) -> int:
        n_live = sum(self._time.is_live(trial) for trial in self._running())
        parallel = self._spec.budget.max_parallel_trials
        return max(1, n_live) if parallel is None else min(max(1, n_live), parallel - n_live)

    def _next_offers(self, n: int) -> list[_Offer]:
        """Return up to `n` trials to put on offer, those clients enqueued first."""
        if n <= 0:
            return []
        waiting = [trial for trial in self._startable() if not trial.lease_token][:n]
        offers = [_Offer(self._proposal_of(trial), trial) for trial in waiting]
        for index in range(min(n - len(offers), self._n_to_propose())):
            proposal = self._search.propose(self._job.n_trials + index)
            if proposal is None:
                break
            offers.append(_Offer(proposal))
        return offers

    def _record_offers(self, ledger: Ledger, offers: Sequence[_Offer]) -> list[tuple[int, _Offer]] | None:
        """Record trials on offer and return those that are; None: a first try has, although its answer was lost."""
        if ledger.job.n_trials > self._job.n_trials and ledger.offered_since(self._job.n_trials):
            return None
        offered: list[tuple[int, _Offer]] = []
        fresh: list[NewTrial] = []
        for offer in offers:
            proposal, queued = offer.proposal, offer.queued
            if queued is None:
                number = ledger.job.n_trials + len(fresh)
                fresh.append(self._new_trial(number, proposal))
            else:
                number = queued.number
                columns = {"params": proposal.params, "cell": proposal.cell, "study_attrs": dict(proposal.study_attrs)}
                if not ledger.offer_trial(number, **columns):
                    continue  # cancelled since it was read
            offered.append((number, offer))
        ledger.insert_trials(fresh)
        return offered

    def _new_trial(self, number: int, proposal: Proposal) -> NewTrial:
        assert self._spec.sampler.seed is not None, "a stored spec has its seed written back"
        return NewTrial(
            number=number,
            state=TrialState.QUEUED,
            params=proposal.params,
            seed=training_seed(self._spec.sampler.seed),
            study_attrs=proposal.study_attrs,
            cell=proposal.cell,
            on_offer=True,
        )


def _lacks_stand_in(trial: Trial) -> bool:
    return trial.state is TrialState.INFEASIBLE and trial.stand_in is None


def _cancel(ledger: Ledger, have: TrialState, numbers: Iterable[int], reason: TrialReason | None) -> None:
    for number in numbers:
        ledger.move_trial(number, have, TrialState.CANCELLED, reason=reason)
