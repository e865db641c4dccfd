"""Bringing trials to life in slots: recorded as running first, then handed to the engine."""

from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, replace

from stepsize.clock import now
from stepsize.domain.trial import GroupHow, Trial, TrialGroup, TrialState, trial_dir
from stepsize.store.ledger import Ledger, NewTrial
from stepsize.store.trials import load_reports
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import ONE_PLACE, Assignment, Mode, Places, TrialKey
from stepsize_workers.held_job import HeldJob
from stepsize_workers.tuner import Draft, Tuner
from stepsize_workers.venues.conclusions import Running


@dataclass(frozen=True)
class Launch:
    """A draft about to run in a slot."""

    slot: SlotRecord
    draft: Draft
    place: TrialGroup | None = None
    """Its place in a group; with an empty id, the group is named by its first trial. None: it has no company."""


class Launcher:
    """Starts the trials of one job in slots of this worker."""

    def __init__(self, held: HeldJob, tuner: Tuner) -> None:
        self._held = held
        self._tuner = tuner

    def launch(self, launches: Sequence[Launch], *, under_way: Container[int]) -> list[Running]:
        """Record trials as running and return those that are, ready for `hand_over`.

        Args:
            under_way: the numbers of trials that run already.
        """
        recorded = self._held.transact(lambda ledger: self._record(ledger, launches, under_way))
        self._tuner.settle_drafts(
            [launch.draft for launch in launches], [(number, launch.draft) for number, launch in recorded]
        )
        return [self._run_of(number, launch) for number, launch in recorded]

    def hand_over(self, runs: Sequence[Running], places: Places = ONE_PLACE) -> None:
        """Let the engine run trials that are recorded as running in one slot; see `Engine.start`."""
        group = [self.assignment(run) for run in runs]
        self._held.site.engine.start(runs[0].slot, group, places)

    def _record(
        self, ledger: Ledger, launches: Sequence[Launch], under_way: Container[int]
    ) -> list[tuple[int, Launch]]:
        known = self._recorded_before(ledger, under_way)
        recorded: list[tuple[int, Launch]] = []
        fresh: list[int] = []
        for launch in launches:
            queued = launch.draft.queued
            if queued is None and known:
                number = known.pop(0)
            elif queued is None:
                number = ledger.job.n_trials + len(fresh)
                fresh.append(number)
            elif self._record_restart(ledger, launch, queued):
                number = queued.number
            else:  # cancelled since it was read
                continue
            recorded.append((number, self._named(ledger, number, launch, recorded)))
        ledger.insert_trials([self._new_trial(number, launch) for number, launch in recorded if number in fresh])
        return recorded

    def _named(self, ledger: Ledger, number: int, launch: Launch, before: Sequence[tuple[int, Launch]]) -> Launch:
        """Return a launch whose group has its name: the number of the first of those launched together."""
        place = launch.place
        if place is None:
            return launch
        if not place.id:
            first = before[0][1].place if before else None
            launch = replace(launch, place=replace(place, id=first.id if first else _name(number, place)))
        if launch.draft.queued is not None and launch.place is not None:
            ledger.touch_trial(number, group=asdict(launch.place))
        return launch

    def _recorded_before(self, ledger: Ledger, under_way: Container[int]) -> list[int]:
        """Find the new trials of a first try whose commit succeeded although its answer was lost."""
        n_known = self._held.job.n_trials
        if ledger.job.n_trials == n_known:
            return []
        return [number for number in ledger.under_way.running_since(n_known) if number not in under_way]

    def _new_trial(self, number: int, launch: Launch) -> NewTrial:
        trial = self._tuner.new_trial(launch.draft, number, TrialState.RUNNING)
        return replace(trial, worker=self._held.site.worker_id, device=launch.slot.device, group=launch.place)

    def _record_restart(self, ledger: Ledger, launch: Launch, trial: Trial) -> bool:
        worker, attempt = self._held.site.worker_id, trial.attempt + 1
        moved = ledger.move_trial(
            trial.number,
            TrialState.QUEUED,
            TrialState.RUNNING,
            params=launch.draft.proposal.params,
            cell=launch.draft.proposal.cell,
            attempt=attempt,
            worker=worker,
            device=launch.slot.device,
            started_at=now(),
        )
        return moved or ledger.under_way.is_running(trial.number, worker=worker, attempt=attempt)

    def _run_of(self, number: int, launch: Launch) -> Running:
        trial = launch.draft.queued
        key = TrialKey(self._held.job.id, number, trial.attempt + 1 if trial else 1)
        run = Running(key, launch.slot, launch.draft.proposal.params, self._tuner.seed_of(launch.draft, number))
        run.group = launch.place
        if trial is not None:
            self._resume(run, trial)
        return run

    def _resume(self, run: Running, trial: Trial) -> None:
        run.is_apart = not self._held.is_searched(trial)
        run.losses_of_worker, run.losses_in_a_row = trial.losses_of_worker, trial.losses_in_a_row
        run.checkpoint_step = trial.checkpoint_step
        if trial.checkpoint_step is None:
            return
        job_id = self._held.job.id
        for report in self._held.read(lambda connection: list(load_reports(connection, job_id, trial.number))):
            run.step = report.step
            run.values |= report.values

    def assignment(self, run: Running) -> Assignment:
        """Return what an engine needs to run a trial that is recorded as running."""
        job, spec, site = self._held.job, self._held.spec, self._held.site
        return Assignment(
            key=run.key,
            mode=Mode(job.kind.value),
            details=job.details or {},
            trainer=spec.trainer.name,
            params={**spec.trainer.params, **run.params},
            seed=run.seed,
            trial_dir=trial_dir(site.data_dir, job.id, run.key.number),
            data_dir=site.data_dir,
            waits_for_verdict=self._held.is_judged,
            checkpoint_step=run.checkpoint_step,
            trial_timeout_s=spec.budget.trial_timeout_s,
            stall_timeout_s=spec.budget.stall_timeout_s,
        )


def _name(number: int, place: TrialGroup) -> str:
    """Return the name of a group that this trial begins; one that began one before, which ended, begins another."""
    is_another = place.how is GroupHow.FUSED and place.returned
    return f"{number}.{place.returned}" if is_another else str(number)
