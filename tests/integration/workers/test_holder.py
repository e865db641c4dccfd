"""How a job is run: what clients' wishes do to it, whose turn it is, and what survives a lost database or lease."""

import dataclasses
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from stepsize.application import controls, jobs, trials
from stepsize.domain.job import Job, JobReason, JobState
from stepsize.domain.trial import Trial, TrialReason, TrialState, trial_dir
from stepsize.errors import InvalidRequestError
from stepsize.settings import Settings
from stepsize.spec.space import Scalar
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import open_ledger
from stepsize.store.trials import load_trials
from stepsize.store.workers import SlotRecord
from stepsize_workers import tuner
from stepsize_workers.engines.base import CheckpointSaved, Ended, Engine, Event, Outcome, Reported, TrialKey
from stepsize_workers.engines.local import LocalEngine
from stepsize_workers.holder import JobHolder
from stepsize_workers.loop import WorkerLoop
from stepsize_workers.search import Search
from tests.builders import expire_lease, make_card, make_job, make_report, make_spec, make_trial
from tests.fake_engine import FakeEngine
from tests.job_play import take_over
from tests.waiting import wait_for

RATES_0_1_2 = {"learning_rate": {"type": "categorical", "choices": [0.1, 0.2, 0.3]}}


def two_reports(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """Report the learning rate twice."""
    yield float(params["learning_rate"])
    yield float(params["learning_rate"])


def endless(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """Report for ever."""
    while True:
        yield 1.0


def failing(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """Fail at once."""
    yield Outcome.ERROR


def diverging_above_a_half(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """Diverge at high rates."""
    yield Outcome.DIVERGED if float(params["learning_rate"]) > 0.5 else float(params["learning_rate"])


class Unreliable(Database):
    """A database that goes away when told to."""

    n_lost_answers = 0
    """So many commits succeed, but their answer is lost."""
    n_failed_reads = 0

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
        if self.n_lost_answers:
            self.n_lost_answers -= 1
            raise away()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        if self.n_failed_reads:
            self.n_failed_reads -= 1
            raise away()
        with super().read() as connection:
            yield connection


@dataclasses.dataclass
class DeafEngine(FakeEngine):
    """Its trials go on after a pruner's verdict to stop, and end only when their process would be killed."""

    pruned: set[int] = dataclasses.field(default_factory=set)
    """The numbers of trials that were told to stop."""

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        self.pruned |= {key.number} if stop else set()
        super().answer(key, stop=False)


@dataclasses.dataclass
class SavingEngine(FakeEngine):
    """Its completed trials leave a model behind."""

    data_dir: Path = Path()

    def poll(self, timeout_s: float) -> list[Event]:
        return [self._with_model(event) for event in super().poll(timeout_s)]

    def _with_model(self, event: Event) -> Event:
        if not isinstance(event, Ended):
            return event
        directory = trial_dir(self.data_dir, event.key.job_id, event.key.number) / "artifacts"
        directory.mkdir(parents=True)
        (directory / "model").touch()
        return dataclasses.replace(event, artifacts=("model",))


class World:
    """A database with jobs in it."""

    def __init__(self, database: Unreliable, data_dir: Path) -> None:
        self.database = database
        self.data_dir = data_dir

    def add_job(self, **changes: Any) -> str:
        created_at = changes.pop("created_at", None)
        with self.database.write() as connection:
            return make_job(connection, spec=make_spec(**changes), created_at=created_at).id

    def job(self, job_id: str) -> Job:
        with self.database.read() as connection:
            return get_job(connection, job_id)

    def trials(self, job_id: str) -> list[Trial]:
        with self.database.read() as connection:
            return load_trials(connection, job_id)

    def states(self, job_id: str) -> list[TrialState]:
        return [trial.state for trial in self.trials(job_id)]

    def do(self, action: Any, *arguments: Any) -> None:
        with self.database.write() as connection:
            action(connection, *arguments)

    def outcome(self, job_id: str) -> tuple[JobState, JobReason | None]:
        job = self.job(job_id)
        return job.state, job.reason

    def loop(self, engine: Engine) -> WorkerLoop:
        settings = Settings(data_dir=self.data_dir, lease_s=600.0)
        return WorkerLoop(self.database, engine, settings, [make_card()])

    def claim(self, job_id: str, engine: Engine) -> JobHolder:
        return take_over(self.database, job_id, engine, self.data_dir)


def _busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("the database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error.sqlite_errorname = "SQLITE_BUSY"
    return error


def away() -> OperationalError:
    return OperationalError("SELECT 1", None, _busy())


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    database = Unreliable(sqlite_url)
    yield World(database, tmp_path)
    database.dispose()


def turn(loop: WorkerLoop, times: int = 1) -> None:
    for _ in range(times):
        loop.desk.look()
        loop.turn(0.0)


# -- what clients want -------------------------------------------------------------------------------------------------


def test_pause_lets_running_trials_finish_and_resume_goes_on(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 4})
    loop = world.loop(FakeEngine(two_reports, n_slots=2))
    turn(loop)
    world.do(controls.pause, job_id)
    turn(loop, 5)
    assert world.outcome(job_id) == (JobState.PAUSED, JobReason.USER)
    assert world.states(job_id) == [TrialState.COMPLETED] * 2
    world.do(controls.resume, job_id)
    turn(loop, 6)
    assert world.outcome(job_id) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
    assert world.states(job_id) == [TrialState.COMPLETED] * 4


def test_stop_finishes_running_trials_and_completes(world: World) -> None:
    job_id = world.add_job()
    loop = world.loop(FakeEngine(two_reports, n_slots=2))
    turn(loop)
    world.do(controls.stop, job_id)
    loop.desk.look()
    loop.desk.settle()
    assert world.outcome(job_id) == (JobState.STOPPING, JobReason.USER)
    turn(loop, 5)
    assert world.outcome(job_id) == (JobState.COMPLETED, JobReason.USER)
    assert world.states(job_id) == [TrialState.COMPLETED] * 2


def test_cancel_ends_running_trials_and_keeps_results(world: World) -> None:
    job_id = world.add_job()
    loop = world.loop(FakeEngine(two_reports))
    turn(loop, 5)
    world.do(controls.cancel, job_id)
    turn(loop, 2)
    assert world.outcome(job_id) == (JobState.CANCELLED, JobReason.USER)
    *finished, last = world.trials(job_id)
    assert finished
    assert {trial.state for trial in finished} == {TrialState.COMPLETED}
    assert (last.state, last.reason) == (TrialState.CANCELLED, TrialReason.USER)
    assert world.job(job_id).best_trial is not None


@pytest.mark.parametrize(
    ("control", "state"),
    [
        (controls.pause, JobState.PAUSED),
        (controls.stop, JobState.COMPLETED),
        (controls.cancel, JobState.CANCELLED),
    ],
)
def test_controls_take_effect_at_once_when_no_worker_lives(world: World, control: Any, state: JobState) -> None:
    job_id = world.add_job()
    turn(world.loop(FakeEngine(endless)))
    world.do(expire_lease, job_id)
    world.do(control, job_id)
    assert world.outcome(job_id) == (state, JobReason.USER)
    assert TrialState.RUNNING not in world.states(job_id)


def test_cancelled_job_does_not_wait_for_a_pruned_trial_that_lingers(world: World) -> None:
    job_id = world.add_job(pruner={"name": "median", "n_startup_trials": 1})
    engine = DeafEngine(endless)
    loop = world.loop(engine)
    with world.database.write() as connection:  # a far better trial: the next one is pruned at its first report
        make_trial(connection, job_id, state=TrialState.COMPLETED, objective=0.0, values={"loss": 0.0})
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(0, step, loss=0.0) for step in range(1, 50)])
    turn(loop, 5)
    assert engine.pruned == {1}
    world.do(controls.cancel, job_id)
    turn(loop, 3)
    assert world.outcome(job_id) == (JobState.CANCELLED, JobReason.USER)


def test_cancelled_job_is_cancelled_when_its_worker_shuts_down(world: World) -> None:
    job_id = world.add_job()
    engine = FakeEngine(endless)
    loop = world.loop(engine)
    turn(loop)
    world.do(controls.cancel, job_id)
    loop.desk.look()
    loop.shut_down()
    assert world.outcome(job_id) == (JobState.CANCELLED, JobReason.USER)


def test_stopping_job_keeps_its_reason_when_its_worker_shuts_down(world: World) -> None:
    job_id = world.add_job()
    loop = world.loop(FakeEngine(endless))
    turn(loop)
    world.do(controls.stop, job_id)
    loop.desk.look()
    loop.desk.settle()
    loop.shut_down()
    assert world.job(job_id).reason is JobReason.USER


# -- limits ------------------------------------------------------------------------------------------------------------


def test_too_many_failed_trials_fail_the_job(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 40, "max_failed_trials": 3})
    turn(world.loop(FakeEngine(failing)), 10)
    assert world.outcome(job_id) == (JobState.FAILED, JobReason.MAX_FAILED_TRIALS)
    assert world.states(job_id) == [TrialState.FAILED] * 3


def test_job_over_its_time_starts_no_more_trials(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 40, "timeout_s": 0.01})
    loop = world.loop(FakeEngine(two_reports))
    turn(loop)
    time.sleep(0.02)
    turn(loop, 10)
    assert world.outcome(job_id) == (JobState.COMPLETED, JobReason.TIMEOUT)
    assert len(world.trials(job_id)) <= 1


