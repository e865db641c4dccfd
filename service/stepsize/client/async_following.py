"""Following a job without a thread: as following.py does."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from stepsize.client.answers import Job
from stepsize.client.async_connection import AsyncConnection
from stepsize.client.calls.jobs import job as job_call
from stepsize.client.errors import ApiError, WaitTimeoutError
from stepsize.client.events import Event, EventParser
from stepsize.client.following import (
    ALL_EVENTS,
    RECONNECT_PAUSES_S,
    check_pauses,
    events_path,
    has_seen_all,
    is_passing,
    poll_call,
    stream_headers,
)
from stepsize.client.transport import pause_or_give_up, read


async def events(connection: AsyncConnection, job_id: str, after: str | int | None) -> AsyncIterator[Event]:
    """Yield a job's changes after an event until it has finished; survives lost connections."""

    async def is_done(last: str | None) -> bool:
        return has_seen_all(await connection.send(job_call(job_id)), last)

    begin = None if after is None else str(after)
    async for event in _listen(connection, events_path(job_id), begin, is_done):
        yield event


async def all_events(connection: AsyncConnection) -> AsyncIterator[Event]:
    """Yield what changes of any job, until the caller has enough; survives lost connections."""

    async def is_done(_last: str | None) -> bool:
        return False

    async for event in _listen(connection, ALL_EVENTS, None, is_done):
        yield event


async def _listen(
    connection: AsyncConnection, path: str, after: str | None, is_done: Callable[[str | None], Awaitable[bool]]
) -> AsyncIterator[Event]:
    pauses = iter(RECONNECT_PAUSES_S)
    while True:
        try:
            parser = EventParser()
            async with connection.stream(path, headers=stream_headers(after)) as response:
                async for chunk in response.aiter_text():
                    for event in parser.feed(chunk):
                        pauses = iter(RECONNECT_PAUSES_S)
                        after = event.id or after
                        yield event
            if await is_done(after):
                return
            error: Exception = ConnectionError("the event stream keeps ending early")
        except (httpx.TransportError, ApiError) as broken:
            if not is_passing(broken):
                raise
            error = broken
        await connection.sleep(pause_or_give_up(connection.base_url, pauses, error))


async def follow(
    connection: AsyncConnection, job_id: str, poll_s: float, timeout_s: float | None
) -> AsyncIterator[Job]:
    """Yield a job now and after each change that a poll sees, until it has finished.

    Raises:
        WaitTimeoutError: it has not finished in time.
    """
    check_pauses(poll_s, timeout_s)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    job, etag = await connection.send(job_call(job_id)), ""
    yield job
    while not job.is_finished:
        left = poll_s if deadline is None else min(poll_s, deadline - time.monotonic())
        if left <= 0:
            raise WaitTimeoutError(job, timeout_s or 0.0)
        await connection.sleep(left)
        call = poll_call(job.id, etag)
        response = await connection.response(call)
        if response.status_code == httpx.codes.NOT_MODIFIED:
            continue
        etag = response.headers.get("ETag", "")
        job = read(connection.base_url, call, response)
        yield job
