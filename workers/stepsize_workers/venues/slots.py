"""A job's trials in the slots of this worker.

The order of every step is: take in events → commit → tell the tuner → answer the trials.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from stepsize.domain.job import Desired, JobKind
from stepsize.domain.said import clean_text
from stepsize.domain.trial import GroupHow, Report, Trial, TrialError, TrialReason, TrialState
from stepsize.store.database import Connection, DatabaseError, is_transient, reason_of
from stepsize.store.ledger import Ledger
from stepsize.store.orphans import settle_orphans
from stepsize.store.trials import load_reports, load_trials, trials_to_cancel
from stepsize.store.workers import SlotRecord
from stepsize_workers.artifacts import ArtifactKeeper
from stepsize_workers.engines.base import (
    Ended,
    Event,
    Fault,
    Grouped,
    Measured,
    Outcome,
    Reported,
    Vacant,
)
from stepsize_workers.held_job import HeldJob
from stepsize_workers.stand_ins import End, Foreseen
from stepsize_workers.tuner import Tuner
from stepsize_workers.venues.company import Company
from stepsize_workers.venues.conclusions import Conclusion, Running, conclude
from stepsize_workers.venues.recording import (
    outdated_checkpoints,
    record_conclusion,
    record_events,
    record_refusal,
    report_of,
)
from stepsize_workers.venues.starting import Roster, Starter

log = structlog.get_logger()

UNRECORDABLE = (DatabaseError, OverflowError, ValueError, TypeError)
"""What databases and their drivers raise over words that they can't take."""
CANCEL_GRACE_S = 1.0
"""A cancelled trial's process is killed if it has not ended by itself by then."""
SHUTDOWN_GRACE_S = 5.0


