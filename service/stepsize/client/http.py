"""`Client`: the service at one address, called and waited for."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import httpx
from pydantic import JsonValue

from stepsize.client.answers import Dataset, Job
from stepsize.client.calls.base import part
from stepsize.client.connection import Connection
from stepsize.client.display import Progress, progress_view
from stepsize.client.events import Event
from stepsize.client.external import ExternalTrial, SuggestedTrial, Tell, process_name, suggestions, tell_call
from stepsize.client.files import ExportFormat, Rows, complete_file, dataset_query, export_format
from stepsize.client.following import all_events, events, follow, follow_until
from stepsize.client.operations import Now, Operations
from stepsize.client.transport import address


class Client(Operations, Now):
    """The service at one address.

    Args:
        base_url: where the service is, without `/v1`; null: where the environment's `STEPSIZE_SERVER` says, or on this
            machine.
        transport: replaces the network in tests.
        sleep: replaces the pauses between retries in tests.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection = Connection(address(base_url), transport=transport, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._connection.close()

    def events(self, job_id: str, *, after: str | int | None = None) -> Iterator[Event]:
        """Yield changes of a job as they happen, until it has finished; survives lost connections.

        Args:
            after: the id of the last event already seen, or the `change` of the job as it was read; null: from now.
        """
        return events(self._connection, job_id, after)

    def all_events(self) -> Iterator[Event]:
        """Yield what changes of any unfinished job, for as long as it is listened to; survives lost connections.

        Each event's `data` is a part of a job: its `id` and what has changed. It begins with now.
        """
        return all_events(self._connection)

    def follow(self, job_id: str, *, poll_s: float = 1.0) -> Iterator[Job]:
        """Yield a job now and after each of its changes, until it has finished.

        Uses the event stream, and polls where that isn't to be had (behind some proxies).
        """
        return follow(self._connection, job_id, poll_s)

    def wait(
        self, job_id: str, *, timeout: float | None = None, progress: Progress = False, poll_s: float = 1.0
    ) -> Job:
        """Return a job once it has finished, however that was: see its `state` and `is_lost`.

        Args:
            timeout: seconds to wait at most; null: as long as it takes.
            progress: show how far it is, in a notebook as a picture that moves, elsewhere as a line on standard error;
                or a function that is called with the job now and at each change.
            poll_s: seconds between two looks, where there is a timeout or no event stream.

        Raises:
            WaitTimeoutError: it has not finished in time; the job goes on.
        """
        jobs = (
            follow(self._connection, job_id, poll_s)
            if timeout is None
            else follow_until(self._connection, job_id, poll_s, timeout)
        )
        with progress_view(progress) as view:
            for job in jobs:
                view.show(job)
        return job

    def export(self, job_id: str, *, file_format: ExportFormat = "csv", rows: Rows = "trials") -> Iterator[bytes]:
        """Yield a file with everything a job has recorded, piece by piece."""
        query = {"format": file_format, "rows": rows}
        path = f"/jobs/{part(job_id)}/export"
        with self._connection.unreachable(), self._connection.stream(path, query=query) as response:
            yield from response.iter_bytes()

    def export_to(
        self, job_id: str, file: Path | str, *, file_format: ExportFormat | None = None, rows: Rows = "trials"
    ) -> Path:
        """Write everything a job has recorded to a file, which is complete or isn't there, and return its path.

        Args:
            file_format: null: what the file's name ends with: .csv, .jsonl or .parquet.
            rows: one row a trial, or one a report.
        """
        path = Path(file)
        wanted = file_format or export_format(path)
        with complete_file(path) as target:
            for chunk in self.export(job_id, file_format=wanted, rows=rows):
                target.write(chunk)
        return path

    def upload(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        format: str | None = None,  # noqa: A002 - the service's word
        target: str | None = None,
        target_kind: str | None = None,
        help: str | None = None,  # noqa: A002 - the service's word
    ) -> Dataset:
        """Upload a data set and return it; the same content again changes nothing.

        Args:
            name: what jobs call it; null: the file's name without its ending.
            format: npz, csv, parquet, or images for a .zip of `<class>/<image>.png`; null: as the file's name ends.
            target: the column to predict; null: target, label, or the last column.
            target_kind: `classes` or `number`, where its values leave doubt.
            help: what it is, in a line, for those who choose one.
        """
        file = Path(path)
        query = dataset_query(file, name=name, file_format=format, target=target, target_kind=target_kind, words=help)
        return Dataset.model_validate_json(self._connection.send_file("/datasets", file, query).content)

    def suggestions(
        self, job_id: str, *, client_id: str | None = None, lease_s: float = 60.0, wait_s: float = 20.0
    ) -> Iterator[ExternalTrial]:
        """Yield trials of an external job to train here, one after the other, until there will be no more.

        A trial that is neither ended nor stopped when the next is asked for comes again.

        Args:
            client_id: a name for this process; null: one of its own. A process that starts anew under the same name
                gets the trial it had.
            lease_s: seconds of silence after which the trial may be given to another client.
            wait_s: seconds one request waits; it is repeated.
        """

        tell = self._teller(job_id)
        return suggestions(tell, client_id=client_id or process_name(), lease_s=lease_s, wait_s=wait_s)

    def external_trial(self, job_id: str, suggested: SuggestedTrial) -> ExternalTrial:
        """Return a trial that `suggest` gave, to report on and to end."""
        return ExternalTrial(suggested, self._teller(job_id))

    def _teller(self, job_id: str) -> Tell:
        def tell(path: str, body: Mapping[str, JsonValue]) -> JsonValue:
            return self._connection.send(tell_call(job_id, path, body))

        return tell
