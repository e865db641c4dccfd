"""Range tests run by a real worker: on their own, and for a tuning job that waits for its bounds."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepsize.application import jobs, range_tests
from stepsize.domain.job import Job, JobState
from stepsize.domain.trial import TrialState
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials
from tests.waiting import wait_for
from tests.worker_process import WorkerProcess

EDGE = 0.3
TRAINER = {"name": "synthetic", "params": {"diverge_above": EDGE, "lr_opt": 0.03, "exponent": 0.0}}
LEASE_S = 30.0


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """SQLite only: what differs between databases is the store's business."""
    opened = Database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def worker(sqlite_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(sqlite_url, tmp_path, slots=1, lease_s=LEASE_S) as process:
        yield process


def finished(database: Database, job_id: str) -> Job:
    """Return a job once it has finished."""

    def look() -> Job | None:
        with database.read() as connection:
            job = get_job(connection, job_id)
        return job if job.state.is_finished else None

    job = wait_for(look, timeout_s=60.0)
    assert job is not None, "waited for"
    return job


@pytest.mark.usefixtures("worker")
def test_a_range_test_finds_the_valleys_best_rate_and_edge(database: Database) -> None:
    spec = RangeTestSpec.model_validate(
        {"trainer": TRAINER, "batch_sizes": [32, 64], "seeds": 2, "seed": 1, "rule": "steepest"}
    )
    with database.write() as connection:
        test_id = range_tests.submit(connection, spec, lease_s=LEASE_S)
    assert finished(database, test_id).state is JobState.COMPLETED
    with database.read() as connection:
        reading = range_tests.read(connection, test_id)
        trials = load_trials(connection, test_id)
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 4
    assert reading.job.best_trial is None  # the lowest last loss of a sweep means nothing
    assert reading.findings is not None
    for result in reading.findings.results:
        assert result.suggestion is not None
        assert result.high is not None
        # To a point of the sweep; to half of one and half of the smoothing's bandwidth.
        assert math.log10(result.suggestion.value or 0.0) == pytest.approx(math.log10(0.03), abs=8 / 99)
        assert math.log10(result.high.value or 0.0) == pytest.approx(math.log10(EDGE), abs=0.15)


@pytest.mark.usefixtures("worker")
def test_a_tuning_job_searches_between_the_bounds_its_range_test_found(database: Database) -> None:
    body: dict[str, Any] = {
        "trainer": TRAINER,
        "search_space": {"learning_rate": {"type": "float", "range_test": True}},
        "sampler": {"name": "random", "seed": 0},
        "budget": {"max_trials": 8},
    }
    with database.write() as connection:
        job_id = jobs.submit(connection, JobSpec.model_validate(body), lease_s=LEASE_S)
    assert finished(database, job_id).state is JobState.COMPLETED
    with database.read() as connection:
        job = get_job(connection, job_id)
        assert job.waits_for is not None
        findings = range_tests.read(connection, job.waits_for).findings
        trials = load_trials(connection, job_id)
    assert findings is not None
    (result,) = findings.results
    assert result.low is not None
    assert result.high is not None
    rates = [float(trial.params["learning_rate"]) for trial in trials]
    assert len(rates) == 8
    assert (result.low.value or 1.0) <= min(rates) < max(rates) <= (result.high.value or 0.0)
    # Nothing diverges: the bounds end at the edge.
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 8