@pytest.mark.parametrize(
    ("limit", "reason"), [("trial_timeout_s", TrialReason.TIMEOUT), ("stall_timeout_s", TrialReason.STALLED)]
)
def test_trial_over_its_time_fails_with_its_reason(world: World, limit: str, reason: TrialReason) -> None:
    trainer = {"name": "synthetic", "version": "1", "params": {"step_s": 60.0}}
    job_id = world.add_job(trainer=trainer, budget={"max_trials": 1, limit: 0.2})
    engine = LocalEngine([SlotRecord(0, "cpu", 0.0, 1)])
    loop = world.loop(engine)

    def is_finished() -> bool:
        turn(loop)
        return world.job(job_id).state.is_finished

    wait_for(is_finished)
    engine.close()
    (trial,) = world.trials(job_id)
    assert (trial.state, trial.reason) == (TrialState.FAILED, reason)


# -- which trials ------------------------------------------------------------------------------------------------------


def test_enqueued_configurations_go_first_and_partial_ones_are_completed(world: World) -> None:
    space = {
        "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
        "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    }
    job_id = world.add_job(search_space=space, budget={"max_trials": 3})
    world.do(trials.enqueue, job_id, {"learning_rate": 0.25, "batch_size": 64})
    world.do(trials.enqueue, job_id, {"learning_rate": 0.5})
    turn(world.loop(FakeEngine(two_reports)), 12)
    first, second, third = world.trials(job_id)
    assert first.params == {"learning_rate": 0.25, "batch_size": 64}
    assert second.params["learning_rate"] == 0.5
    assert second.params["batch_size"] in (16, 32, 64, 128, 256)
    assert [first.enqueued, second.enqueued, third.enqueued] == [True, True, False]
    assert set(third.params) == set(space)


def test_infeasible_first_trial_gets_its_stand_in_from_the_first_feasible_one(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 3})
    for rate in (0.9, 0.25, 0.8):
        world.do(trials.enqueue, job_id, {"learning_rate": rate})
    loop = world.loop(FakeEngine(diverging_above_a_half))
    turn(loop, 2)
    assert world.trials(job_id)[0].state is TrialState.INFEASIBLE
    assert world.trials(job_id)[0].stand_in is None
    turn(loop, 8)
    first, feasible, last = world.trials(job_id)
    assert (first.stand_in, feasible.stand_in, last.stand_in) == ((0.25,), None, (0.25,))
    assert first.objective is None
    assert world.job(job_id).best_trial == 1


