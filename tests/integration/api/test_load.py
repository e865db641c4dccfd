"""What many clients at once must not do to each other; under uvicorn, with real sockets."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from stepsize.domain.job import JobState
from stepsize.store.database import Database
from tests.builders import make_job
from tests.waiting import wait_for

N_STREAMS = 200


@contextmanager
def _open_streams(url: str, paths: list[str]) -> Iterator[None]:
    """Hold an event stream open for each path, all on one event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    address = urlsplit(url)

    async def connect(path: str) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        return writer

    async def connect_all() -> list[asyncio.StreamWriter]:
        return await asyncio.gather(*map(connect, paths))

    async def close_all(writers: list[asyncio.StreamWriter]) -> None:
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    writers = asyncio.run_coroutine_threadsafe(connect_all(), loop).result(60)
    yield
    asyncio.run_coroutine_threadsafe(close_all(writers), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _latencies(client: httpx.Client, path: str, n: int = 50) -> list[float]:
    found = []
    for _ in range(n):
        start = time.perf_counter()
        assert client.get(path).status_code == 200
        found.append(time.perf_counter() - start)
    return sorted(found)


def test_200_idle_streams_do_not_slow_a_trivial_get(server: str, app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        job_ids = [make_job(connection, state=JobState.RUNNING).id for _ in range(N_STREAMS // 2)]
    notifier = app.state.site.notifier
    with httpx.Client(base_url=server, trust_env=False, timeout=30) as client:
        paths = ["/healthz", f"/v1/jobs/{job_ids[0]}"]
        alone = [_latencies(client, path)[25] for path in paths]
        with _open_streams(server, [f"/v1/jobs/{job_id}/events" for job_id in job_ids * 2]):
            wait_for(lambda: notifier.n_watches == N_STREAMS)
            wait_for(lambda: app.state.site.database.engine.pool.checkedout() <= 1)  # SQLite's signal holds one
            time.sleep(0.5)
            beside = [_latencies(client, path)[25] for path in paths]
    # Streams that held a thread would make 160 of 200 wait, and the GET with them: 2.6 s at 45 waiters, measured.
    # Ten milliseconds are the noise of two shared cores.
    for before, after in zip(alone, beside, strict=True):
        assert after < 2 * before + 0.01


def test_a_wake_up_reaches_200_streams_of_one_job(server: str, app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.RUNNING).id
    notifier = app.state.site.notifier
    with _open_streams(server, [f"/v1/jobs/{job_id}/events"] * N_STREAMS):
        wait_for(lambda: notifier.n_watches == N_STREAMS)
        with httpx.Client(base_url=server, trust_env=False, timeout=30) as client:
            assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
        wait_for(lambda: notifier.n_watches == 0, timeout_s=10)


def test_more_writers_than_threads_finish(app: FastAPI) -> None:
    """A transaction that waited for a thread would wait for those who wait for its lock: 30 s, then errors."""
    body = {"trainer": {"name": "synthetic"}}
    with TestClient(app) as client, ThreadPoolExecutor(60) as pool:
        start = time.perf_counter()
        answers = list(pool.map(lambda _: client.post("/v1/jobs", json=body).status_code, range(120)))
        assert set(answers) == {201}
        assert time.perf_counter() - start < 20