class SlotVenue:
    """This worker's slots, as far as they run trials of one job."""

    def __init__(self, held: HeldJob, tuner: Tuner) -> None:
        self._held = held
        self._tuner = tuner
        self._artifacts = ArtifactKeeper(held.job.spec, held.site.data_dir, held.job.id)
        self._roster = Roster()
        self._company = Company(held)
        self._starter = Starter(held, tuner, self._company, self._roster)
        self._is_shutting_down = False

    @property
    def n_running(self) -> int:
        return len(self._roster.running)

    @property
    def queued(self) -> Sequence[Trial]:
        return self._roster.queued

    # -- taking over -------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Settle what another worker left running, and rebuild the search from the record."""
        orphans = self._held.load_trials([TrialState.RUNNING])
        if orphans:
            self._held.transact(lambda ledger: settle_orphans(ledger, orphans))
        self.rebuild()

    def rebuild(self) -> None:
        trials, reports = self._held.read(self._load_record)
        self._tuner.rebuild(trials, reports)
        self._artifacts.restore(trials)
        self._company.restore(trials)
        self._roster.queued = [trial for trial in trials if trial.state is TrialState.QUEUED]

    def _load_record(self, connection: Connection) -> tuple[list[Trial], list[Report]]:
        job_id = self._held.job.id
        return load_trials(connection, job_id), list(load_reports(connection, job_id)) if self._held.is_judged else []

    # -- what clients want -------------------------------------------------------------------------------------------

    def look(self) -> None:
        with self._held.site.database.read() as connection:
            self._held.refresh(connection)
            job = self._held.job
            cancelled = trials_to_cancel(connection, job.id)
            if job.counts[TrialState.QUEUED] != len(self._roster.queued):
                self._roster.queued = load_trials(connection, job.id, [TrialState.QUEUED])
        for number in list(self._roster.running) if job.desired is Desired.CANCEL else cancelled:
            self._cancel(number)

    def has_news(self) -> bool:
        return False

    def tend(self) -> None:
        """Time brings nothing here that the engine doesn't say."""

    def requeued(self) -> None:
        self._roster.queued = self._held.load_trials([TrialState.QUEUED])

    def _cancel(self, number: int) -> None:
        run = self._roster.running.get(number)
        if run is None or run.stop_because is TrialReason.USER:
            return
        run.stop_because = TrialReason.USER
        self._held.site.engine.stop(run.key, grace_s=CANCEL_GRACE_S)

    # -- starting trials ---------------------------------------------------------------------------------------------

    def fits(self, slot: SlotRecord) -> bool:
        return self._held.fits(slot)

    def wants_slots(self) -> int:
        if not self._goes_on:
            return 0
        n_to_propose = self._tuner.n_to_propose()
        if self._tuner.is_thinking:
            # The slot it thinks for stays free: a trial of another job could hold it for hours.
            n_to_propose = min(n_to_propose, 1)
        left = len(self._starter.waiting()) + n_to_propose
        return max(0, min(self._starter.room, left))

    def start(self, slots: Sequence[SlotRecord]) -> None:
        self._starter.start(slots)

    @property
    def _goes_on(self) -> bool:
        return not self._is_shutting_down and self._held.job.desired is Desired.RUN

    # -- what trials say ---------------------------------------------------------------------------------------------

    def handle(self, events: Sequence[Event], *, may_refill: bool = True) -> None:
        """Take in everything that waits, in one commit; then tell the tuner, answer the trials and fill places."""
        runs = self._roster.running
        ours = [one for one in events if (run := runs.get(one.key.number)) is not None and run.key == one.key]
        self._take_in([one for one in ours if not isinstance(one, Vacant)])
        for event in ours:
            if event.key.number not in self._roster.running:
                continue
            if isinstance(event, Vacant):
                self._starter.fill(event, may_refill=may_refill and self._goes_on)
            elif isinstance(event, Measured):
                self._starter.settle(event)

    def _take_in(self, events: Sequence[Event]) -> None:
        if not events:
            return
        outdated = outdated_checkpoints(events, self._roster.running)
        for event in events:
            self._note(event)
        n_live = Counter(run.group_id for run in self._roster.running.values())
        conclusions = [self._conclude(event, n_live) for event in events if isinstance(event, Ended)]
        # A first feasible trial gives its stand-in to every infeasible one recorded before it, this batch's too.
        conclusions.sort(key=lambda conclusion: conclusion.state is TrialState.COMPLETED)
        ends = [one.end for one in conclusions if not one.is_requeued and not one.run.is_apart]
        foreseen = self._tuner.foresee(ends)
        try:
            self._held.transact(lambda ledger: self._record(ledger, events, conclusions, foreseen))
        except UNRECORDABLE as error:
            if isinstance(error, DatabaseError) and is_transient(error):
                raise
            self._single_out(events, error)
            return
        for number, step in outdated:
            self._artifacts.drop_checkpoint(number, step)
        for event in events:
            if isinstance(event, Reported):
                self._judge(event)
        self._follow_up(conclusions, ends, foreseen)

    def _conclude(self, ended: Ended, n_live: Mapping[str, int]) -> Conclusion:
        run = self._roster.running[ended.key.number]
        if run.is_measuring and ended.outcome in (Outcome.LOST, Outcome.OOM):
            ended = replace(ended, fault=Fault.GROUP)  # several were tried at once: it is none of its own
        conclusion = conclude(ended, run, self._held.spec)
        if not conclusion.is_requeued or ended.fault is Fault.OWN:
            return conclusion
        return replace(conclusion, group=self._company.after(ended, run, n_live=n_live[run.group_id]))

    def _single_out(self, events: Sequence[Event], error: Exception) -> None:
        """Some of what was said can't be written: find whose words these are, and fail that trial alone."""
        by_trial: dict[int, list[Event]] = defaultdict(list)
        for event in events:
            by_trial[event.key.number].append(event)
        if len(by_trial) > 1:
            for its_events in by_trial.values():
                self._take_in(its_events)
            return
        for number in by_trial:
            self._fail(self._roster.running[number], error)

    def _fail(self, run: Running, error: Exception) -> None:
        """Fail a trial whose words can't be written, keeping what was written before."""
        log.error("a trial's words can't be recorded", trial=run.key.number, job=run.key.job_id, exc_info=error)
        reason = reason_of(error) if isinstance(error, DatabaseError) else error
        words = TrialError("NotRecorded", clean_text(f"what the trial said can't be recorded: {reason}"))
        failed = Conclusion(run, TrialState.FAILED, TrialReason.ERROR, words)
        ends = [] if run.is_apart else [failed.end]
        foreseen = self._tuner.foresee(ends)

        def fail(ledger: Ledger) -> None:
            record_refusal(ledger, run.key.number, words)
            foreseen.write(ledger)

        self._held.transact(fail)
        self._held.site.engine.stop(run.key, grace_s=0.0)
        self._follow_up([failed], ends, foreseen)

    def _note(self, event: Event) -> None:
        run = self._roster.running[event.key.number]
        run.hear(event)
        match event:
            case Grouped(is_fused=False, why=why) if run.group is not None:
                run.group = replace(run.group, how=GroupHow.ALONE, why=why, size=1, most=1)
                self._company.refuse(run.params, why)
            case Measured(rates=rates):
                run.group = self._company.measured(run, rates)

    def _record(
        self, ledger: Ledger, events: Sequence[Event], conclusions: Sequence[Conclusion], foreseen: Foreseen
    ) -> None:
        ended = {conclusion.run.key.number for conclusion in conclusions}
        under_way = {number: run for number, run in self._roster.running.items() if number not in ended}
        record_events(ledger, events, under_way)
        for conclusion in conclusions:
            attrs = self._tuner.study_attrs(conclusion.run.key.number)
            record_conclusion(ledger, conclusion, study_attrs=attrs)
        foreseen.write(ledger)

    def _judge(self, event: Reported) -> None:
        """Tell the tuner of a committed report and give the waiting trial its verdict."""
        if not self._held.is_judged:
            return
        run = self._roster.running[event.key.number]
        if event.step > run.judged_step:  # a thread or a fork may be late
            run.judged_step = event.step
            prune = self._tuner.is_open(event.key.number) and self._tuner.report(report_of(event))
            if prune and run.stop_because is None:
                run.stop_because = TrialReason.PRUNER
        if event.waits:
            self._held.site.engine.answer(event.key, stop=run.stop_because is not None or run.shutting_down)

    def _follow_up(self, conclusions: Sequence[Conclusion], ends: Sequence[End], foreseen: Foreseen) -> None:
        """Bring the search and the files in line with what was just committed."""
        for conclusion in conclusions:
            del self._roster.running[conclusion.run.key.number]
            if not conclusion.is_requeued:
                self._company.leave(conclusion.run, conclusion.state)
                self._settle_files(conclusion)
        self._roster.forget_groups_that_ended()
        some_requeued = any(conclusion.is_requeued for conclusion in conclusions)
        if foreseen.frees_some or (some_requeued and self._held.is_judged):
            # Optuna's trials forget nothing: no missing value, and nothing that an interrupted attempt has reported.
            self.rebuild()
            return
        if ends:
            self._tuner.take_in(foreseen.applied_to(ends))
        if some_requeued:
            self.requeued()

    def _settle_files(self, conclusion: Conclusion) -> None:
        """Keep the models of the best; a replicate is run for its value alone, its model is that of its original."""
        is_replicate = conclusion.run.is_apart and self._held.job.kind is JobKind.TUNE
        objective = None if is_replicate or conclusion.values is None else conclusion.values[0]
        self._artifacts.settle(
            conclusion.run.key.number,
            objective,
            has_artifacts=bool(conclusion.artifacts),
            forget=lambda dropped: self._held.transact(lambda ledger: ledger.touch_trials(dropped, artifacts=[])),
        )

    # -- going away --------------------------------------------------------------------------------------------------

    def shut_down(self) -> bool:
        """Interrupt the running trials; each is requeued as it ends, to resume from its last checkpoint."""
        self._is_shutting_down = True
        for run in self._roster.running.values():
            run.shutting_down = True
            self._held.site.engine.stop(run.key, grace_s=SHUTDOWN_GRACE_S)
        return False

    def abandon(self) -> None:
        """End the trials' processes now."""
        for run in self._roster.running.values():
            self._held.site.engine.stop(run.key, grace_s=0.0)
        self._roster.running.clear()
        self._roster.forget_groups_that_ended()