def test_grid_cell_retried_stays_the_record_of_its_cell(world: World) -> None:
    job_id = world.add_job(
        search_space=RATES_0_1_2,
        sampler={"name": "grid", "seed": 0},
        budget={"max_trials": 10, "max_failed_trials": None},
    )
    turn(world.loop(FakeEngine(failing)), 8)
    assert world.outcome(job_id) == (JobState.COMPLETED, JobReason.SPACE_EXHAUSTED)
    world.do(controls.retry_failed, job_id)
    turn(world.loop(FakeEngine(two_reports)), 12)
    assert [trial.state for trial in world.trials(job_id)] == [TrialState.COMPLETED] * 3
    assert sorted(trial.cell for trial in world.trials(job_id) if trial.cell is not None) == [0, 1, 2]


def test_grid_cell_is_tried_although_an_equal_enqueued_trial_was_cancelled(world: World) -> None:
    job_id = world.add_job(search_space=RATES_0_1_2, sampler={"name": "grid", "seed": 0}, budget={"max_trials": 10})
    world.do(trials.enqueue, job_id, {"learning_rate": 0.1})
    engine = FakeEngine(two_reports)
    holder = world.claim(job_id, engine)
    world.do(trials.cancel_trial, job_id, 0)  # the holder has read it already
    while not holder.is_over:
        holder.handle(engine.poll(0.0))
        holder.start(engine.free_slots()[: holder.wants_slots()])
        holder.settle()
    rates = [trial.params["learning_rate"] for trial in world.trials(job_id) if trial.state is TrialState.COMPLETED]
    assert sorted(rates) == [0.1, 0.2, 0.3]


