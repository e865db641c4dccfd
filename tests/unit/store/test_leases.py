"""Leases: who may write to a job, and until when."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection, select

from stepsize.domain.job import JobReason, JobState
from stepsize.domain.lease import Lease
from stepsize.domain.trial import TrialState
from stepsize.errors import LeaseLostError
from stepsize.store import leases as leases_module
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.leases import Offer, claim_job, find_claimable, renew_leases
from stepsize.store.ledger import NewTrial, open_leased_ledger, open_ledger
from stepsize.store.models import jobs
from stepsize.store.trials import load_trials
from tests.builders import expire_lease, make_job, make_spec, make_trial, take_lease

OFFER = Offer(trainers=(("synthetic", "1"),), gpus=0.0, cpus=4)


def _next(connection: Connection, offer: Offer = OFFER) -> str | None:
    found = find_claimable(connection, offer)
    return found.job_id if found else None


# Which job


def test_the_highest_priority_goes_first(database: Database) -> None:
    with database.write() as connection:
        make_job(connection, spec=make_spec(priority=-1))
        high = make_job(connection, spec=make_spec(priority=5))
        make_job(connection)

        assert _next(connection) == high.id


def test_trials_left_behind_by_a_worker_do_not_set_their_job_back(database: Database) -> None:
    with database.write() as connection:
        interrupted = make_job(connection, state=JobState.RUNNING, created_at=1.0)
        make_trial(connection, interrupted.id, state=TrialState.RUNNING)
        make_job(connection, created_at=2.0)

        found = find_claimable(connection, OFFER)

    assert found is not None
    assert found.job_id == interrupted.id
    assert found.n_running == 0, "nobody runs them"


def test_of_equals_the_oldest_goes_first(database: Database) -> None:
    with database.write() as connection:
        make_job(connection, created_at=2.0)
        oldest = make_job(connection, created_at=1.0)
        make_job(connection, created_at=3.0)

        assert _next(connection) == oldest.id


def test_precedence_sorts_held_jobs_as_the_database_sorts_claimable_ones(database: Database) -> None:
    with database.write() as connection:
        for priority, created_at in [(0, 3.0), (0, 2.0), (1, 4.0), (1, 1.0)]:
            make_job(connection, spec=make_spec(priority=priority), created_at=created_at)
        found = []
        while precedence := find_claimable(connection, OFFER):
            found.append(precedence)
            take_lease(connection, precedence.job_id)

    assert [precedence.created_at for precedence in found] == [1.0, 4.0, 2.0, 3.0]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        (Offer(trainers=(), gpus=1.0, cpus=4), "no trainer at all"),
        (Offer(trainers=(("other", "1"),), gpus=1.0, cpus=4), "another trainer"),
        (Offer(trainers=(("synthetic", "2"),), gpus=1.0, cpus=4), "another version"),
        (Offer(trainers=(("synthetic", "1"),), gpus=0.25, cpus=4), "too small a share of a GPU"),
        (Offer(trainers=(("synthetic", "1"),), gpus=1.0, cpus=1), "too few CPUs"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_job_that_fits_no_slot_is_not_offered(database: Database, offer: Offer, why: str) -> None:
    with database.write() as connection:
        make_job(connection, spec=make_spec(resources={"gpus": 0.5, "cpus": 2}))

        assert (
            _next(
                connection,
                Offer(
                    trainers=(
                        ("x", "1"),
                        ("synthetic", "1"),
                    ),
                    gpus=0.5,
                    cpus=2,
                ),
            )
            is not None
        )
        assert _next(connection, offer) is None, why


@pytest.mark.parametrize("state", list(JobState))
def test_only_jobs_with_work_to_do_are_claimable(database: Database, state: JobState) -> None:
    with database.write() as connection:
        job = make_job(connection, state=state)
        claimed = claim_job(connection, job.id, owner="worker-1", lease_s=60)

    assert (claimed is not None) == (state in (JobState.QUEUED, JobState.RUNNING, JobState.STOPPING))


# Claiming


def test_claiming_starts_the_job_and_raises_the_token(database: Database) -> None:
    with database.write() as connection:
        queued = make_job(connection)
        claimed = claim_job(connection, queued.id, owner="worker-1", lease_s=60)
        assert claimed is not None
        lease, job = claimed

        assert lease == Lease(queued.id, "worker-1", 1)
        assert job == get_job(connection, queued.id)
        assert (job.state, job.lease_owner, job.lease_live) == (JobState.RUNNING, "worker-1", True)
        assert job.started_at is not None
        assert job.revision == job.change == queued.change + 1


def test_claiming_again_keeps_the_first_start(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        take_lease(connection, job.id)
        first = get_job(connection, job.id).started_at
        expire_lease(connection, job.id)
        take_lease(connection, job.id)

        assert get_job(connection, job.id).started_at == first


def test_a_stopping_job_stays_stopping_and_keeps_its_reason_when_taken_over(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.STOPPING, reason=JobReason.USER)
        take_lease(connection, job.id)

        taken = get_job(connection, job.id)
    assert (taken.state, taken.reason) == (JobState.STOPPING, JobReason.USER)


def test_a_job_that_waited_for_a_worker_no_longer_says_so(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        with open_ledger(connection, job.id) as ledger:
            ledger.move_job(JobState.QUEUED, JobReason.NO_WORKER)
        take_lease(connection, job.id)

        assert get_job(connection, job.id).reason is None


def test_a_held_job_is_not_claimable(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        take_lease(connection, job.id)

        assert _next(connection) is None
        assert claim_job(connection, job.id, owner="worker-2", lease_s=60) is None


def test_an_expired_lease_lets_another_worker_claim_the_job(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        first = take_lease(connection, job.id)
        expire_lease(connection, job.id)

        assert not get_job(connection, job.id).lease_live
        assert _next(connection) == job.id
        second = take_lease(connection, job.id, owner="worker-2")

    assert second.token == first.token + 1


def test_a_released_job_is_claimable_at_once_and_the_token_still_rises(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        first = take_lease(connection, job.id)
        with open_leased_ledger(connection, first) as ledger:
            ledger.move_job(JobState.QUEUED)
            ledger.release_lease()

        second = take_lease(connection, job.id, owner="worker-2")
    assert second.token == first.token + 1


def test_of_two_workers_that_claim_at_once_one_wins(database: Database) -> None:
    n_jobs, n_workers = 15, 4
    with database.write() as connection:
        job_ids = [make_job(connection).id for _ in range(n_jobs)]
    barrier = threading.Barrier(n_workers)

    def claim_all(worker: int) -> list[str]:
        won = []
        for job_id in job_ids:
            barrier.wait()
            with database.write() as connection:
                if claim_job(connection, job_id, owner=f"worker-{worker}", lease_s=60):
                    won.append(job_id)
        return won

    with ThreadPoolExecutor(n_workers) as pool:
        won = [job_id for worker in pool.map(claim_all, range(n_workers)) for job_id in worker]

    assert sorted(won) == sorted(job_ids), "each job was won by exactly one worker"
    with database.read() as connection:
        assert set(connection.scalars(select(jobs.c.lease_token))) == {1}


# Expiry


def test_expiry_is_judged_by_the_databases_clock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose clock runs a year ahead, or behind, neither takes a live lease nor gets a longer one."""
    for offset in (-3e7, 3e7):
        monkeypatch.setattr(leases_module, "now", lambda offset=offset: time.time() + offset)
        with database.write() as connection:
            job = make_job(connection)
            lease = take_lease(connection, job.id, lease_s=60)
            assert claim_job(connection, job.id, owner="worker-2", lease_s=60) is None
            assert renew_leases(connection, [lease], lease_s=60) == {job.id}
            expires_at = connection.scalar(select(jobs.c.lease_expires_at).where(jobs.c.id == job.id))
            # 5 s: however slow this machine, far from the year.
            assert expires_at == pytest.approx(time.time() + 60, abs=5)


