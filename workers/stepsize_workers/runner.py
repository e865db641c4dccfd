"""Holds one job for as long as this worker has its lease: takes it over, follows what clients want, ends it.

What every runner shares; where the trials run is the subclass's own: `SlotRunner` gives them to this worker's engine,
`ExternalRunner` to whoever asks over HTTP.
"""

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from stepsize.domain.job import Desired, Job, JobKind, JobReason, JobState
from stepsize.domain.lease import Lease
from stepsize.domain.range_test import RangeTestFindings
from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.errors import LeaseLostError
from stepsize.spec.job import JobSpec
from stepsize.spec.objective import Direction
from stepsize.spec.pruners import NoPruner
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.space import Params
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.leases import Precedence
from stepsize.store.ledger import Ledger
from stepsize.store.trials import load_reports, load_trials, trials_to_cancel
from stepsize.store.workers import SlotRecord
from stepsize_workers.artifacts import ArtifactKeeper
from stepsize_workers.conclusions import objective_values
from stepsize_workers.engines.base import Event
from stepsize_workers.preparation import prepare
from stepsize_workers.range_tests import conclude_range_test
from stepsize_workers.replicates import missing_replicates
from stepsize_workers.search import Proposal, Search
from stepsize_workers.site import Site
from stepsize_workers.stopping import LIMITS, Progress, in_order_of_end, limit_reached
from stepsize_workers.terminator import Terminator
from stepsize_workers.warm_start import History, load_history

T = TypeVar("T")

_LARGE_STUDY = 1000
"""Trials from which a rebuilt study is kept from the garbage collector: half a million objects for 10,000 trials, which
live as long as the job; walking them in every full collection doubled the cost of a trial."""


