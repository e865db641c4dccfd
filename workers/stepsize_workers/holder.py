"""Holds one job for as long as this worker has its lease: takes it over, follows what clients want, ends it.

The holder says what is to happen, the tuner what is to be tried, and a venue where trials come to life.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stepsize.domain.job import Desired, Job, JobKind, JobReason, JobState
from stepsize.domain.lease import Lease
from stepsize.domain.range_test import RangeTestFindings
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.resolved import recall
from stepsize.spec.wording import counted
from stepsize.store.answers import StoredAnswer
from stepsize.store.columns import JobColumns
from stepsize.store.leases import Precedence
from stepsize.store.ledger import Ledger
from stepsize.store.listing import last_failed
from stepsize.store.trials import load_reports
from stepsize.store.workers import SlotRecord
from stepsize_workers.answering import AnswerKeeper
from stepsize_workers.engines.base import Event
from stepsize_workers.epilogue import Confirmation, Further, Replication, Stage, next_step
from stepsize_workers.held_job import HeldJob
from stepsize_workers.preparation import prepare
from stepsize_workers.range_tests import conclude_range_test
from stepsize_workers.site import Site
from stepsize_workers.stopping import limit_reached
from stepsize_workers.tuner import Tuner
from stepsize_workers.venues.base import Venue
from stepsize_workers.venues.clients import ClientVenue
from stepsize_workers.venues.slots import SlotVenue
from stepsize_workers.widening import widen


@dataclass(frozen=True)
class End:
    """How a job ends, with what is written beside it."""

    state: JobState
    reason: JobReason
    findings: RangeTestFindings | None
    error: str | None
    answer: StoredAnswer | None


class JobHolder:
    """One job on this worker. Driven by the worker's loop; never blocks but for the database and a light sampler."""

    def __init__(
        self, held: HeldJob, tuner: Tuner, venue: Venue, epilogue: Sequence[Stage], answers: AnswerKeeper
    ) -> None:
        """Hold a job; get one from `hold_job`.

        Args:
            epilogue: what is left to do once the search is over, in this order.
        """
        self._held = held
        self._tuner = tuner
        self._venue = venue
        self._epilogue = epilogue
        self._answers = answers
        self.is_over = False
        """Whether the job has left this worker: finished, paused or released."""

    # -- what the loop asks ------------------------------------------------------------------------------------------

    @property
    def lease(self) -> Lease:
        return self._held.lease

    @property
    def precedence(self) -> Precedence:
        """Where this job stands in the queue for the next free slot."""
        job = self._held.job
        return Precedence(-job.priority, self.n_running, job.created_at, job.id)

    @property
    def n_running(self) -> int:
        """Trials under way."""
        return 0 if self.is_over else self._venue.n_running

    @property
    def serves_clients(self) -> bool:
        """Whether trials run where clients are, who wait for what is proposed to them."""
        return self._held.spec.trains_elsewhere

    def fits(self, slot: SlotRecord) -> bool:
        """Tell whether the slot has what a trial of this job needs."""
        return self._venue.fits(slot)

    def wants_slots(self) -> int:
        """Return how many more slots could be put to use now."""
        return 0 if self.is_over else self._venue.wants_slots()

    def start(self, slots: Sequence[SlotRecord]) -> None:
        """Bring trials to life in these free slots, as far as there are any to start."""
        self._venue.start(slots)

    def handle(self, events: Sequence[Event], *, may_refill: bool = True) -> None:
        """Take in what this worker's engine says of the job's trials; see `Venue.handle`."""
        self._venue.handle(events, may_refill=may_refill)
        self._widen()

    def look(self) -> None:
        """Look at what clients have asked for and said since, and act on it."""
        self._venue.look()
        self._widen()
        self._held.keep_time()

    def listen(self) -> None:
        """Look, if clients have said something since the last time."""
        if self._venue.has_news():
            self.look()

    # -- taking over -------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Settle what must be known before the search begins, and rebuild the search from the record."""
        preparation = self._held.read(lambda connection: prepare(connection, self._held.job))
        if preparation is not None:
            columns = JobColumns(
                findings=preparation.findings.model_dump(mode="json"), warnings=list(preparation.warnings)
            )
            self._held.transact(lambda ledger: ledger.set_job(**columns))
            self._held.read(self._held.refresh)
        self._tuner.load_history()
        self._venue.restore()
        self._widen()

    def _widen(self) -> None:
        """Move the soft bounds of the search as far as that has fallen due, before anything further is proposed."""
        if widen(self._held):
            self._venue.rebuild()

    # -- settling ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Move the job on if nothing is left to do here: stopping, paused, completed, failed, cancelled."""
        if self.is_over:
            return
        self._venue.tend()
        self._answers.tend()
        job = self._held.job
        if self.n_running:
            if job.desired is Desired.STOP and job.state is JobState.RUNNING:
                self._held.transact(lambda ledger: ledger.move_job(JobState.STOPPING, JobReason.USER))
            return
        match job.desired:
            case Desired.CANCEL:
                self._finish(JobState.CANCELLED, JobReason.USER)
            case Desired.STOP:
                self._finish(JobState.COMPLETED, JobReason.USER)
            case Desired.PAUSE:
                self._leave(JobState.PAUSED, JobReason.USER)
            case Desired.RUN:
                self._settle_running()

    def _settle_running(self) -> None:
        queued = self._venue.queued
        reason = limit_reached(self._held.job, work_s=self._held.work_s) or self._tuner.why_over(queued)
        self._held.is_resting = False
        if reason is None or self._tuner.startable(queued):
            return
        step = next_step(self._epilogue, reason)
        if not isinstance(step, Further):
            self._held.is_resting = True
            return
        if step.trials:
            self._held.transact(lambda ledger: ledger.insert_trials(step.trials))
            self._venue.requeued()
            return
        self._finish(JobState.FAILED if reason is JobReason.MAX_FAILED_TRIALS else JobState.COMPLETED, reason)

    def _finish(self, state: JobState, reason: JobReason) -> None:
        """End the job, once its answer is there; a cancelled one keeps the answer it has."""
        is_asked = self._answers.is_asked and state is not JobState.CANCELLED
        answer = self._answers.answer_now(as_finished=True) if is_asked else None
        if is_asked and answer is None:
            self._held.is_resting = True
            return
        found = self._conclude_range_test() if state is not JobState.CANCELLED else None
        error = self._why_failed() if state is JobState.FAILED else None
        end = End(state, reason, found, error, answer)
        if self._held.transact(lambda ledger: self._write_end(ledger, end)):
            self._let_go()
        else:
            self._venue.look()

    def _write_end(self, ledger: Ledger, end: End) -> bool:
        state, reason, found, error = end.state, end.reason, end.findings, end.error
        if self._has_changed(ledger.job, reason):
            return False
        # Only what a user ended names the user: replicates a budget cut off are made up for under a larger one.
        why = TrialReason.USER if reason is JobReason.USER else None
        ledger.move_trials([TrialState.QUEUED], TrialState.CANCELLED, reason=why)
        if found is not None:
            ledger.set_job(findings=found.model_dump(mode="json"))
        if end.answer is not None:
            ledger.set_answer(end.answer)
        ledger.move_job(state, reason)
        if error is not None:
            ledger.set_job(error=error)
        ledger.release_lease()
        return True

    def _why_failed(self) -> str | None:
        """Say what the trials failed of that end the job: its own last words, where one looks first."""
        last = self._held.site.read(lambda connection: last_failed(connection, self.lease.job_id))
        if last is None:
            return None
        n_failed = self._held.job.counts[TrialState.FAILED]
        return f"{counted(n_failed, 'trial')} failed; the last, trial {last.number}, of {last.error or last.reason}"[
            :2000
        ]

    def _has_changed(self, job: Job, reason: JobReason) -> bool:
        """Tell whether a client has changed its mind, enqueued a trial or taken one since the job was looked at."""
        known = self._held.job
        if job.desired is not known.desired or job.spec != known.spec:
            return True
        if job.counts[TrialState.QUEUED] and reason in (JobReason.MAX_TRIALS, JobReason.SPACE_EXHAUSTED):
            return True
        return job.counts[TrialState.RUNNING] > 0

    def _conclude_range_test(self) -> RangeTestFindings | None:
        """Return what a range test found; None: the job is none."""
        job = self._held.job
        if job.kind is not JobKind.RANGE_TEST:
            return None
        reports = self._held.read(lambda connection: list(load_reports(connection, job.id)))
        return conclude_range_test(recall(RangeTestSpec, job.details), self._held.load_trials(), reports)

    # -- going away --------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Give the job back for another worker to claim; only without running trials."""
        assert not self.n_running, "running trials would be lost"
        job = self._held.job
        stopping = job.state is JobState.STOPPING
        self._leave(JobState.STOPPING if stopping else JobState.QUEUED, job.reason if stopping else None)

    def shut_down(self) -> None:
        """The worker is ending: make the running trials ready for whoever takes the job next."""
        if self._venue.shut_down():
            self._held.transact(lambda ledger: ledger.release_lease())
            self._let_go()

    def depart(self) -> None:
        """Do what clients have asked for already, or else give the job back."""
        if self._held.job.desired is not Desired.RUN:
            self.settle()
        if not self.is_over:
            self.release()

    def abandon(self) -> None:
        """The lease is lost: end what runs here, and write nothing more."""
        self._let_go()
        self._venue.abandon()

    def _leave(self, state: JobState, reason: JobReason | None = None) -> None:
        """Give the job back, to be claimed by whoever may."""

        def leave(ledger: Ledger) -> None:
            ledger.move_job(state, reason)
            ledger.release_lease()

        self._held.transact(leave)
        self._let_go()

    def _let_go(self) -> None:
        self.is_over = True
        self._tuner.shut()


def hold_job(lease: Lease, job: Job, site: Site) -> JobHolder:
    """Return the holder of a job just claimed, for `restore` to begin with."""
    held = HeldJob(lease, job, site)
    tuner = Tuner(held)
    venue: Venue = ClientVenue(held, tuner) if job.spec.trains_elsewhere else SlotVenue(held, tuner)
    answers = AnswerKeeper(held)
    return JobHolder(held, tuner, venue, [Confirmation(held, answers), Replication(held)], answers)
