"""The event stream of a job: order, whole changes, going on where one left off, and its end."""

import itertools
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from stepsize.client.events import Event, parse_events
from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import delete_job
from stepsize.store.ledger import NewTrial, open_ledger
from tests.builders import make_job, make_report, make_trial
from tests.databases import POSTGRESQL_WHEN_SLOW
from tests.integration.api.conftest import pointers
from tests.waiting import wait_for


def _finished_job(database: Database, *, n_changes: int = 4) -> str:
    """Record a finished job whose every change wrote three trials and three reports."""
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.RUNNING).id
        numbers = itertools.count()
        for _ in range(n_changes):
            mine = [next(numbers) for _ in range(3)]
            with open_ledger(connection, job_id) as ledger:
                ledger.insert_trials(
                    [NewTrial(number=number, state=TrialState.RUNNING, params={}, seed=0) for number in mine]
                )
                ledger.add_reports([make_report(number) for number in mine])
        with open_ledger(connection, job_id) as ledger:
            ledger.move_job(JobState.COMPLETED)
    return job_id


def _raw_events(text: str) -> list[dict[str, str]]:
    """Return the events of a stream as field → value."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def _follow(client: TestClient, job_id: str, after: object = 0) -> list[dict[str, str]]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    response = client.get(f"/v1/jobs/{job_id}/events", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return _raw_events(response.text)


def _names(events: list[dict[str, str]]) -> list[tuple[str, object]]:
    return [(event["event"], json.loads(event["data"]).get("number")) for event in events]


def test_a_finished_job_is_told_in_order_and_the_stream_ends(client: TestClient, database: Database) -> None:
    job_id = _finished_job(database, n_changes=2)
    events = _follow(client, job_id)
    assert _names(events) == [
        *(("trial", number) for number in (0, 1, 2)),
        *(("report", number) for number in (0, 1, 2)),
        *(("trial", number) for number in (3, 4, 5)),
        *(("report", number) for number in (3, 4, 5)),
        ("job", None),
    ]
    job = json.loads(events[-1]["data"])
    assert events[-1]["id"] == str(job["change"])
    assert job == client.get(f"/v1/jobs/{job_id}").json()


def test_only_the_last_event_of_a_change_carries_its_id(client: TestClient, database: Database) -> None:
    events = _follow(client, _finished_job(database, n_changes=2))
    with_id = [index for index, event in enumerate(events) if "id" in event]
    assert with_id == [5, 11, 12]
    ids = [int(events[index]["id"]) for index in with_id]
    assert ids == sorted(set(ids))


def test_without_an_id_the_stream_begins_with_now(client: TestClient, database: Database) -> None:
    job_id = _finished_job(database)
    assert _follow(client, job_id, None) == _follow(client, job_id)[-1:]


@POSTGRESQL_WHEN_SLOW
def test_events_come_compressed_one_by_one(server: str, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.RUNNING).id
    inflate = zlib.decompressobj(wbits=31)
    sizes = []
    headers = {"Accept-Encoding": "gzip"}
    with httpx.stream("GET", f"{server}/v1/jobs/{job_id}/events", headers=headers, trust_env=False) as response:
        assert response.headers["content-encoding"] == "gzip"
        chunks = response.iter_raw()
        for n_trials in range(1, 20):
            piece, text = b"", b""
            while not text.endswith(b"\n\n"):
                piece += (chunk := next(chunks))
                text += inflate.decompress(chunk)
            (*_, job) = [event for event in _raw_events(text.decode()) if event["event"] == "job"]
            assert json.loads(job["data"])["progress"]["total"] == n_trials - 1
            sizes.append((len(piece), len(text)))
            with database.write() as connection:
                make_trial(connection, job_id)
    # The job's row is told whole each time; sent is what has changed in it, and the new trial.
    assert max(sent for sent, _ in sizes[3:]) < 400 < 1500 < min(told for _, told in sizes)


def test_going_on_after_any_id_tells_exactly_the_rest(client: TestClient, database: Database) -> None:
    job_id = _finished_job(database)
    whole = _follow(client, job_id)
    for index, event in enumerate(whole):
        if "id" in event:
            assert _follow(client, job_id, event["id"]) == whole[index + 1 :]


def test_a_row_is_told_once_as_it_is_now(client: TestClient, database: Database) -> None:
    job_id = _finished_job(database, n_changes=1)
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.touch_trial(1, step=9)
    trials = [json.loads(event["data"]) for event in _follow(client, job_id) if event["event"] == "trial"]
    assert [(trial["number"], trial["step"]) for trial in trials] == [(0, None), (2, None), (1, 9)]


def test_batches_hold_whole_changes(client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = _finished_job(database)
    whole = _follow(client, job_id)
    monkeypatch.setattr("stepsize.application.events.BATCH_ROWS", 2)  # a change has three rows of a kind
    assert _follow(client, job_id) == whole


def test_an_id_from_the_future_ends_with_the_job(client: TestClient, database: Database) -> None:
    assert _follow(client, _finished_job(database), 10**15) == []


@pytest.mark.parametrize("last_event_id", ["abc", "-1", "1.5", "9" * 30, ""])
def test_an_id_that_is_none_is_refused(client: TestClient, database: Database, last_event_id: str) -> None:
    response = client.get(f"/v1/jobs/{_finished_job(database)}/events", headers={"Last-Event-ID": last_event_id})
    assert list(pointers(response)) == ["Last-Event-ID"]


def test_the_stream_of_a_job_there_is_not_is_not_found(client: TestClient) -> None:
    assert client.get("/v1/jobs/none/events").status_code == 404


class _Stream:
    """A live stream read by a thread of its own."""

    def __init__(self, url: str, job_id: str) -> None:
        self.events: list[Event] = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(f"{url}/v1/jobs/{job_id}/events",), daemon=True)
        self._thread.start()

    def _read(self, url: str) -> None:
        with httpx.stream("GET", url, timeout=30, trust_env=False) as response:
            for event in parse_events(response.iter_text()):
                self.events.append(event)
        self.ended.set()

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@contextmanager
def _live_stream(url: str, database: Database) -> Iterator[tuple[_Stream, str]]:
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.RUNNING).id
    stream = _Stream(url, job_id)
    wait_for(lambda: stream.kinds == ["job"], timeout_s=10)
    yield stream, job_id
    assert stream.ended.wait(10)


def test_changes_arrive_as_they_are_committed_until_the_job_ends(server: str, database: Database) -> None:
    with _live_stream(server, database) as (stream, job_id):
        with database.write() as connection:
            make_trial(connection, job_id, state=TrialState.RUNNING)
        wait_for(lambda: "trial" in stream.kinds, timeout_s=5)
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(0)])
        wait_for(lambda: stream.kinds[-1] == "report", timeout_s=5)
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            ledger.move_job(JobState.COMPLETED)
    assert stream.kinds[-1] == "job"
    assert stream.events[-1].data["state"] == "completed"


def test_a_deleted_job_ends_its_stream(server: str, database: Database) -> None:
    with _live_stream(server, database) as (_, job_id), database.write() as connection:
        delete_job(connection, job_id)


def test_two_streams_of_a_job_see_the_same(server: str, database: Database) -> None:
    with _live_stream(server, database) as (stream, job_id):
        other = _Stream(server, job_id)
        wait_for(lambda: other.kinds == ["job"], timeout_s=10)
        for _ in range(20):
            with database.write() as connection:
                make_trial(connection, job_id)
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            ledger.move_job(JobState.COMPLETED)
    assert other.ended.wait(10)
    assert {event.data["number"] for event in other.events if event.kind == "trial"} == set(range(20))
    assert stream.events[-1] == other.events[-1]


def test_a_stream_that_ends_leaves_no_watch(server: str, app: FastAPI, database: Database) -> None:
    with _live_stream(server, database) as (_, job_id):
        assert app.state.site.notifier.n_watches == 1
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            ledger.move_job(JobState.COMPLETED)
    wait_for(lambda: app.state.site.notifier.n_watches == 0, timeout_s=5)


def test_a_client_that_goes_away_leaves_no_watch(server: str, app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.RUNNING).id
    with httpx.stream("GET", f"{server}/v1/jobs/{job_id}/events", trust_env=False) as response:
        chunks = response.iter_raw()  # kept: collected, it would close the connection
        next(chunks)
        assert app.state.site.notifier.n_watches == 1
    wait_for(lambda: app.state.site.notifier.n_watches == 0, timeout_s=5)


def test_a_silent_stream_says_so_now_and_then(server: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepsize.api.feed.HEARTBEAT_S", 0.05)
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.RUNNING).id
    with httpx.stream("GET", f"{server}/v1/jobs/{job_id}/events", trust_env=False) as response:
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": ping"


def test_a_server_that_stops_ends_its_streams(server: str, app: FastAPI, database: Database) -> None:
    with _live_stream(server, database):
        app.state.site.notifier.end_streams()
