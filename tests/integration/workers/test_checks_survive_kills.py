"""A job that is killed while it checks its answer goes on as if nothing had been: real processes, both databases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stepsize.domain.answer import Answer
from stepsize.domain.job import JobState
from stepsize.domain.trial import Trial, TrialPurpose
from stepsize.spec.space import Scalar
from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.readings import read_record
from stepsize.store.trials import load_trials
from tests.builders import make_job, make_spec
from tests.waiting import wait_for
from tests.worker_process import WorkerProcess

HALF_CHECKED: dict[str, object] = {
    "trainer": {"name": "synthetic", "version": "1", "params": {"step_s": 0.15, "n_reports": 2, "noise": 0.05}},
    "search_space": {
        "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
        "batch_size": {"type": "int", "low": 32, "high": 64, "powers_of_two": True},
    },
    "sampler": {"name": "tpe", "seed": 1},
    "budget": {"max_trials": 24, "max_parallel_trials": 1, "max_attempts": 100},
    "confirm": {"share": 0.4},
}
N_SEARCHED = 15


class Record:
    """One job in a database, and what has become of it."""

    def __init__(self, database: Database, job_id: str) -> None:
        self.database, self.job_id = database, job_id
        with database.write() as connection:
            make_job(connection, spec=make_spec(**HALF_CHECKED), id=job_id)

    def trials(self) -> list[Trial]:
        with self.database.read() as connection:
            return load_trials(connection, self.job_id)

    def checks(self) -> list[Trial]:
        return [trial for trial in self.trials() if trial.purpose is TrialPurpose.CONFIRM]

    def is_finished(self) -> bool:
        with self.database.read() as connection:
            return get_job(connection, self.job_id).state is JobState.COMPLETED

    def answer(self) -> Answer:
        with self.database.read() as connection:
            answer = read_record(connection, self.job_id).answer
        assert answer is not None
        return answer

    def essence(self) -> list[tuple[int, TrialPurpose, dict[str, Scalar], int, float | None]]:
        return [(one.number, one.purpose, one.params, one.seed, one.objective) for one in self.trials()]


def whole(job_id: str, directory: Path) -> Record:
    """Return the same job as nobody killed it, on SQLite."""
    directory.mkdir()
    url = f"sqlite:///{directory / 'whole.db'}"
    migrate.upgrade(url)
    record = Record(Database(url), job_id)
    with WorkerProcess(url, directory, slots=1, lease_s=20.0):
        wait_for(record.is_finished, timeout_s=120.0)
    return record


@pytest.mark.slow
@pytest.mark.timeout(900)  # each worker and its analysis take seconds to start, on a busy machine half a minute
def test_a_job_killed_among_its_checks_goes_on_as_if_it_had_not_been(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    job_id = "job_killed_among_its_checks"
    expected = whole(job_id, tmp_path / "whole")
    assert len(expected.checks()) == 9

    record = Record(database, job_id)
    moments: list[Callable[[], bool]] = [
        lambda: sum(one.state.is_finished for one in record.trials()) == N_SEARCHED,  # the answer is being made
        lambda: len(record.checks()) == 9,
        lambda: sum(one.state.is_finished for one in record.checks()) >= 4,
    ]
    for has_come in moments:
        with WorkerProcess(database_url, tmp_path, slots=1, lease_s=1.0) as worker:
            wait_for(has_come, timeout_s=120.0)
            assert not record.is_finished(), "the job must outlast the kills, or they prove nothing"
            worker.kill()
    with WorkerProcess(database_url, tmp_path, slots=1, lease_s=20.0):
        wait_for(record.is_finished, timeout_s=120.0)

    assert record.essence() == expected.essence()
    assert sum(one.attempt > 1 for one in record.checks()) >= 1, "a check was under way when its worker was killed"
    assert record.answer() == expected.answer()
