"""`AsyncClient`: the service at one address, for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self

import httpx
from pydantic import JsonValue

from stepsize.client.answers import Dataset, Job
from stepsize.client.async_connection import AsyncConnection
from stepsize.client.async_following import all_events, events, follow
from stepsize.client.calls.base import part
from stepsize.client.display import Progress, progress_view
from stepsize.client.events import Event
from stepsize.client.external import (
    AsyncExternalTrial,
    SuggestedTrial,
    TellLater,
    process_name,
    suggestions_later,
    tell_call,
)
from stepsize.client.files import ExportFormat, Rows, complete_file, dataset_query, export_format
from stepsize.client.operations import Later, Operations
from stepsize.client.transport import address


class AsyncClient(Operations, Later):
    """As `Client`, but its calls are awaited and its lists are read with `async for`.

    `suggestions` yields trials to train here; what they report and how they end is awaited too.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = AsyncConnection(address(base_url), transport=transport, sleep=sleep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._connection.close()

    def events(self, job_id: str, *, after: str | int | None = None) -> AsyncIterator[Event]:
        """Yield changes of a job as they happen, until it has finished; see `Client.events`."""
        return events(self._connection, job_id, after)

    def all_events(self) -> AsyncIterator[Event]:
        """Yield what changes of any unfinished job; see `Client.all_events`."""
        return all_events(self._connection)

    def follow(self, job_id: str, *, poll_s: float = 1.0) -> AsyncIterator[Job]:
        """Yield a job now and after each change that a poll sees, until it has finished."""
        return follow(self._connection, job_id, poll_s, None)

    async def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        progress: Progress | Callable[[Job], Awaitable[None]] = False,
        poll_s: float = 1.0,
    ) -> Job:
        """Return a job once it has finished; see `Client.wait`. A function `progress` may be asynchronous."""
        with progress_view(progress) as view:
            async for job in follow(self._connection, job_id, poll_s, timeout):
                if (told := view.show(job)) is not None:
                    await told
        return job

    async def export(
        self, job_id: str, *, file_format: ExportFormat = "csv", rows: Rows = "trials"
    ) -> AsyncIterator[bytes]:
        """Yield a file with everything a job has recorded, piece by piece."""
        query = {"format": file_format, "rows": rows}
        with self._connection.unreachable():
            async with self._connection.stream(f"/jobs/{part(job_id)}/export", query=query) as response:
                async for chunk in response.aiter_bytes():
                    yield chunk

    async def export_to(
        self, job_id: str, file: Path | str, *, file_format: ExportFormat | None = None, rows: Rows = "trials"
    ) -> Path:
        """Write everything a job has recorded to a file; see `Client.export_to`."""
        path = Path(file)
        wanted = file_format or export_format(path)
        with complete_file(path) as target:
            async for chunk in self.export(job_id, file_format=wanted, rows=rows):
                target.write(chunk)
        return path

    async def upload(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        format: str | None = None,  # noqa: A002 - the service's word
        target: str | None = None,
        target_kind: str | None = None,
        help: str | None = None,  # noqa: A002 - the service's word
    ) -> Dataset:
        """Upload a data set and return it; see `Client.upload`."""
        file = Path(path)
        query = dataset_query(file, name=name, file_format=format, target=target, target_kind=target_kind, words=help)
        response = await self._connection.send_file("/datasets", file, query)
        return Dataset.model_validate_json(response.content)

    def suggestions(
        self, job_id: str, *, client_id: str | None = None, lease_s: float = 60.0, wait_s: float = 20.0
    ) -> AsyncIterator[AsyncExternalTrial]:
        """Yield trials of an external job to train here; see `Client.suggestions`."""
        tell = self._teller(job_id)
        return suggestions_later(tell, client_id=client_id or process_name(), lease_s=lease_s, wait_s=wait_s)

    def external_trial(self, job_id: str, suggested: SuggestedTrial) -> AsyncExternalTrial:
        """Return a trial that `suggest` gave, to report on and to end."""
        return AsyncExternalTrial(suggested, self._teller(job_id))

    def _teller(self, job_id: str) -> TellLater:
        async def tell(path: str, body: Mapping[str, JsonValue]) -> JsonValue:
            return await self._connection.send(tell_call(job_id, path, body))

        return tell
