"""The client itself: one method a call of the API."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self
from uuid import uuid4

import httpx
from pydantic import JsonValue

from stepsize.client.answers import Answer, Dataset, Job, Page, Report, Trial
from stepsize.client.connection import Connection, Query
from stepsize.client.events import Event
from stepsize.client.external import ExternalTrial, suggestions
from stepsize.client.following import events, follow
from stepsize.client.range_tests import RangeTest
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec

DEFAULT_SERVER = "http://127.0.0.1:8000"

Control = Literal["pause", "resume", "stop", "cancel", "retry-failed"]


class Client:
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
        address = base_url or os.environ.get("STEPSIZE_SERVER") or DEFAULT_SERVER
        self._connection = Connection(address, transport=transport, sleep=sleep)

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._connection.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._connection.close()

    def submit(self, spec: JobSpec | Mapping[str, JsonValue], *, idempotency_key: str | None = None) -> Job:
        """Submit a job and return it.

        Args:
            spec: what to tune; a mapping is sent as it is, so that the service names what is wrong with it.
            idempotency_key: submitting again with the same key returns the first job; null: a fresh one.
        """
        return self._connection.post(Job, "/jobs", _spec_json(spec), idempotency_key)

    def dry_run(self, spec: JobSpec | Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return what the service would make of a spec (defaults filled in, warnings); nothing is stored."""
        response = self._connection.request("POST", "/jobs", query={"dry_run": "true"}, body=_spec_json(spec))
        return self._connection.read(Answer, response).model_dump(mode="json")

    def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return self._connection.get(Job, f"/jobs/{job_id}")

    def jobs(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        label: str | None = None,
        trainer: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Yield jobs, page after page.

        Args:
            label: `key:value`.
            limit: stop after this many; null: all.
        """
        query = {"state": state, "name": name, "label": label, "trainer": trainer, "sort": sort}
        return self._connection.pages(Job, "/jobs", query, limit)

    def trials(
        self,
        job_id: str,
        *,
        state: str | None = None,
        filters: Sequence[str] = (),
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Trial]:
        """Yield a job's trials, page after page.

        Args:
            filters: conditions such as `params.learning_rate>=1e-3`, AND-ed.
            sort: `number`, `duration_s`, `params.x` or `values.x`, with `-` in front for descending.
            limit: stop after this many; null: all.
        """
        query: Query = {"state": state, "filter": filters, "sort": sort}
        return self._connection.pages(Trial, f"/jobs/{job_id}/trials", query, limit)

    def trial(self, job_id: str, number: int) -> Trial:
        """Return one trial."""
        return self._connection.get(Trial, f"/jobs/{job_id}/trials/{number}")

    def reports(self, job_id: str, number: int) -> Iterator[Report]:
        """Yield a trial's reports in order of step."""
        return self._connection.pages(Report, f"/jobs/{job_id}/trials/{number}/reports", {}, None)

    def log(self, job_id: str, number: int) -> str:
        """Return what a trial printed, its traceback included."""
        return self._connection.request("GET", f"/jobs/{job_id}/trials/{number}/log").text

    def best(self, job_id: str, *, n: int = 1) -> list[Trial]:
        """Return up to `n` best trials, best first."""
        page = self._connection.get(Page, f"/jobs/{job_id}/best", {"n": n})
        return [Trial.model_validate(item) for item in page.items]

    def report(self, job_id: str) -> Answer:
        """Return a job's learning-rate report, as the service's `/openapi.json` describes it."""
        return self._connection.get(Answer, f"/jobs/{job_id}/report")

    def report_text(self, job_id: str) -> str:
        """Return a job's learning-rate report as Markdown."""
        return self._connection.request("GET", f"/jobs/{job_id}/report", headers={"Accept": "text/markdown"}).text

    def export(
        self,
        job_id: str,
        *,
        file_format: Literal["csv", "jsonl", "parquet", "optuna"] = "csv",
        rows: Literal["trials", "reports"] = "trials",
    ) -> Iterator[bytes]:
        """Yield a file with everything a job has recorded, piece by piece."""
        query = {"format": file_format, "rows": rows}
        path = f"/jobs/{job_id}/export"
        with self._connection.unreachable(), self._connection.stream(path, query=query) as response:
            yield from response.iter_bytes()

    def control(self, job_id: str, action: Control) -> Job:
        """Pause, resume, stop or cancel a job and return it; a worker carries it out a moment later."""
        return self._connection.post(Job, f"/jobs/{job_id}/{action}")

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

        def tell(path: str, body: Mapping[str, JsonValue]) -> JsonValue:
            answer: JsonValue = self._connection.request(
                "POST", f"/jobs/{job_id}{path}", body=dict(body), needs_key=False
            ).json()
            return answer

        return suggestions(tell, client_id=client_id or _process_name(), lease_s=lease_s, wait_s=wait_s)

    def range_test(
        self, spec: RangeTestSpec | Mapping[str, JsonValue], *, idempotency_key: str | None = None
    ) -> RangeTest:
        """Submit a learning-rate range test and return it; `wait(test.job_id)` waits for its sweeps.

        Args:
            spec, idempotency_key: as for `submit`.
        """
        return self._connection.post(RangeTest, "/range-tests", _spec_json(spec), idempotency_key)

    def read_range_test(self, test_id: str) -> RangeTest:
        """Return a range test as it is now; its results are complete once it has finished."""
        return self._connection.get(RangeTest, f"/range-tests/{test_id}")

    def datasets(self) -> list[Dataset]:
        """Return all data sets: built-in ones, then the users' own."""
        page = self._connection.get(Page, "/datasets")
        return [Dataset.model_validate(item) for item in page.items]

    def upload(
        self,
        path: Path,
        *,
        name: str,
        format: str,  # noqa: A002 - the service's word
        target: str | None = None,
        target_kind: str | None = None,
    ) -> Dataset:
        """Upload a data set and return it; the same content again changes nothing.

        Args:
            format: npz, csv, parquet, or images for a .zip of `<class>/<image>.png`.
            target: the column to predict.
            target_kind: `classes` or `number`, where its values leave doubt.
        """
        query = {"name": name, "format": format, "target": target, "target_kind": target_kind}
        given = {key: value for key, value in query.items() if value is not None}
        return self._connection.read(Dataset, self._connection.send_file("/datasets", path, given))

    def events(self, job_id: str, *, after: str | None = None) -> Iterator[Event]:
        """Yield changes of a job as they happen, until it has finished; survives lost connections.

        Args:
            after: the id of the last event already seen, or the `change` of the job as it was read; null: from now.
        """
        return events(self._connection, job_id, after)

    def follow(self, job_id: str, *, poll_s: float = 1.0) -> Iterator[Job]:
        """Yield a job now and after each of its changes, until it has finished.

        Uses the event stream, and polls where that isn't to be had (behind some proxies).
        """
        return follow(self._connection, job_id, poll_s)

    def wait(self, job_id: str) -> Job:
        """Return a job once it has finished."""
        return deque(self.follow(job_id), maxlen=1)[0]


def _spec_json(spec: JobSpec | RangeTestSpec | Mapping[str, JsonValue]) -> JsonValue:
    return spec.model_dump(mode="json") if isinstance(spec, JobSpec | RangeTestSpec) else dict(spec)


def _process_name() -> str:
    """Return a name that no other process has, for logs to recognise this one by."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid4().hex[:8]}"
