"""The event stream of all jobs: brief rows of those that change, as they change."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepsize.api.job_feed import JobFeed
from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from stepsize.store.ledger import NewTrial, open_ledger
from tests.builders import make_job
from tests.databases import POSTGRESQL_WHEN_SLOW

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _rows(stream: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    """Return the rows of the next beat that has any."""
    async with asyncio.timeout(20):
        async for text in stream:
            blocks = [block for block in text.decode().split("\n\n") if block and not block.startswith(":")]
            if blocks:
                return [json.loads(block.split("data: ", 1)[1]) for block in blocks]
    raise AssertionError("the stream has ended")


def _begin_trial(database: Database, job_id: str, number: int) -> None:
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.insert_trials([NewTrial(number, TrialState.RUNNING, {"learning_rate": 0.1, "batch_size": 32}, seed=0)])


async def test_jobs_are_told_when_they_change_are_submitted_or_finish_and_then_no_more(database: Database) -> None:
    with database.write() as connection:
        running, still = (make_job(connection, state=JobState.RUNNING).id for _ in range(2))
    feed = JobFeed(database, lease_s=30.0)
    stream = feed.follow()
    await anext(stream)
    await asyncio.sleep(0.5)  # the first look knows what was there before

    _begin_trial(database, running, 0)
    (row,) = await _rows(stream)
    assert (row["id"], row["state"], row["progress"]["counts"]["running"]) == (running, "running", 1)
    assert "spec" not in row
    with database.write() as connection:
        fresh = make_job(connection).id
    (row,) = await _rows(stream)
    assert (row["id"], row["state"], row["reason"]) == (fresh, "queued", "no_worker")
    with database.write() as connection, open_ledger(connection, still) as ledger:
        ledger.move_job(JobState.FAILED)
    (row,) = await _rows(stream)
    assert (row["id"], row["state"], row["finished_at"] is None) == (still, "failed", False)
    feed.end()
    assert [text async for text in stream] == []


@POSTGRESQL_WHEN_SLOW
async def test_an_update_among_a_thousand_jobs_is_small(database: Database) -> None:
    """17 of them change in every beat; the stream is compressed as the server does it."""
    with database.write() as connection:
        ids = [make_job(connection, state=JobState.RUNNING).id for _ in range(1000)]
    stream = JobFeed(database, lease_s=30.0).follow()
    await anext(stream)
    await asyncio.sleep(1)
    deflate, sizes = zlib.compressobj(4, wbits=14), []
    for number in range(3):
        for job_id in ids[:17]:
            _begin_trial(database, job_id, number)
        n_told = 0
        sizes.append(0)
        while n_told < 17:
            rows = await _rows(stream)
            n_told += len(rows)
            text = "".join(f"event: job\ndata: {json.dumps(row, separators=(',', ':'))}\n\n" for row in rows)
            sizes[-1] += len(deflate.compress(text.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH))
    assert max(sizes) < 2000
    await stream.aclose()