def test_cell_of_a_requeued_trial_that_was_cancelled_stays_taken(world: World) -> None:
    job_id = world.add_job(search_space=RATES_0_1_2, sampler={"name": "grid", "seed": 0}, budget={"max_trials": 10})
    first, engine = FakeEngine(endless), FakeEngine(two_reports)
    interrupted = world.claim(job_id, first)
    interrupted.start(first.free_slots())
    world.do(expire_lease, job_id)
    holder = world.claim(job_id, engine)  # requeues the trial
    world.do(trials.cancel_trial, job_id, 0)  # the holder has read it already
    while not holder.is_over:
        holder.handle(engine.poll(0.0))
        holder.start(engine.free_slots()[: holder.wants_slots()])
        holder.settle()
    assert sorted(world.states(job_id)) == [TrialState.CANCELLED, TrialState.COMPLETED, TrialState.COMPLETED]


def test_enqueued_value_between_two_steps_is_refused(world: World) -> None:
    space = {"learning_rate": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.1}}
    job_id = world.add_job(search_space=space, budget={"max_trials": 3})
    with pytest.raises(InvalidRequestError):
        world.do(trials.enqueue, job_id, {"learning_rate": 0.15})
    world.do(trials.enqueue, job_id, {"learning_rate": 0.3})  # 3 × 0.1 is not 0.3 in binary
    assert world.states(job_id) == [TrialState.QUEUED]


def test_trial_interrupted_after_its_last_report_completes_with_what_it_reported(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 1})
    engine = FakeEngine(endless)
    holder = world.claim(job_id, engine)
    holder.start(engine.free_slots())
    key = TrialKey(job_id, 0, 1)
    holder.handle([Reported(key, 5, {"loss": 0.5}, 1.0), CheckpointSaved(key, 5), Ended(key, Outcome.LOST)])
    engine.close()
    holder.start(engine.free_slots())
    # It resumes after step 5, its last: there is nothing left to report.
    holder.handle([Ended(TrialKey(job_id, 0, 2), Outcome.COMPLETED)])
    (trial,) = world.trials(job_id)
    assert (trial.state, trial.objective, trial.step) == (TrialState.COMPLETED, 0.5, 5)


