"""What survives when real processes die: everything."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from stepsize.domain.job import Job, JobState
from stepsize.domain.trial import Trial, TrialState
from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.models import reports
from stepsize.store.trials import load_trials
from tests.builders import make_job, make_spec
from tests.databases import POSTGRESQL_WHEN_SLOW
from tests.postgres import PostgresServer
from tests.waiting import wait_for
from tests.worker_process import WorkerProcess, wait_until_gone

N_REPORTS = 3


def sixty_cells(*, step_s: float) -> dict[str, object]:
    return {
        "trainer": {"name": "synthetic", "version": "1", "params": {"step_s": step_s, "n_reports": N_REPORTS}},
        "search_space": {
            "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
            "batch_size": {"type": "int", "low": 8, "high": 256, "powers_of_two": True},
        },
        "sampler": {"name": "grid", "points": 10, "seed": 1},
        "budget": {"max_trials": 60, "max_attempts": 100},
    }


def job_of(database: Database, job_id: str) -> Job:
    with database.read() as connection:
        return get_job(connection, job_id)


def trials_of(database: Database, job_id: str) -> list[Trial]:
    with database.read() as connection:
        return load_trials(connection, job_id)


def finished(database: Database, job_id: str) -> bool:
    return job_of(database, job_id).state.is_finished


def n_done(database: Database, job_id: str) -> int:
    return job_of(database, job_id).counts[TrialState.COMPLETED]


def reports_per_trial(database: Database, job_id: str) -> Counter[int]:
    with database.read() as connection:
        rows = connection.execute(
            select(reports.c.number, func.count().label("n"))
            .where(reports.c.job_id == job_id)
            .group_by(reports.c.number)
        )
        return Counter({row.number: row.n for row in rows})


@POSTGRESQL_WHEN_SLOW
def test_grid_survives_kills_with_every_cell_finished_exactly_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(**sixty_cells(step_s=0.12))).id
    moments = random.Random(7)
    n_kills = 20 if database.is_postgresql else 5  # a start of a worker takes seconds: many in `make test-slow` alone
    seen: dict[int, Trial] = {}
    kills_while_running = 0
    for _ in range(n_kills):
        with WorkerProcess(database_url, tmp_path, lease_s=0.4) as worker:
            wait_for(lambda: job_of(database, job_id).lease_live or finished(database, job_id))
            time.sleep(moments.uniform(0.0, 0.7))
            slots = worker.slots()
            assert len(slots) == 2
            kills_while_running += not finished(database, job_id)
            worker.kill()
            assert not wait_until_gone(slots, timeout_s=1.0), "slot processes must go with their worker"
        now_done = {trial.number: trial for trial in trials_of(database, job_id) if trial.state.is_finished}
        assert {number: now_done[number] for number in seen} == seen, "a finished trial never changes"
        seen = now_done
    assert kills_while_running == n_kills, "the job must outlast the kills, or they prove nothing"

    with WorkerProcess(database_url, tmp_path, lease_s=0.4):
        wait_for(lambda: finished(database, job_id), timeout_s=60.0)
    job, trials = job_of(database, job_id), trials_of(database, job_id)
    assert job.state is JobState.COMPLETED
    assert sorted(trial.cell for trial in trials if trial.cell is not None) == list(range(60))
    assert {trial.state for trial in trials} == {TrialState.COMPLETED}
    assert len(trials) == 60
    final = {trial.number: trial for trial in trials}
    assert {number: final[number] for number in seen} == seen
    assert reports_per_trial(database, job_id) == Counter(dict.fromkeys(range(60), N_REPORTS))


@POSTGRESQL_WHEN_SLOW
def test_worker_whose_lease_expired_writes_nothing_afterwards(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    # Both are up before the job is there: the freeze is then shorter than the trials, whose later words must not count.
    with (
        WorkerProcess(database_url, tmp_path, lease_s=1.0) as one,
        WorkerProcess(database_url, tmp_path, lease_s=1.0) as other,
    ):
        wait_for(lambda: all("worker ready" in worker.log for worker in (one, other)))
        with database.write() as connection:
            job_id = make_job(connection, spec=make_spec(**sixty_cells(step_s=1.5) | {"budget": {"max_trials": 2}})).id
        wait_for(lambda: reports_per_trial(database, job_id).total() == 2)
        old_owner = job_of(database, job_id).lease_owner
        assert old_owner is not None
        frozen = one if old_owner in one.log else other
        frozen.freeze()
        old_slots = frozen.slots()
        wait_for(lambda: job_of(database, job_id).lease_owner not in (old_owner, None))
        token = job_of(database, job_id).lease_token
        frozen.thaw()  # in the middle of the other's work
        assert not wait_until_gone(old_slots, timeout_s=3.0), "processes of a lost lease must end"
        wait_for(lambda: finished(database, job_id))
        wait_for(lambda: "lease lost" in frozen.log)
        job, trials = job_of(database, job_id), trials_of(database, job_id)
        assert job.lease_token == token, "the frozen worker must not have claimed the job again"
        assert job.counts[TrialState.COMPLETED] == 2
        assert [trial.attempt for trial in trials] == [2, 2]
        assert old_owner not in {trial.worker for trial in trials}
        assert reports_per_trial(database, job_id) == Counter({0: N_REPORTS, 1: N_REPORTS})
        assert frozen.stop() == 0, "losing a lease is no reason to die"


@pytest.mark.slow
def test_postgresql_restart_under_a_running_job_loses_nothing(
    restartable_postgres: PostgresServer, tmp_path: Path
) -> None:
    url = restartable_postgres.create_database("restarted")
    migrate.upgrade(url)
    database = Database(url)
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(**sixty_cells(step_s=0.03))).id
    with WorkerProcess(url, tmp_path, lease_s=20.0) as worker:
        for milestone in (5, 25):
            wait_for(lambda: n_done(database, job_id) >= milestone)  # noqa: B023 - called before the loop goes on
            restartable_postgres.restart()
            database.dispose()
        wait_for(lambda: finished(database, job_id), timeout_s=60.0)
        assert "database away" in worker.log
        assert worker.stop() == 0
    trials = trials_of(database, job_id)
    assert sorted(trial.cell for trial in trials if trial.cell is not None) == list(range(60))
    assert {trial.state for trial in trials} == {TrialState.COMPLETED}
    assert {trial.attempt for trial in trials} == {1}, "no trial was run again"
    assert reports_per_trial(database, job_id) == Counter(dict.fromkeys(range(60), N_REPORTS))
    database.dispose()


@POSTGRESQL_WHEN_SLOW
def test_sigterm_requeues_running_trials_and_releases_the_job(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(**sixty_cells(step_s=30.0))).id
    with WorkerProcess(database_url, tmp_path, lease_s=30.0) as worker:
        wait_for(lambda: job_of(database, job_id).counts[TrialState.RUNNING] == 2)
        slots = worker.slots()
        assert worker.stop() == 0
        assert not wait_until_gone(slots, timeout_s=1.0)
    job = job_of(database, job_id)
    assert (job.state, job.lease_owner) == (JobState.QUEUED, None)
    assert {trial.state for trial in trials_of(database, job_id)} == {TrialState.QUEUED}
