"""Following a job: its event stream, or polling where that isn't to be had."""

from collections.abc import Iterator

import httpx

from stepsize.client.answers import Job
from stepsize.client.connection import RETRIED_STATUSES, Connection
from stepsize.client.errors import ApiError
from stepsize.client.events import Event, parse_events

_RECONNECT_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, *[3.0] * 8)
"""A watched job outlives a restart of the API, which takes seconds: about half a minute in all."""


def events(connection: Connection, job_id: str, after: str | None) -> Iterator[Event]:
    """Yield a job's changes after an event until it has finished; survives lost connections."""
    pauses = iter(_RECONNECT_PAUSES_S)
    while True:
        try:
            for event in _stream(connection, job_id, after):
                pauses = iter(_RECONNECT_PAUSES_S)
                after = event.id or after
                yield event
            if _has_seen_all(connection, job_id, after):
                return
            connection.pause_or_give_up(pauses, ConnectionError("the event stream keeps ending early"))
        except (httpx.TransportError, ApiError) as error:
            if isinstance(error, ApiError) and error.problem.status not in RETRIED_STATUSES:
                raise
            connection.pause_or_give_up(pauses, error)


def follow(connection: Connection, job_id: str, poll_s: float) -> Iterator[Job]:
    """Yield a job now and after each of its changes, until it has finished."""
    job = connection.get(Job, f"/jobs/{job_id}")
    yield job
    if job.is_finished:
        return
    try:
        for event in events(connection, job_id, str(job.change)):
            if event.job is not None:
                job = event.job
                yield job
    except ApiError:
        pass  # polling tells whether it was the stream or the job
    yield from _poll(connection, job, poll_s)


def _stream(connection: Connection, job_id: str, after: str | None) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    with connection.stream(f"/jobs/{job_id}/events", headers=headers) as response:
        yield from parse_events(response.iter_text())


def _has_seen_all(connection: Connection, job_id: str, after: str | None) -> bool:
    """Tell a finished job's end of stream from one cut short by a restart or a proxy."""
    job = connection.get(Job, f"/jobs/{job_id}")
    return job.is_finished and int(after or 0) >= job.change


def _poll(connection: Connection, job: Job, poll_s: float) -> Iterator[Job]:
    etag = ""
    while not job.is_finished:
        connection.sleep(poll_s)
        response = connection.request("GET", f"/jobs/{job.id}", headers={"If-None-Match": etag} if etag else {})
        if response.status_code == httpx.codes.NOT_MODIFIED:
            continue
        etag = response.headers.get("ETag", "")
        job = connection.read(Job, response)
        yield job
