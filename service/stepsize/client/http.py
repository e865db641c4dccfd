"""The client itself: calls, pages, retries and the event stream.

Every call may be repeated safely: POSTs carry an `Idempotency-Key`, so a lost answer never means a second job (but for
ask and tell, which say the same when said twice).
Connection errors, 429 and 503 are therefore retried, with growing pauses.
"""

import ipaddress
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import uniform
from typing import Literal, Self, TypeVar
from uuid import uuid4

import httpx
from pydantic import JsonValue, ValidationError

from stepsize.client.answers import Answer, Dataset, Job, Page, Problem, Report, Trial
from stepsize.client.errors import ApiError, ServerUnreachableError
from stepsize.client.events import Event, parse_events
from stepsize.client.external import ExternalTrial, suggestions
from stepsize.client.range_tests import RangeTest
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec

DEFAULT_SERVER = "http://127.0.0.1:8000"

Control = Literal["pause", "resume", "stop", "cancel"]
_Query = Mapping[str, str | int | Sequence[str] | None]

_RETRIED_STATUSES = frozenset({429, 503})
_RETRY_PAUSES_S = (0.1, 0.2, 0.4)
_RECONNECT_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, *[3.0] * 8)
"""A watched job outlives a restart of the API, which takes seconds: about half a minute in all."""
_LONGEST_PAUSE_S = 30.0
_LARGEST_PAGE = 500
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_UPLOAD_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_STREAM_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""The service sends a comment every 15 s on an idle stream, so a silent minute means a dead connection."""


_A = TypeVar("_A", bound=Answer)


class Client:
    """The service at one address.

    Args:
        base_url: where the service is, without `/v1`.
        transport: replaces the network in tests.
        sleep: replaces the pauses between retries in tests.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_SERVER,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=f"{self.base_url}/v1",
            transport=transport,
            timeout=_TIMEOUT,
            # A proxy meant for the internet can't reach this machine's loopback.
            trust_env=not _is_loopback(httpx.URL(self.base_url).host),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def submit(self, spec: JobSpec | Mapping[str, JsonValue], *, idempotency_key: str | None = None) -> Job:
        """Submit a job and return it.

        Args:
            spec: what to tune; a mapping is sent as it is, so that the service names what is wrong with it.
            idempotency_key: submitting again with the same key returns the first job; null: a fresh one.
        """
        return self._post(Job, "/jobs", _spec_json(spec), idempotency_key)

    def dry_run(self, spec: JobSpec | Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return what the service would make of a spec (defaults filled in, warnings); nothing is stored."""
        response = self._request("POST", "/jobs", query={"dry_run": "true"}, body=_spec_json(spec))
        return self._read(Answer, response).model_dump(mode="json")

    def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return self._get(Job, f"/jobs/{job_id}")

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
        return self._pages(Job, "/jobs", query, limit)

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
        query: _Query = {"state": state, "filter": filters, "sort": sort}
        return self._pages(Trial, f"/jobs/{job_id}/trials", query, limit)

    def trial(self, job_id: str, number: int) -> Trial:
        """Return one trial."""
        return self._get(Trial, f"/jobs/{job_id}/trials/{number}")

    def reports(self, job_id: str, number: int) -> Iterator[Report]:
        """Yield a trial's reports in order of step."""
        return self._pages(Report, f"/jobs/{job_id}/trials/{number}/reports", {}, None)

    def log(self, job_id: str, number: int) -> str:
        """Return what a trial printed, its traceback included."""
        return self._request("GET", f"/jobs/{job_id}/trials/{number}/log").text

    def best(self, job_id: str, *, n: int = 1) -> list[Trial]:
        """Return up to `n` best trials, best first."""
        page = self._get(Page, f"/jobs/{job_id}/best", {"n": n})
        return [Trial.model_validate(item) for item in page.items]

    def report(self, job_id: str) -> Answer:
        """Return a job's learning-rate report, as the service's `/openapi.json` describes it."""
        return self._get(Answer, f"/jobs/{job_id}/report")

    def report_text(self, job_id: str) -> str:
        """Return a job's learning-rate report as Markdown."""
        return self._request("GET", f"/jobs/{job_id}/report", headers={"Accept": "text/markdown"}).text

    def export(
        self,
        job_id: str,
        *,
        file_format: Literal["csv", "jsonl", "parquet", "optuna"] = "csv",
        rows: Literal["trials", "reports"] = "trials",
    ) -> Iterator[bytes]:
        """Yield a file with everything a job has recorded, piece by piece."""
        query = {"format": file_format, "rows": rows}
        try:
            with self._http.stream("GET", f"/jobs/{job_id}/export", params=query, timeout=_STREAM_TIMEOUT) as response:
                if response.is_error:
                    response.read()
                    _refuse_errors(response)
                yield from response.iter_bytes()
        except httpx.TransportError as error:
            raise ServerUnreachableError(self.base_url, str(error) or type(error).__name__) from error

    def control(self, job_id: str, action: Control) -> Job:
        """Pause, resume, stop or cancel a job and return it; a worker carries it out a moment later."""
        return self._post(Job, f"/jobs/{job_id}/{action}")

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
            answer: JsonValue = self._request("POST", f"/jobs/{job_id}{path}", body=dict(body), needs_key=False).json()
            return answer

        return suggestions(tell, client_id=client_id or _process_name(), lease_s=lease_s, wait_s=wait_s)

    def range_test(
        self, spec: RangeTestSpec | Mapping[str, JsonValue], *, idempotency_key: str | None = None
    ) -> RangeTest:
        """Submit a learning-rate range test and return it; `wait(test.job_id)` waits for its sweeps.

        Args:
            spec, idempotency_key: as for `submit`.
        """
        return self._post(RangeTest, "/range-tests", _spec_json(spec), idempotency_key)

    def read_range_test(self, test_id: str) -> RangeTest:
        """Return a range test as it is now; its results are complete once it has finished."""
        return self._get(RangeTest, f"/range-tests/{test_id}")

    def datasets(self) -> list[Dataset]:
        """Return all data sets: built-in ones, then the users' own."""
        page = self._get(Page, "/datasets")
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
        headers = {"Content-Type": "application/octet-stream"}
        with path.open("rb") as file:  # streamed, so it can't be sent a second time
            try:
                response = self._http.post(
                    "/datasets", params=given, content=file, headers=headers, timeout=_UPLOAD_TIMEOUT
                )
            except httpx.TransportError as error:
                raise ServerUnreachableError(self.base_url, str(error) or type(error).__name__) from error
        _refuse_errors(response)
        return self._read(Dataset, response)

    def events(self, job_id: str, *, after: str | None = None) -> Iterator[Event]:
        """Yield changes of a job as they happen, until it has finished; survives lost connections.

        Args:
            after: the id of the last event already seen, or the `change` of the job as it was read; null: from now.
        """
        pauses = iter(_RECONNECT_PAUSES_S)
        while True:
            try:
                for event in self._stream(job_id, after):
                    pauses = iter(_RECONNECT_PAUSES_S)
                    after = event.id or after
                    yield event
                if self._has_seen_all(job_id, after):
                    return
                self._pause_or_give_up(pauses, ConnectionError("the event stream keeps ending early"))
            except (httpx.TransportError, ApiError) as error:
                if isinstance(error, ApiError) and error.problem.status not in _RETRIED_STATUSES:
                    raise
                self._pause_or_give_up(pauses, error)

    def follow(self, job_id: str, *, poll_s: float = 1.0) -> Iterator[Job]:
        """Yield a job now and after each of its changes, until it has finished.

        Uses the event stream, and polls where that isn't to be had (behind some proxies).
        """
        job = self.job(job_id)
        yield job
        if job.is_finished:
            return
        try:
            for event in self.events(job_id, after=str(job.change)):
                if event.job is not None:
                    job = event.job
                    yield job
        except ApiError:
            pass  # polling tells whether it was the stream or the job
        yield from self._poll(job, poll_s)

    def wait(self, job_id: str) -> Job:
        """Return a job once it has finished."""
        return deque(self.follow(job_id), maxlen=1)[0]

    def _stream(self, job_id: str, after: str | None) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        with self._http.stream("GET", f"/jobs/{job_id}/events", headers=headers, timeout=_STREAM_TIMEOUT) as response:
            if response.is_error:
                response.read()
                _refuse_errors(response)
            yield from parse_events(response.iter_text())

    def _has_seen_all(self, job_id: str, after: str | None) -> bool:
        """Tell a finished job's end of stream from one cut short by a restart or a proxy."""
        job = self.job(job_id)
        return job.is_finished and int(after or 0) >= job.change

    def _poll(self, job: Job, poll_s: float) -> Iterator[Job]:
        etag = ""
        while not job.is_finished:
            self._sleep(poll_s)
            response = self._request("GET", f"/jobs/{job.id}", headers={"If-None-Match": etag} if etag else {})
            if response.status_code == httpx.codes.NOT_MODIFIED:
                continue
            etag = response.headers.get("ETag", "")
            job = self._read(Job, response)
            yield job

    def _get(self, model: type[_A], path: str, query: _Query | None = None) -> _A:
        return self._read(model, self._request("GET", path, query=query))

    def _post(self, model: type[_A], path: str, body: JsonValue = None, key: str | None = None) -> _A:
        return self._read(model, self._request("POST", path, body=body, key=key))

    def _pages(self, model: type[_A], path: str, query: _Query, limit: int | None) -> Iterator[_A]:
        page_token: str | None = None
        left = limit
        while left is None or left > 0:
            size = _LARGEST_PAGE if left is None else min(left, _LARGEST_PAGE)
            page = self._get(Page, path, {**query, "limit": size, "page_token": page_token})
            yield from (model.model_validate(item) for item in page.items)
            page_token = page.next_page_token
            left = None if left is None else left - len(page.items)
            if page_token is None:
                return

    def _read(self, model: type[_A], response: httpx.Response) -> _A:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise ServerUnreachableError(self.base_url, "what answers there doesn't speak its language") from error

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: _Query | None = None,
        body: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        needs_key: bool = True,
    ) -> httpx.Response:
        keyed = {"Idempotency-Key": key or str(uuid4())} if method == "POST" and needs_key else {}
        request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (query or {}).items() if value is not None},
            json=body,
            headers={**(headers or {}), **keyed},
        )
        return self._send(request)

    def _send(self, request: httpx.Request) -> httpx.Response:
        pauses = iter(_RETRY_PAUSES_S)
        while True:
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                self._pause_or_give_up(pauses, error)
                continue
            pause = next(pauses, None) if response.status_code in _RETRIED_STATUSES else None
            if pause is None:
                _refuse_errors(response)
                return response
            self._sleep(_asked_pause(response) or _jittered(pause))

    def _pause_or_give_up(self, pauses: Iterator[float], error: Exception) -> None:
        pause = next(pauses, None)
        if pause is None:
            raise ServerUnreachableError(self.base_url, str(error) or type(error).__name__) from error
        self._sleep(_jittered(pause))


def _spec_json(spec: JobSpec | RangeTestSpec | Mapping[str, JsonValue]) -> JsonValue:
    return spec.model_dump(mode="json") if isinstance(spec, JobSpec | RangeTestSpec) else dict(spec)


def _refuse_errors(response: httpx.Response) -> None:
    if response.is_error:
        raise ApiError(_problem(response))


def _problem(response: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:  # a proxy's own page, or another program's at this address
        server = f"{response.url.scheme}://{response.url.netloc.decode('ascii')}"
        detail = f"what answers at {server} is no Stepsize service, or stands between it and you"
        return Problem(title=response.reason_phrase or "Error", status=response.status_code, detail=detail)


def _asked_pause(response: httpx.Response) -> float:
    """Return the seconds in `Retry-After`, or 0 (also for its date form, which the service doesn't use)."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE_S) if asked.isdecimal() else 0.0


def _jittered(pause: float) -> float:
    """Return a pause of 50 to 100 %, so that many clients don't come back at the same moment."""
    return pause * uniform(0.5, 1.0)


def _process_name() -> str:
    """Return a name that no other process has, for logs to recognise this one by."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid4().hex[:8]}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