def test_a_lease_runs_out_by_itself(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        lease = take_lease(connection, job.id, lease_s=0.05)
    time.sleep(0.1)

    with database.write() as connection:
        assert renew_leases(connection, [lease], lease_s=60) == set(), "gone even if nobody took it"
        assert claim_job(connection, job.id, owner="worker-2", lease_s=60) is not None


def test_renewing_keeps_what_is_held_and_names_it(database: Database) -> None:
    with database.write() as connection:
        held, expired, taken = (take_lease(connection, make_job(connection).id) for _ in range(3))
        for lease in (expired, taken):
            expire_lease(connection, lease.job_id)
        newer = take_lease(connection, taken.job_id, owner="worker-2")

        assert renew_leases(connection, [held, expired, taken], lease_s=60) == {held.job_id}
        assert renew_leases(connection, [newer], lease_s=60) == {newer.job_id}


def test_renewing_is_no_change_of_the_job(database: Database) -> None:
    with database.write() as connection:
        lease = take_lease(connection, make_job(connection).id)
        before = get_job(connection, lease.job_id)
        renew_leases(connection, [lease], lease_s=60)

        after = get_job(connection, lease.job_id)
    assert replace(after, lease_expires_at=before.lease_expires_at) == before


# Fencing


def _write(connection: Connection, lease: Lease) -> None:
    with open_leased_ledger(connection, lease) as ledger:
        ledger.insert_trials([NewTrial(number=0, state=TrialState.QUEUED, params={}, seed=0)])


def test_the_holder_of_a_lease_writes(database: Database) -> None:
    with database.write() as connection:
        lease = take_lease(connection, make_job(connection).id)
        _write(connection, lease)

        assert len(load_trials(connection, lease.job_id)) == 1


@pytest.mark.parametrize("loss", ["expired", "taken-over", "released", "deleted"])
def test_a_lost_lease_writes_nothing(database: Database, loss: str) -> None:
    with database.write() as connection:
        lease = take_lease(connection, make_job(connection).id)
        if loss == "released":
            with open_leased_ledger(connection, lease) as ledger:
                ledger.release_lease()
        elif loss == "deleted":
            connection.execute(jobs.delete())
        else:
            expire_lease(connection, lease.job_id)
        if loss == "taken-over":
            take_lease(connection, lease.job_id, owner="worker-2")
        before = connection.execute(select(jobs)).all()

    with pytest.raises(LeaseLostError) as caught, database.write() as connection:
        _write(connection, lease)

    assert caught.value.token == lease.token
    with database.read() as connection:
        assert load_trials(connection, lease.job_id) == []
        assert connection.execute(select(jobs)).all() == before


def test_a_writer_that_waited_while_its_lease_was_taken_writes_nothing(postgres_url: str) -> None:
    """PostgreSQL only: on SQLite writers queue for the file, so none reads a row that is about to change."""
    database = Database(postgres_url)
    with database.write() as connection:
        lease = take_lease(connection, make_job(connection).id)

    def write_late() -> str:
        try:
            with database.write() as connection:
                _write(connection, lease)
        except LeaseLostError:
            return "lost"
        return "written"

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            expire_lease(connection, lease.job_id)
            take_lease(connection, lease.job_id, owner="worker-2")
            late = pool.submit(write_late)
            time.sleep(0.2)
            assert not late.done(), "it waits for the row"
        assert late.result() == "lost"
    database.dispose()
