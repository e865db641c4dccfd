"""What an interrupted trial has lost: attempts that went with their worker count apart from those it died in itself."""

from collections.abc import Iterator, Mapping

import pytest

from stepsize.application import controls
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.spec.space import Scalar
from stepsize_workers.engines.base import CheckpointSaved, Ended, Outcome, TrialKey
from tests.builders import expire_lease
from tests.fake_engine import FakeEngine
from tests.job_play import Stage


def endless(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """Report for ever."""
    while True:
        yield 1.0


def only_trial(stage: Stage, job_id: str) -> Trial:
    (trial,) = stage.trials(job_id)
    return trial


def lose_worker(stage: Stage, job_id: str, *, saves: int | None = None) -> Trial:
    """Let a worker start the job's trial and go without a word; return the trial as the next one finds it."""
    engine = FakeEngine(endless)
    holder = stage.claim(job_id, engine)
    holder.start(engine.free_slots())
    running = only_trial(stage, job_id)
    if saves is not None:
        holder.handle([CheckpointSaved(TrialKey(job_id, 0, running.attempt), saves)])
    stage.do(expire_lease, job_id)
    stage.claim(job_id, FakeEngine(endless))
    stage.do(expire_lease, job_id)
    return only_trial(stage, job_id)


def lose_process(stage: Stage, job_id: str) -> Trial:
    """Let the process of the job's trial die under a worker that lives."""
    engine = FakeEngine(endless)
    holder = stage.claim(job_id, engine)
    holder.start(engine.free_slots())
    holder.handle([Ended(TrialKey(job_id, 0, only_trial(stage, job_id).attempt), Outcome.LOST)])
    stage.do(expire_lease, job_id)
    return only_trial(stage, job_id)


@pytest.fixture
def job_id(stage: Stage) -> str:
    return stage.add(budget={"max_trials": 1, "max_attempts": 2})


def test_attempts_lost_with_their_worker_do_not_use_up_max_attempts(stage: Stage, job_id: str) -> None:
    for n in (1, 2):
        trial = lose_worker(stage, job_id)
        assert (trial.state, trial.attempt, trial.losses_of_worker) == (TrialState.QUEUED, n, n)
    trial = lose_process(stage, job_id)
    assert (trial.state, trial.attempt, trial.losses_of_worker) == (TrialState.QUEUED, 3, 2)
    trial = lose_process(stage, job_id)
    assert (trial.state, trial.reason, trial.attempt) == (TrialState.FAILED, TrialReason.LOST, 4)


def test_a_trial_that_loses_its_worker_three_times_running_fails_and_says_so(stage: Stage, job_id: str) -> None:
    lose_worker(stage, job_id)
    lose_worker(stage, job_id)
    trial = lose_worker(stage, job_id)
    assert (trial.state, trial.reason, trial.losses_of_worker) == (TrialState.FAILED, TrialReason.LOST, 3)
    assert trial.error is not None
    assert "3 times running" in trial.error.message


def test_who_allows_more_attempts_allows_more_losses_running(stage: Stage) -> None:
    job_id = stage.add(budget={"max_trials": 1, "max_attempts": 5})
    assert [lose_worker(stage, job_id).state for _ in range(5)] == [TrialState.QUEUED] * 4 + [TrialState.FAILED]


def test_a_checkpoint_saved_in_between_starts_the_count_anew(stage: Stage, job_id: str) -> None:
    lose_worker(stage, job_id)
    lose_worker(stage, job_id)
    assert lose_worker(stage, job_id, saves=7).state is TrialState.QUEUED
    trial = lose_worker(stage, job_id)
    assert (trial.state, trial.losses_of_worker, trial.step) == (TrialState.QUEUED, 4, 7)


def test_a_process_that_died_in_between_starts_the_count_anew(stage: Stage, job_id: str) -> None:
    lose_worker(stage, job_id)
    lose_worker(stage, job_id)
    lose_process(stage, job_id)
    assert lose_worker(stage, job_id).state is TrialState.QUEUED


def test_a_worker_that_ends_in_order_takes_an_attempt_but_is_no_loss_running(stage: Stage, job_id: str) -> None:
    for n in range(1, 5):
        engine = FakeEngine(endless)
        holder = stage.claim(job_id, engine)
        holder.start(engine.free_slots())
        holder.shut_down()
        holder.handle(engine.poll(0.0))
        holder.depart()
        trial = only_trial(stage, job_id)
        assert (trial.state, trial.attempt, trial.losses_of_worker) == (TrialState.QUEUED, n, n)


@pytest.mark.parametrize("way", ["worker lost", "process lost", "worker ended", "paused without a worker"])
def test_a_queued_trial_has_no_worker_and_no_device(way: str, stage: Stage, job_id: str) -> None:
    if way == "worker lost":
        lose_worker(stage, job_id)
    elif way == "process lost":
        lose_process(stage, job_id)
    else:
        engine = FakeEngine(endless)
        holder = stage.claim(job_id, engine)
        holder.start(engine.free_slots())
        assert only_trial(stage, job_id).worker == "worker"
        if way == "worker ended":
            holder.shut_down()
            holder.handle(engine.poll(0.0))
        else:
            stage.do(expire_lease, job_id)
            stage.do(controls.pause, job_id)
    trial = only_trial(stage, job_id)
    assert (trial.state, trial.worker, trial.device) == (TrialState.QUEUED, None, None)


def test_retrying_a_trial_forgets_what_it_has_lost(stage: Stage, job_id: str) -> None:
    for _ in range(3):
        lose_worker(stage, job_id)
    stage.do(controls.retry_failed, job_id)
    trial = only_trial(stage, job_id)
    assert (trial.attempt, trial.losses_of_worker, trial.losses_in_a_row) == (0, 0, 0)