@pytest.mark.parametrize(("top", "kept"), [(None, {0, 2, 4}), (2, {0, 2, 4}), (4, {0, 2, 4, 5})])
def test_models_of_the_best_three_trials_are_kept_or_of_all_that_are_replicated(
    world: World, top: int | None, kept: set[int]
) -> None:
    job_id = world.add_job(budget={"max_trials": 6}, replicates=top and {"top": top, "seeds": 1})
    for rate in (0.3, 0.6, 0.1, 0.5, 0.2, 0.4):
        world.do(trials.enqueue, job_id, {"learning_rate": rate})
    turn(world.loop(SavingEngine(two_reports, data_dir=world.data_dir)), 45)
    assert world.job(job_id).state is JobState.COMPLETED
    recorded = {trial.number for trial in world.trials(job_id) if trial.artifacts}
    on_disk = {int(path.parts[-3]) for path in (world.data_dir / "jobs").glob("*/trials/*/artifacts/model")}
    assert recorded == on_disk == kept


# -- whose turn it is --------------------------------------------------------------------------------------------------


def test_next_free_slot_goes_to_the_highest_priority_then_the_oldest(world: World) -> None:
    low = world.add_job(priority=0, created_at=1.0)
    older = world.add_job(priority=5, created_at=2.0)
    newer = world.add_job(priority=5, created_at=3.0)

    turn(world.loop(FakeEngine(endless)))
    assert [world.job(job_id).counts[TrialState.RUNNING] for job_id in (older, newer, low)] == [1, 0, 0]


def test_slots_go_to_the_job_with_fewest_running_trials_among_those_of_highest_priority(world: World) -> None:
    low = world.add_job(priority=0, created_at=1.0)
    older = world.add_job(priority=5, created_at=2.0)
    newer = world.add_job(priority=5, created_at=3.0)
    turn(world.loop(FakeEngine(endless, n_slots=3)))
    assert [world.job(job_id).counts[TrialState.RUNNING] for job_id in (older, newer, low)] == [2, 1, 0]


def test_job_without_running_trials_is_released_when_others_have_the_slots(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 10})
    loop = world.loop(FakeEngine(two_reports))
    turn(loop)
    urgent = world.add_job(priority=10)
    turn(loop, 4)
    assert world.job(urgent).counts[TrialState.RUNNING] == 1
    assert world.job(job_id).state is JobState.QUEUED
    assert not world.job(job_id).lease_live


def test_a_slot_stays_free_for_the_job_whose_turn_it_is_while_its_sampler_thinks(world: World) -> None:
    thoughtful = world.add_job(priority=1, sampler={"name": "nsgaii", "seed": 0})
    other = world.add_job(priority=0)
    loop = world.loop(FakeEngine(endless))

    def is_running() -> bool:
        turn(loop)
        return world.job(thoughtful).counts[TrialState.RUNNING] == 1

    wait_for(is_running, timeout_s=60.0)
    assert world.trials(other) == []
    loop.shut_down()


# -- when things go wrong ----------------------------------------------------------------------------------------------


def test_restarted_trial_runs_although_the_answer_to_its_commit_was_lost(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 1})
    world.do(trials.enqueue, job_id, {"learning_rate": 0.5})
    engine = FakeEngine(two_reports)
    holder = world.claim(job_id, engine)
    world.database.n_lost_answers = 1
    holder.start(engine.free_slots())
    assert world.states(job_id) == [TrialState.RUNNING]
    assert [trial.assignment.key.number for trial in engine.trials] == [0]


def test_new_trial_is_recorded_once_although_the_answer_to_its_commit_was_lost(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 1})
    engine = FakeEngine(two_reports)
    holder = world.claim(job_id, engine)
    world.database.n_lost_answers = 1
    holder.start(engine.free_slots())
    assert world.states(job_id) == [TrialState.RUNNING]
    assert len(engine.running) == 1


