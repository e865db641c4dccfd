"""Jobs that wait for another: nobody claims them before that one has finished. On both databases."""

import pytest

from stepsize.domain.job import FINISHED_JOB_STATES, JobState
from stepsize.store.database import Database
from stepsize.store.jobs import delete_job
from stepsize.store.leases import Offer, claim_job, find_claimable
from tests.builders import make_job

OFFER = Offer(trainers=(("synthetic", "1"),), gpus=0.0, cpus=4)


@pytest.mark.parametrize("state", list(JobState))
def test_a_job_is_claimable_once_the_one_it_waits_for_has_finished(state: JobState, database: Database) -> None:
    with database.write() as connection:
        first = make_job(connection, state=state)
        waiting = make_job(connection, waits_for=first.id)
        claimed = claim_job(connection, waiting.id, owner="worker-1", lease_s=60.0)
    assert (claimed is not None) is (state in FINISHED_JOB_STATES)


def test_a_job_that_waits_is_passed_over(database: Database) -> None:
    with database.write() as connection:
        first = make_job(connection, state=JobState.PAUSED)
        make_job(connection, waits_for=first.id, created_at=1.0)
        other = make_job(connection, created_at=2.0)
        found = find_claimable(connection, OFFER)
    assert found is not None
    assert found.job_id == other.id


def test_nobody_waits_for_a_job_that_is_gone(database: Database) -> None:
    with database.write() as connection:
        first = make_job(connection)
        waiting = make_job(connection, waits_for=first.id)
        delete_job(connection, first.id)
        found = find_claimable(connection, OFFER)
    assert found is not None
    assert found.job_id == waiting.id
