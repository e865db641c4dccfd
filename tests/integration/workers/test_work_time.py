"""Time is work: what no worker had the job for counts neither against `timeout_s` nor in what is shown."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sqlalchemy import update

from stepsize.application import controls, jobs
from stepsize.application.jobs import JobChanges
from stepsize.asking.analyst import Changes
from stepsize.asking.questions import Question, Reply
from stepsize.domain.job import Job, JobReason, JobState
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.models import jobs as job_table
from stepsize_workers.engines.base import Outcome
from stepsize_workers.holder import JobHolder
from tests.builders import make_job, make_spec
from tests.fake_engine import FakeEngine
from tests.job_play import take_over


def quick(params: Any) -> Iterator[float | Outcome]:
    yield 1.0


def job_of(database: Database, job_id: str) -> Job:
    with database.read() as connection:
        return get_job(connection, job_id)


def play(holder: JobHolder, engine: FakeEngine, pause_s: float = 0.0) -> None:
    """Let a holder work until the job has left it."""
    while not holder.is_over:
        holder.look()
        holder.start(engine.free_slots()[: holder.wants_slots()])
        time.sleep(pause_s)
        holder.handle(engine.poll(0.0))
        holder.settle()


def grow(database: Database, job_id: str, **budget: float | None) -> None:
    with database.write() as connection:
        jobs.change_job(connection, job_id, JobChanges(budget=budget))


def begin_an_hour_ago(database: Database, job_id: str) -> None:
    with database.write() as connection:
        connection.execute(update(job_table).where(job_table.c.id == job_id).values(started_at=time.time() - 3600))


def test_a_finished_job_with_more_trials_to_do_goes_on_however_long_it_lay(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(budget={"max_trials": 2, "timeout_s": 60.0})).id
    engine = FakeEngine(quick)
    play(take_over(database, job_id, engine, tmp_path), engine, 0.02)
    worked_s = job_of(database, job_id).work_s
    assert 0.02 < worked_s < 30.0
    begin_an_hour_ago(database, job_id)
    grow(database, job_id, max_trials=5)
    assert job_of(database, job_id).work_s == worked_s
    play(take_over(database, job_id, engine, tmp_path), engine)
    job = job_of(database, job_id)
    assert (job.state, job.reason, job.n_trials) == (JobState.COMPLETED, JobReason.MAX_TRIALS, 5)
    assert job.work_s > worked_s


def test_a_job_that_timed_out_goes_on_with_a_larger_limit(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(budget={"max_trials": 40, "timeout_s": 0.05})).id
    engine = FakeEngine(quick)
    play(take_over(database, job_id, engine, tmp_path), engine, 0.02)
    job = job_of(database, job_id)
    assert (job.state, job.reason) == (JobState.COMPLETED, JobReason.TIMEOUT)
    assert job.work_s > 0.05
    grow(database, job_id, timeout_s=60.0)
    play(take_over(database, job_id, engine, tmp_path), engine)
    job = job_of(database, job_id)
    assert (job.reason, job.n_trials) == (JobReason.MAX_TRIALS, 40)


def test_a_pause_is_no_work(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(budget={"max_trials": 4, "timeout_s": 60.0})).id
    engine = FakeEngine(quick)
    holder = take_over(database, job_id, engine, tmp_path)
    with database.write() as connection:
        controls.pause(connection, job_id)
    play(holder, engine)
    worked_s = job_of(database, job_id).work_s
    time.sleep(0.3)
    with database.write() as connection:
        controls.resume(connection, job_id)
    play(take_over(database, job_id, engine, tmp_path), engine)
    job = job_of(database, job_id)
    assert (job.state, job.n_trials) == (JobState.COMPLETED, 4)
    assert job.work_s < worked_s + 30.0


class SlowAnalyst:
    """Comes to no answer, and takes its time for that."""

    def submit(self, question: Question, changes: Changes = ()) -> Future[Reply]:
        reply: Future[Reply] = Future()
        threading.Timer(0.6, reply.set_exception, [RuntimeError("there is none")]).start()
        return reply


def test_to_wait_for_the_answer_is_no_work(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(budget={"max_trials": 2, "timeout_s": 0.5})).id
    engine = FakeEngine(quick)
    play(take_over(database, job_id, engine, tmp_path, analyst=SlowAnalyst()), engine, 0.01)
    job = job_of(database, job_id)
    assert (job.state, job.reason, job.n_trials) == (JobState.COMPLETED, JobReason.MAX_TRIALS, 2)
    assert job.work_s < 0.5
