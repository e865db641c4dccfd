"""Following a job: its event stream, or polling where that isn't to be had."""

import time
from collections.abc import Callable, Iterator
from math import isnan
from numbers import Real

import httpx

from stepsize.client.answers import Job
from stepsize.client.calls.base import Call, of, part
from stepsize.client.calls.jobs import job as job_call
from stepsize.client.connection import Connection
from stepsize.client.errors import ApiError, WaitTimeoutError, WrongValueError
from stepsize.client.events import Event, EventParser
from stepsize.client.transport import RETRIED_STATUSES, pause_or_give_up, read

RECONNECT_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, *[3.0] * 8)
"""A watched job outlives a restart of the API, which takes seconds: about half a minute in all."""
ALL_EVENTS = "/events"


def events(connection: Connection, job_id: str, after: str | int | None) -> Iterator[Event]:
    """Yield a job's changes after an event until it has finished; survives lost connections."""

    def is_done(last: str | None) -> bool:
        return has_seen_all(connection.send(job_call(job_id)), last)

    yield from _listen(connection, events_path(job_id), None if after is None else str(after), is_done)


def all_events(connection: Connection) -> Iterator[Event]:
    """Yield what changes of any job, until the caller has enough; survives lost connections."""
    yield from _listen(connection, ALL_EVENTS, None, lambda _last: False)


def _listen(
    connection: Connection, path: str, after: str | None, is_done: Callable[[str | None], bool]
) -> Iterator[Event]:
    pauses = iter(RECONNECT_PAUSES_S)
    while True:
        try:
            for event in _stream(connection, path, after):
                pauses = iter(RECONNECT_PAUSES_S)
                after = event.id or after
                yield event
            if is_done(after):
                return
            error: Exception = ConnectionError("the event stream keeps ending early")
        except (httpx.TransportError, ApiError) as broken:
            if not is_passing(broken):
                raise
            error = broken
        connection.sleep(pause_or_give_up(connection.base_url, pauses, error))


def follow(connection: Connection, job_id: str, poll_s: float) -> Iterator[Job]:
    """Yield a job now and after each of its changes, until it has finished."""
    check_pauses(poll_s, None)
    job = connection.send(job_call(job_id))
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


def follow_until(connection: Connection, job_id: str, poll_s: float, timeout_s: float) -> Iterator[Job]:
    """Yield a job now and after each change that a poll sees, until it has finished.

    Raises:
        WaitTimeoutError: it has not finished in time.
    """
    check_pauses(poll_s, timeout_s)
    deadline = time.monotonic() + timeout_s
    job = connection.send(job_call(job_id))
    yield job
    for seen in _poll(connection, job, poll_s, deadline=deadline):
        job = seen
        yield job
    if not job.is_finished:
        raise WaitTimeoutError(job, timeout_s)


def check_pauses(poll_s: float, timeout_s: float | None) -> None:
    """Raise WrongValueError where these can't be seconds to wait."""
    if not _is_time(poll_s) or poll_s <= 0:
        raise WrongValueError(f"poll_s: seconds above 0 are expected here, not {poll_s!r}")
    if timeout_s is not None and not (_is_time(timeout_s) and timeout_s >= 0):
        raise WrongValueError(f"timeout: seconds are expected here, or None for no limit, not {timeout_s!r}")


def _is_time(given: object) -> bool:
    return isinstance(given, Real) and not isinstance(given, bool) and not isnan(given)


def is_passing(error: httpx.TransportError | ApiError) -> bool:
    """Tell whether what broke a stream may be over when it is opened again."""
    return isinstance(error, httpx.TransportError) or error.problem.status in RETRIED_STATUSES


def has_seen_all(job: Job, after: str | None) -> bool:
    """Tell a finished job's end of stream from one cut short by a restart or a proxy."""
    return job.is_finished and int(after or 0) >= job.change


def events_path(job_id: str) -> str:
    """Return where a job's events come from."""
    return f"/jobs/{part(job_id)}/events"


def stream_headers(after: str | None) -> dict[str, str]:
    """Return the headers that open an event stream after an event."""
    return {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})


def poll_call(job_id: str, etag: str) -> Call[Job]:
    """Return the call that reads a job unless it is as it was."""
    return Call("GET", job_call(job_id).path, of(Job), headers={"If-None-Match": etag} if etag else {})


def _stream(connection: Connection, path: str, after: str | None) -> Iterator[Event]:
    parser = EventParser()
    with connection.stream(path, headers=stream_headers(after)) as response:
        for chunk in response.iter_text():
            yield from parser.feed(chunk)


def _poll(connection: Connection, job: Job, poll_s: float, *, deadline: float | None = None) -> Iterator[Job]:
    etag = ""
    while not job.is_finished:
        left = poll_s if deadline is None else min(poll_s, deadline - time.monotonic())
        if left <= 0:
            return
        connection.sleep(left)
        call = poll_call(job.id, etag)
        response = connection.response(call)
        if response.status_code == httpx.codes.NOT_MODIFIED:
            continue
        etag = response.headers.get("ETag", "")
        job = read(connection.base_url, call, response)
        yield job
