"""Runs the trials of one job in the slots of this worker.

The order of every step is: take in events → commit → tell the search → answer the trials. What the search is told, and
what a trial is answered, is always in the record already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from stepsize.clock import now
from stepsize.domain.job import Desired, Job, JobKind
from stepsize.domain.lease import Lease
from stepsize.domain.seeds import training_seed
from stepsize.domain.trial import Report, Trial, TrialReason, TrialState, trial_dir
from stepsize.store.ledger import Ledger, NewTrial
from stepsize.store.trials import load_reports, load_trials
from stepsize.store.workers import SlotRecord
from stepsize_workers.conclusions import Conclusion, Running, conclude
from stepsize_workers.engines.base import Assignment, CheckpointSaved, Ended, Event, Mode, Reported, TrialKey
from stepsize_workers.runner import JobRunner
from stepsize_workers.search import Proposal
from stepsize_workers.site import Site

CANCEL_GRACE_S = 1.0
"""A cancelled trial's process is killed if it has not ended by itself by then."""
SHUTDOWN_GRACE_S = 5.0


@dataclass(frozen=True)
class _Launch:
    """A trial about to run in a slot."""

    slot: SlotRecord
    proposal: Proposal
    queued: Trial | None = None


class SlotRunner(JobRunner):
    """A job whose trials run in this worker's slots."""

    def __init__(self, lease: Lease, job: Job, site: Site) -> None:
        super().__init__(lease, job, site)
        self._running: dict[int, Running] = {}
        self._shutting_down = False

    # -- what the loop asks ------------------------------------------------------------------------------------------

    @property
    def n_running(self) -> int:
        return len(self._running)

    def fits(self, slot: SlotRecord) -> bool:
        needed = self._spec.resources
        return slot.gpus >= needed.gpus and slot.cpus >= needed.cpus

    def wants_slots(self) -> int:
        if self.is_over or self._shutting_down or self._job.desired is not Desired.RUN:
            return 0
        parallel = self._spec.budget.max_parallel_trials or len(self._site.engine.slots)
        n_to_propose = self._n_to_propose()
        if self._search.is_thinking:
            # The slot it thinks for stays free: a trial of another job could hold it for hours.
            n_to_propose = min(n_to_propose, 1)
        left = len(self._startable()) + n_to_propose
        return max(0, min(parallel - len(self._running), left))

    # -- taking over -------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Requeue what another worker left running, and rebuild the search from the record."""
        orphans = self._site.read(partial(load_trials, job_id=self._job.id, states=[TrialState.RUNNING]))
        if orphans:
            self._transact(lambda ledger: self._requeue_orphans(ledger, orphans))
        super().restore()

    def _requeue_orphans(self, ledger: Ledger, orphans: Sequence[Trial]) -> None:
        for trial in orphans:
            self._requeue_orphan(ledger, trial)

    def _requeue_orphan(self, ledger: Ledger, trial: Trial) -> None:
        if trial.cancel_requested:
            ledger.move_trial(trial.number, TrialState.RUNNING, TrialState.CANCELLED, reason=TrialReason.USER)
        elif trial.attempt >= self._spec.budget.max_attempts:
            error = {"type": "WorkerLost", "message": f"its worker was lost in attempt {trial.attempt}"}
            ledger.move_trial(trial.number, TrialState.RUNNING, TrialState.FAILED, reason=TrialReason.LOST, error=error)
        else:
            _requeue(ledger, trial.number, trial.checkpoint_step)

    # -- starting trials ---------------------------------------------------------------------------------------------

    def start(self, slots: Sequence[SlotRecord]) -> None:
        launches: list[_Launch] = []
        for slot in slots:
            if launch := self._next_launch(slot, ahead=sum(1 for other in launches if other.queued is None)):
                launches.append(launch)
        if not launches:
            return
        started = self._transact(lambda ledger: self._record_starts(ledger, launches))
        for launch in launches:
            if not any(launch is other for _, other in started):
                kept = launch.queued is not None and launch.queued.cell is not None  # the record holds its cell
                self._search.discard(replace(launch.proposal, cell=None) if kept else launch.proposal)
        for number, launch in started:
            self._launch(number, launch)

    def _next_launch(self, slot: SlotRecord, *, ahead: int) -> _Launch | None:
        if startable := self._startable():
            trial = startable[0]
            self._queued.remove(trial)
            return _Launch(slot, self._proposal_of(trial), trial)
        fresh = self._search.propose(self._job.n_trials + ahead) if self._n_to_propose() > ahead else None
        return _Launch(slot, fresh) if fresh else None

    def _record_starts(self, ledger: Ledger, launches: Sequence[_Launch]) -> list[tuple[int, _Launch]]:
        recorded = self._already_recorded(ledger)
        started: list[tuple[int, _Launch]] = []
        fresh: list[NewTrial] = []
        for launch in launches:
            if launch.queued is None and recorded:
                number = recorded.pop(0)
            elif launch.queued is None:
                number = ledger.job.n_trials + len(fresh)
                fresh.append(self._new_trial(number, launch))
            elif self._record_restart(ledger, launch, launch.queued):
                number = launch.queued.number
            else:  # cancelled since it was read
                continue
            started.append((number, launch))
        ledger.insert_trials(fresh)
        return started

    def _already_recorded(self, ledger: Ledger) -> list[int]:
        """Find the new trials of a first try whose commit succeeded although its answer was lost."""
        if ledger.job.n_trials == self._job.n_trials:
            return []
        return [number for number in ledger.running_since(self._job.n_trials) if number not in self._running]

    def _new_trial(self, number: int, launch: _Launch) -> NewTrial:
        assert self._spec.sampler.seed is not None, "a stored spec has its seed written back"
        return NewTrial(
            number=number,
            state=TrialState.RUNNING,
            params=launch.proposal.params,
            seed=training_seed(self._spec.sampler.seed),
            study_attrs=launch.proposal.study_attrs,
            cell=launch.proposal.cell,
            worker=self._site.worker_id,
            device=launch.slot.device,
        )

    def _record_restart(self, ledger: Ledger, launch: _Launch, trial: Trial) -> bool:
        moved = ledger.move_trial(
            trial.number,
            TrialState.QUEUED,
            TrialState.RUNNING,
            params=launch.proposal.params,
            cell=launch.proposal.cell,
            attempt=trial.attempt + 1,
            worker=self._site.worker_id,
            device=launch.slot.device,
            started_at=now(),
        )
        return moved or ledger.is_running(trial.number, worker=self._site.worker_id, attempt=trial.attempt + 1)

    def _launch(self, number: int, launch: _Launch) -> None:
        trial = launch.queued
        is_apart = trial is not None and not self._is_searched(trial)
        if not is_apart and not self._search.is_open(number):
            self._search.open(number, launch.proposal)
        key = TrialKey(self._job.id, number, trial.attempt + 1 if trial else 1)
        checkpoint_step = trial.checkpoint_step if trial else None
        self._running[number] = run = Running(
            key, launch.slot, launch.proposal.params, checkpoint_step=checkpoint_step, is_apart=is_apart
        )
        if checkpoint_step is not None:
            for report in self._site.read(lambda connection: list(load_reports(connection, self._job.id, number))):
                run.step = report.step
                run.values |= report.values
        self._site.engine.start(launch.slot, [self._assignment(key, launch, checkpoint_step)])

    def _assignment(self, key: TrialKey, launch: _Launch, checkpoint_step: int | None) -> Assignment:
        seed = launch.queued.seed if launch.queued else training_seed(self._spec.sampler.seed or 0)
        return Assignment(
            key=key,
            mode=Mode(self._job.kind.value),
            details=self._job.details or {},
            trainer=self._spec.trainer.name,
            params={**self._spec.trainer.params, **launch.proposal.params},
            seed=seed,
            trial_dir=trial_dir(self._site.data_dir, self._job.id, key.number),
            data_dir=self._site.data_dir,
            waits_for_verdict=self._judged,
            checkpoint_step=checkpoint_step,
            trial_timeout_s=self._spec.budget.trial_timeout_s,
            stall_timeout_s=self._spec.budget.stall_timeout_s,
        )

    # -- what trials say ---------------------------------------------------------------------------------------------

    def handle(self, events: Sequence[Event]) -> None:
        """Take in everything that waits, in one commit; then tell the search and answer the trials."""
        events = [event for event in events if self._is_current(event.key)]
        for event in events:
            self._note(event)
        conclusions = [self._conclude(event) for event in events if isinstance(event, Ended)]
        # A first feasible trial gives its stand-in to every infeasible one recorded before it, this batch's too.
        conclusions.sort(key=lambda conclusion: conclusion.state is TrialState.COMPLETED)
        self._transact(lambda ledger: self._record(ledger, events, conclusions))
        for event in events:
            if isinstance(event, Reported):
                self._judge(event)
        for conclusion in conclusions:
            self._follow_up(conclusion)

    def _is_current(self, key: TrialKey) -> bool:
        run = self._running.get(key.number)
        return run is not None and run.key == key

    def _note(self, event: Event) -> None:
        run = self._running[event.key.number]
        match event:
            case Reported():
                run.step = event.step
                run.values |= event.values
            case CheckpointSaved():
                run.checkpoint_step = event.step
            case Ended():
                run.data_hash = event.data_hash

    def _conclude(self, ended: Ended) -> Conclusion:
        return conclude(ended, self._running[ended.key.number], self._spec, stand_in=self._worst)

    def _record(self, ledger: Ledger, events: Sequence[Event], conclusions: Sequence[Conclusion]) -> None:
        ledger.add_reports(
            [
                Report(event.key.number, event.step, event.values, event.elapsed_s)
                for event in events
                if isinstance(event, Reported)
            ]
        )
        ended = {conclusion.run.key.number for conclusion in conclusions}
        for number in {event.key.number for event in events} - ended:
            run = self._running[number]
            ledger.touch_trial(number, step=run.step, values=run.values, checkpoint_step=run.checkpoint_step)
        for conclusion in conclusions:
            self._record_conclusion(ledger, conclusion)

    def _record_conclusion(self, ledger: Ledger, conclusion: Conclusion) -> None:
        run = conclusion.run
        number = run.key.number
        if conclusion.state is TrialState.QUEUED:
            _requeue(ledger, number, run.checkpoint_step, gpu_seconds=conclusion.gpu_seconds)
            return
        is_feasible = conclusion.state is TrialState.COMPLETED
        values = conclusion.values
        if is_feasible and self._worst is None and values:
            ledger.give_stand_ins(values)
        error = conclusion.error
        ledger.move_trial(
            number,
            TrialState.RUNNING,
            conclusion.state,
            reason=conclusion.reason,
            step=run.step,
            values=run.values,
            objective=values[0] if is_feasible and values else None,
            stand_in=None if is_feasible or values is None else list(values),
            study_attrs=self._search.study_attrs(number) if self._search.is_open(number) else {},
            error={"type": error.type, "message": error.message} if error else None,
            artifacts=list(conclusion.artifacts),
            data_hash=run.data_hash,
            gpu_seconds=conclusion.gpu_seconds,
        )

    def _judge(self, event: Reported) -> None:
        """Tell the search of a committed report and give the waiting trial its verdict."""
        run = self._running[event.key.number]
        number = event.key.number
        prune = self._judged and self._search.is_open(number) and self._search.report(number, event.step, event.values)
        if prune and run.stop_because is None:
            run.stop_because = TrialReason.PRUNER
        if self._judged:
            self._site.engine.answer(event.key, stop=run.stop_because is not None or run.shutting_down)

    def _follow_up(self, conclusion: Conclusion) -> None:
        """Bring the search and the files in line with what was just committed."""
        number = conclusion.run.key.number
        del self._running[number]
        if conclusion.state is TrialState.QUEUED:
            self._requeued()
            return
        self._artifacts.remove_checkpoint(number)
        is_feasible = conclusion.state is TrialState.COMPLETED
        self._drop_artifacts(number, conclusion)
        if conclusion.run.is_apart:
            return
        self._learn(conclusion.run.params, conclusion.state, conclusion.values if is_feasible else None)
        if is_feasible and self._worst is None and self._job.counts[TrialState.INFEASIBLE]:
            self._rebuild_search()  # infeasible trials that waited for a stand-in have one now
            return
        if is_feasible:
            self._remember_worst(conclusion.values)
        if self._search.is_open(number):  # a rebuild on the way here has taken it in already
            self._search.close(number, conclusion.state, conclusion.values, reason=conclusion.reason)

    def _requeued(self) -> None:
        if self._judged:
            # The interrupted attempt's reports must leave the study, and Optuna's trials forget nothing.
            self._rebuild_search()
            return
        self._queued = self._site.read(partial(load_trials, job_id=self._job.id, states=[TrialState.QUEUED]))

    def _drop_artifacts(self, number: int, conclusion: Conclusion) -> None:
        is_kept = conclusion.state is TrialState.COMPLETED and not self._is_replicate(conclusion)
        objective = conclusion.values[0] if is_kept and conclusion.values else None
        if objective is not None and not conclusion.artifacts:
            return
        dropped = self._artifacts.to_drop(number, objective)
        named = [other for other in dropped if other != number or conclusion.artifacts]
        if named:
            self._transact(lambda ledger: ledger.touch_trials(named, artifacts=[]))
        for other in dropped:
            self._artifacts.remove_artifacts(other)

    def _is_replicate(self, conclusion: Conclusion) -> bool:
        """Tell whether a trial was run for its value alone: the model to keep is that of the trial it repeats."""
        return conclusion.run.is_apart and self._job.kind is JobKind.TUNE

    # -- what clients want -------------------------------------------------------------------------------------------

    def _cancel_trials(self, numbers: Sequence[int]) -> None:
        for number in list(self._running) if self._job.desired is Desired.CANCEL else numbers:
            self._stop_trial(number, TrialReason.USER, CANCEL_GRACE_S)

    def _stop_trial(self, number: int, reason: TrialReason, grace_s: float) -> None:
        run = self._running.get(number)
        if run is None or run.stop_because is reason:
            return
        run.stop_because = reason
        self._site.engine.stop(run.key, grace_s=grace_s)

    def shut_down(self) -> None:
        """Interrupt the running trials; each is requeued as it ends, to resume from its last checkpoint."""
        self._shutting_down = True
        for run in self._running.values():
            run.shutting_down = True
            self._site.engine.stop(run.key, grace_s=SHUTDOWN_GRACE_S)

    def abandon(self) -> None:
        """The lease is lost: end the trials' processes now and write nothing."""
        super().abandon()
        for run in self._running.values():
            self._site.engine.stop(run.key, grace_s=0.0)
        self._running.clear()


def _requeue(ledger: Ledger, number: int, checkpoint_step: int | None, *, gpu_seconds: float = 0.0) -> bool:
    """Queue an interrupted trial again; its reports up to its checkpoint stay. False: it was not running."""
    ledger.forget_reports(number, after_step=-1 if checkpoint_step is None else checkpoint_step)
    return ledger.move_trial(
        number,
        TrialState.RUNNING,
        TrialState.QUEUED,
        checkpoint_step=checkpoint_step,
        step=checkpoint_step,
        values={},
        gpu_seconds=gpu_seconds,
    )