def test_interrupted_attempt_is_paid_once_although_the_answer_to_its_commit_was_lost(world: World) -> None:
    job_id = world.add_job(resources={"gpus": 1, "cpus": 1})
    engine = FakeEngine(endless)
    holder = world.claim(job_id, engine)
    holder.start([SlotRecord(0, "cuda:0", 1.0, 1)])
    world.database.n_lost_answers = 1
    holder.handle([Ended(TrialKey(job_id, 0, 1), Outcome.LOST, duration_s=10.0)])
    assert world.job(job_id).gpu_seconds == 10.0


def test_orphans_are_requeued_although_the_database_was_away_at_the_claim(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 2})
    turn(world.loop(FakeEngine(endless)))
    world.do(expire_lease, job_id)
    engine = FakeEngine(two_reports)
    loop = world.loop(engine)
    loop.desk.look()
    world.database.n_failed_reads = 1
    loop.turn(0.0)  # claims; the first read of its restoration fails
    turn(loop, 12)
    if world.job(job_id).state is not JobState.COMPLETED:  # it may also have let go of the job
        world.do(expire_lease, job_id)
        turn(loop, 12)
    assert world.outcome(job_id) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
    assert world.states(job_id) == [TrialState.COMPLETED] * 2


def test_ends_are_taken_in_although_the_database_was_away_after_their_commit(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 2})
    engine = FakeEngine(two_reports, n_slots=2)
    loop = world.loop(engine)
    turn(loop)
    engine.running.clear()
    world.database.n_failed_reads = 1
    ends: list[Event] = [Ended(TrialKey(job_id, number, 1), Outcome.LOST) for number in (0, 1)]
    loop.desk.hear(ends)
    assert loop.desk.n_running == 0
    turn(loop, 12)
    assert world.outcome(job_id) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
    assert world.states(job_id) == [TrialState.COMPLETED] * 2


def test_worker_that_takes_its_own_expired_job_again_ends_the_old_attempt(world: World) -> None:
    job_id = world.add_job(budget={"max_trials": 10, "max_parallel_trials": 1})
    engine = FakeEngine(endless, n_slots=2)
    loop = world.loop(engine)
    turn(loop)
    world.do(expire_lease, job_id)  # as after a freeze longer than the lease
    loop.desk.look()
    loop.desk.assign()
    going_on = [trial.assignment.key for trial in engine.trials if not trial.stopped]
    assert len(going_on) <= 1, "two processes train the same trial in the same directory"


def test_worker_survives_a_job_that_was_deleted_while_it_was_frozen(world: World) -> None:
    gone = world.add_job()
    loop = world.loop(FakeEngine(endless, n_slots=2))
    turn(loop)
    world.do(expire_lease, gone)
    world.do(controls.cancel, gone)
    world.do(jobs.delete_job, gone)
    other = world.add_job()
    turn(loop, 3)
    assert world.job(other).counts[TrialState.RUNNING] >= 1


def test_job_whose_search_breaks_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = world.add_job(name="broken", created_at=1.0)
    sound = world.add_job(budget={"max_trials": 1}, created_at=2.0)

    class BreaksForOne(Search):
        def __init__(self, job_id: str, *arguments: Any, **more: Any) -> None:
            super().__init__(job_id, *arguments, **more)
            self.is_broken = job_id == broken

        def propose(self, number: int, *, like: Mapping[str, Scalar] | None = None) -> Any:
            if self.is_broken:
                raise ValueError("no such luck")
            return super().propose(number, like=like)

    monkeypatch.setattr(tuner, "Search", BreaksForOne)
    turn(world.loop(FakeEngine(two_reports)), 12)
    assert world.outcome(broken) == (JobState.FAILED, JobReason.ERROR)
    assert world.outcome(sound) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
