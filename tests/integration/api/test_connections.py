"""Clients that send half a request, or stop reading: what they cost the others; under uvicorn, with real sockets."""

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, select

from stepsize.api.connections import ImpatientProtocol
from stepsize.domain.job import JobState
from stepsize.store.database import Database
from stepsize.store.models import trials
from tests.builders import make_job, make_trial
from tests.integration.api.conftest import serving
from tests.waiting import wait_for

N_READERS = 30
N_TRIALS = 10_000


class _Hasty(ImpatientProtocol):
    head_s = 0.5
    body_s = 0.5
    stall_s = 1.0
    lost: ClassVar[list[object]] = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(self)
        super().connection_lost(exc)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    with serving(app, http=_Hasty) as url:
        yield url


@contextlib.contextmanager
def connection(url: str, *, buffer_bytes: int | None = None) -> Iterator[socket.socket]:
    address = urlsplit(url)
    with socket.socket() as opened:
        if buffer_bytes:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        opened.settimeout(10)
        opened.connect((address.hostname, address.port))
        yield opened


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", HEAD])
def test_half_a_head_is_closed(server: str, sent: bytes) -> None:
    with connection(server) as opened:
        opened.sendall(sent)
        assert opened.recv(1000) == b""


def test_a_head_that_trickles_is_closed_all_the_same(server: str) -> None:
    with connection(server) as opened, contextlib.suppress(ConnectionError):
        deadline = time.monotonic() + 8
        for byte in HEAD * 10:
            opened.sendall(bytes([byte]))
            time.sleep(0.1)
            assert time.monotonic() < deadline, "a byte now and then keeps the connection"


def test_a_head_without_end_is_cut_off(server: str) -> None:
    with connection(server) as opened, contextlib.suppress(ConnectionError):
        opened.sendall(HEAD + b"X: " + b"x" * 400_000)
        assert opened.recv(1000) == b""


def test_half_a_second_head_is_closed_and_a_whole_one_answered(server: str) -> None:
    with connection(server) as opened:
        for _ in range(2):
            opened.sendall(HEAD + b"\r\n")
            assert opened.recv(10_000).startswith(b"HTTP/1.1 200")
        opened.sendall(HEAD)
        assert opened.recv(1000) == b""


POST = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n4\r\n"])
@pytest.mark.parametrize("path", [b"/v1/jobs", b"/v1/datasets?name=x&format=csv"])
def test_half_a_body_is_closed_and_nothing_is_logged(
    server: str, framing: bytes, path: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with connection(server) as opened, contextlib.suppress(ConnectionError):
        opened.sendall(POST.replace(b"/v1/jobs", path) + framing + b"{")
        started = time.monotonic()
        while opened.recv(1000):
            pass
        assert time.monotonic() - started < 8
    assert "request failed" not in "".join(capfd.readouterr())


def test_a_body_that_trickles_is_closed_all_the_same(server: str) -> None:
    with connection(server) as opened, contextlib.suppress(ConnectionError):
        opened.sendall(POST + b"Content-Length: 100000\r\n\r\n")
        deadline = time.monotonic() + 8
        while True:
            opened.sendall(b" ")
            time.sleep(0.1)
            assert time.monotonic() < deadline, "a byte now and then keeps the connection"


def test_a_body_that_comes_along_may_take_its_time(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepsize.api.connections.BODY_BYTES", 2)
    body = b'{"trainer": {"name": "synthetic"}}'
    with connection(server) as opened:
        opened.sendall(POST + f"Content-Length: {len(body)}\r\n\r\n".encode())
        for place in range(0, len(body), 3):
            opened.sendall(body[place : place + 3])
            time.sleep(0.1)
        assert opened.recv(1000).startswith(b"HTTP/1.1 201")


def test_a_long_answer_is_no_half_head(server: str, database: Database) -> None:
    with database.write() as connection_:
        job = make_job(connection_, state=JobState.RUNNING)
    with connection(server) as opened:
        opened.sendall(f"GET /v1/jobs/{job.id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert opened.recv(1000).startswith(b"HTTP/1.1 200")
        opened.settimeout(3 * _Hasty.head_s)
        with pytest.raises(TimeoutError):  # the stream stays open, and falls silent
            _read_to_the_end(opened)


@pytest.fixture
def job_id(database: Database) -> str:
    """A job with many finished trials."""
    with database.write() as connection_:
        job = make_job(connection_, state=JobState.COMPLETED)
        # Wide: the kernel's buffers alone take some megabytes of an answer that nobody reads.
        first = make_trial(connection_, job.id, params={"note": "x" * 1000})
        row = connection_.execute(select(trials).where(trials.c.number == first.number)).mappings().one()
        others = [dict(row) | {"number": number} for number in range(first.number + 1, N_TRIALS)]
        connection_.execute(insert(trials), others)
        return job.id


def _stop_reading(url: str, job_id: str, stack: contextlib.ExitStack) -> None:
    reader = stack.enter_context(connection(url, buffer_bytes=4096))
    reader.sendall(f"GET /v1/jobs/{job_id}/export?format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def test_readers_that_stop_slow_nobody(app: FastAPI, server: str, job_id: str) -> None:
    with contextlib.ExitStack() as stack, httpx.Client(base_url=server, trust_env=False) as client:
        assert client.get("/healthz").status_code == 200
        for _ in range(N_READERS):
            _stop_reading(server, job_id, stack)
        took = []
        for _ in range(30):
            started = time.perf_counter()
            assert client.get("/healthz").status_code == 200
            took.append(time.perf_counter() - started)
        # Thirty threads with the interpreter's lock in turn make each GET take a second and more; one, some 10 ms.
        assert sorted(took)[15] < 0.3
        assert app.state.site.database.engine.pool.checkedout() <= 2, "one export is made at a time"


def test_a_reader_that_stops_is_let_go(server: str, job_id: str) -> None:
    _Hasty.lost.clear()
    with contextlib.ExitStack() as stack:
        _stop_reading(server, job_id, stack)
        wait_for(lambda: _Hasty.lost, timeout_s=30)
    whole = httpx.get(f"{server}/v1/jobs/{job_id}/export?format=csv", timeout=60, trust_env=False).text
    assert len(whole.splitlines()) == N_TRIALS + 1, "who reads gets all of it"


def _read_to_the_end(opened: socket.socket) -> None:
    while opened.recv(10_000):
        pass