class JobRunner(ABC):
    """One job on this worker. Driven by the worker's loop; never blocks but for the database and a light sampler."""

    def __init__(self, lease: Lease, job: Job, site: Site) -> None:
        self.lease = lease
        self._job = job
        self._site = site
        self._spec = _searched_spec(job)
        """The job's, with the search space in use."""
        assert self._spec.objectives, "a stored spec has its objectives written back"
        self._objectives = self._spec.objectives
        self._judged = not isinstance(self._spec.pruner, NoPruner)
        self._history = History()
        self._search = self._new_search()
        self._progress = Progress(self._objectives)
        self._terminator: Terminator | None = None
        self._artifacts = ArtifactKeeper(job.spec, site.data_dir, job.id)
        self._queued: list[Trial] = []
        self._worst: tuple[float, ...] | None = None
        self.is_over = False
        """Whether the job has left this worker: finished, paused or released."""

    # -- what the loop asks ------------------------------------------------------------------------------------------

    @property
    def precedence(self) -> Precedence:
        """Where this job stands in the queue for the next free slot."""
        return Precedence(-self._job.priority, self.n_running, self._job.created_at, self._job.id)

    @property
    @abstractmethod
    def n_running(self) -> int:
        """Trials under way."""

    @abstractmethod
    def fits(self, slot: SlotRecord) -> bool:
        """Tell whether the slot has what a trial of this job needs."""

    @abstractmethod
    def wants_slots(self) -> int:
        """Return how many more trials could start now."""

    @abstractmethod
    def start(self, slots: Sequence[SlotRecord]) -> None:
        """Start a trial in each of these free slots, as far as there are trials to start."""

    @abstractmethod
    def handle(self, events: Sequence[Event]) -> None:
        """Take in what this worker's engine says of the job's trials."""

    @abstractmethod
    def shut_down(self) -> None:
        """The worker is ending: make the running trials ready for whoever takes the job next."""

    def abandon(self) -> None:
        """The lease is lost: write nothing more."""
        self._let_go()

    # -- taking over -------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Settle what must be known before the search begins, and rebuild the search from the record."""
        preparation = self._site.read(lambda connection: prepare(connection, self._job))
        if preparation is not None:
            columns = {
                "findings": preparation.findings.model_dump(mode="json"),
                "warnings": list(preparation.warnings),
            }
            self._transact(lambda ledger: ledger.set_job(**columns))
            self._adopt(self._site.read(partial(get_job, job_id=self._job.id, project=self._job.project)))
        if self._spec.warm_start is not None:
            space = self._spec.search_space or {}
            self._history = self._site.read(lambda connection: load_history(connection, self._job, space))
        self._rebuild_search()

    def _adopt(self, job: Job) -> None:
        """Take the job as the record has it now."""
        self._job = job
        self._spec = _searched_spec(job)

    def _new_search(self) -> Search:
        return Search(self._job.id, self._spec, on_ready=self._site.engine.wake)

    def _new_terminator(self) -> Terminator | None:
        if not self._spec.stop_when.terminator or self._job.kind is not JobKind.TUNE:
            return None
        direction = self._objectives[0].direction
        return Terminator(self._spec.search_space or {}, direction, on_ready=self._site.engine.wake)

    def _rebuild_search(self) -> None:
        trials, reports = self._site.read(self._load_record)
        self._search.shut()
        self._search = self._new_search()
        if self._job.kind is JobKind.TUNE:
            self._search.warm(self._history.trials)
            self._search.restore(trials, reports)
        if len(trials) >= _LARGE_STUDY:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        self._artifacts.restore(trials)
        self._queued = [trial for trial in trials if trial.state is TrialState.QUEUED]
        self._replay(in_order_of_end(trials))

    def _replay(self, ended: Sequence[Trial]) -> None:
        """Feed what watches the search with what the record has, in the order in which it came about."""
        self._worst = None
        self._progress = Progress(self._objectives)
        # A terminator that lives has seen everything, and may have said its word.
        fresh = self._new_terminator() if self._terminator is None else None
        for trial in ended:
            feasible = trial.state is TrialState.COMPLETED
            values = objective_values(self._objectives, trial.values) if feasible else None
            self._progress.take_in(trial.state, values)
            if values is not None:
                self._remember_worst(values)
                if fresh:
                    fresh.take_in(trial.params, values[0])
        if fresh:
            self._terminator = fresh
            fresh.consider()

    def _learn(self, params: Params, state: TrialState, values: tuple[float, ...] | None) -> None:
        """Take in how a trial of the search has ended: the stopping rules do.

        Args:
            values: of the objectives, feasible trials only.
        """
        self._progress.take_in(state, values)
        if self._terminator and state is TrialState.COMPLETED and values:
            self._terminator.take_in(params, values[0])
            self._terminator.consider()

    def _load_record(self, connection: Connection) -> tuple[list[Trial], list[Report]]:
        trials = load_trials(connection, self._job.id)
        return trials, list(load_reports(connection, self._job.id)) if self._judged else []

    def _is_searched(self, trial: Trial) -> bool:
        """Tell whether a trial is part of the search: no replicate, and of a job that searches at all."""
        return self._job.kind is JobKind.TUNE and trial.replicate_of is None

    def _remember_worst(self, values: tuple[float, ...] | None) -> None:
        """Keep the worst feasible value of each objective: what infeasible trials are told to the study as."""
        if values is None or self._worst is None:
            self._worst = values
            return
        pick = [max if objective.direction is Direction.MINIMIZE else min for objective in self._objectives]
        self._worst = tuple(f(old, new) for f, old, new in zip(pick, self._worst, values, strict=True))

    # -- what clients want -------------------------------------------------------------------------------------------

    def read_controls(self) -> None:
        """Look at what clients have asked for since, and act on it."""
        with self._site.database.read() as connection:
            self._adopt(get_job(connection, self._job.id, project=self._job.project))
            if self._job.lease_token != self.lease.token:
                raise LeaseLostError(f"job {self._job.id}", self.lease.token)
            cancelled = trials_to_cancel(connection, self._job.id)
            if self._job.counts[TrialState.QUEUED] != len(self._queued):
                self._queued = load_trials(connection, self._job.id, [TrialState.QUEUED])
        self._cancel_trials(cancelled)

    @abstractmethod
    def _cancel_trials(self, numbers: Sequence[int]) -> None:
        """End these running trials, or all of them if the job itself is to be cancelled."""

    def settle(self) -> None:
        """Move the job on if nothing is left to do here: stopping, paused, completed, failed, cancelled."""
        if self.is_over:
            return
        if self.n_running:
            if self._job.desired is Desired.STOP and self._job.state is JobState.RUNNING:
                self._transact(lambda ledger: ledger.move_job(JobState.STOPPING, JobReason.USER))
            return
        match self._job.desired:
            case Desired.CANCEL:
                self._finish(JobState.CANCELLED, JobReason.USER)
            case Desired.STOP:
                self._finish(JobState.COMPLETED, JobReason.USER)
            case Desired.PAUSE:
                self._leave(JobState.PAUSED, JobReason.USER)
            case Desired.RUN:
                self._settle_running()

    def _settle_running(self) -> None:
        reason = limit_reached(self._job) or self._why_search_is_over()
        if reason is None or self._startable():
            return
        if reason not in LIMITS and self._queue_replicates():
            return
        self._finish(JobState.FAILED if reason is JobReason.MAX_FAILED_TRIALS else JobState.COMPLETED, reason)

    def _why_search_is_over(self) -> JobReason | None:
        """Return why no further configuration is proposed, or None."""
        if reason := self._rule_met():
            return reason
        if any(trial.replicate_of is None for trial in self._queued):
            return None
        if self._job.kind is not JobKind.TUNE or self._job.n_counted >= self._max_trials:
            return JobReason.MAX_TRIALS
        return JobReason.SPACE_EXHAUSTED if self._search.is_exhausted else None

    def _rule_met(self) -> JobReason | None:
        """Return the rule that has ended the search before its budget does, or None."""
        if reason := self._progress.rule_met(self._spec.stop_when):
            return reason
        return JobReason.TERMINATOR if self._terminator and self._terminator.is_met else None

    def _startable(self) -> list[Trial]:
        """Return the queued trials that may start: once a rule has ended the search, replicates only."""
        if limit_reached(self._job):
            return []
        if self._rule_met():
            return [trial for trial in self._queued if trial.replicate_of is not None]
        return self._queued

    def _n_to_propose(self) -> int:
        """Return how many further configurations the search may propose now."""
        if self._job.kind is not JobKind.TUNE or limit_reached(self._job) or self._rule_met():
            return 0
        if self._search.is_exhausted or (self._terminator and self._terminator.is_undecided):
            return 0
        return max(0, self._max_trials - self._job.n_counted)

    def _proposal_of(self, trial: Trial) -> Proposal:
        """Return what a queued trial tries; what the client that enqueued it left out is drawn."""
        if not self._is_searched(trial) or self._search.is_open(trial.number):
            return Proposal(trial.params, trial.cell)
        proposal = self._search.complete(trial.number, trial.params)
        # Tried before: it is still the record of its cell.
        return proposal if trial.cell is None else replace(proposal, cell=trial.cell)

    @property
    def _max_trials(self) -> int:
        assert self._spec.budget.max_trials is not None, "a stored spec has its number of trials written back"
        return self._spec.budget.max_trials

    def _queue_replicates(self) -> bool:
        """Queue the replicates that the best trials still lack; False: none."""
        if self._spec.replicates is None or self._job.kind is not JobKind.TUNE:
            return False
        trials = self._site.read(partial(load_trials, job_id=self._job.id))
        missing = missing_replicates(self._spec, trials, first_number=self._job.n_trials)
        if missing:
            self._transact(lambda ledger: ledger.insert_trials(missing))
            self._queued = self._site.read(partial(load_trials, job_id=self._job.id, states=[TrialState.QUEUED]))
        return bool(missing)

    def _finish(self, state: JobState, reason: JobReason) -> None:
        found = self._conclude_range_test() if state is not JobState.CANCELLED else None

        def finish(ledger: Ledger) -> bool:
            if ledger.job.desired is not self._job.desired or ledger.job.spec != self._job.spec:
                return False  # a client changed its mind since; look again
            if ledger.job.counts[TrialState.QUEUED] and reason in (JobReason.MAX_TRIALS, JobReason.SPACE_EXHAUSTED):
                return False  # a client enqueued a trial since
            if ledger.job.counts[TrialState.RUNNING]:
                return False  # a client took one since
            # Only what a user ended names the user: replicates a budget cut off are made up for under a larger one.
            why = TrialReason.USER if reason is JobReason.USER else None
            ledger.move_trials([TrialState.QUEUED], TrialState.CANCELLED, reason=why)
            if found is not None:
                ledger.set_job(findings=found.model_dump(mode="json"))
            ledger.move_job(state, reason)
            ledger.release_lease()
            return True

        if self._transact(finish):
            self._let_go()
        else:
            self.read_controls()

    def _conclude_range_test(self) -> RangeTestFindings | None:
        """Return what a range test found; None: the job is none."""
        if self._job.kind is not JobKind.RANGE_TEST:
            return None
        spec = RangeTestSpec.model_validate(self._job.details)
        trials = self._site.read(partial(load_trials, job_id=self._job.id))
        reports = self._site.read(lambda connection: list(load_reports(connection, self._job.id)))
        return conclude_range_test(spec, trials, reports)

    def _leave(self, state: JobState, reason: JobReason | None = None) -> None:
        """Give the job back, to be claimed by whoever may."""

        def leave(ledger: Ledger) -> None:
            ledger.move_job(state, reason)
            ledger.release_lease()

        self._transact(leave)
        self._let_go()

    def _let_go(self) -> None:
        self.is_over = True
        self._search.shut()
        if self._terminator:
            self._terminator.shut()

    def release(self) -> None:
        """Give the job back for another worker to claim; only without running trials."""
        assert not self.n_running, "running trials would be lost"
        stopping = self._job.state is JobState.STOPPING
        self._leave(JobState.STOPPING if stopping else JobState.QUEUED, self._job.reason if stopping else None)

    def depart(self) -> None:
        """Do what clients have asked for already, or else give the job back."""
        if self._job.desired is not Desired.RUN:
            self.settle()
        if not self.is_over:
            self.release()

    def _transact(self, body: Callable[[Ledger], T]) -> T:
        result, self._job = self._site.transact(self.lease, body)
        return result


def _searched_spec(job: Job) -> JobSpec:
    """Return the job's spec with the search space in use, where a range test has found bounds."""
    return job.spec if job.findings is None else job.spec.model_copy(update={"search_space": job.search_space})
