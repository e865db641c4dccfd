"""A scripted stand-in for the service: answers in order per call, and remembers what was asked."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx

from stepsize import Client

Answers = list[httpx.Response | BaseException]


class FakeService:
    """Answers each `METHOD /path` with the responses queued for it; the last one stays."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self._answers: dict[str, Answers] = defaultdict(list)

    def on(self, call: str, *answers: httpx.Response | BaseException | dict[str, Any]) -> None:
        """Queue answers to a call such as `GET /v1/jobs`; a dict is the JSON of a 200."""
        self._answers[call] += [httpx.Response(200, json=one) if isinstance(one, dict) else one for one in answers]

    def client(self, base_url: str = "http://127.0.0.1:8000") -> Client:
        """Return a client that talks to this fake and doesn't really sleep."""
        return Client(base_url, transport=httpx.MockTransport(self._answer), sleep=self.pauses.append)

    def bodies(self) -> list[Any]:
        """Return the JSON bodies sent, in order."""
        return [json.loads(request.content) for request in self.requests if request.content]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        call = f"{request.method} {request.url.path}"
        answers = self._answers[call]
        assert answers, f"the test did not expect {call}"
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class CutStream(httpx.SyncByteStream):
    """A response body that breaks off with a network error."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __iter__(self) -> Iterator[bytes]:
        yield self._text.encode()
        raise httpx.ReadError("connection reset")


def job_json(**changes: Any) -> dict[str, Any]:
    """Return a job as the service sends it."""
    job: dict[str, Any] = {
        "id": "job_1",
        "name": "mnist",
        "state": "running",
        "reason": None,
        "desired": "run",
        "labels": {},
        "priority": 0,
        "spec": {
            "trainer": {"name": "synthetic"},
            "objectives": [{"metric": "loss", "direction": "minimize", "target": None}],
        },
        "warnings": [],
        "progress": {"counts": {"completed": 3, "running": 1}, "total": 4, "max_trials": 10, "fraction": 0.3},
        "best": {"number": 2, "params": {"learning_rate": 0.01234567, "batch_size": 64}, "values": {"loss": 0.125}},
        "created_at": "2026-11-24T00:00:00Z",
        "revision": 5,
        "change": 9,
    }
    return job | changes


def answer_json(**changes: Any) -> dict[str, Any]:
    """Return an answer as the service sends it: a valley from 0.001 to 0.1 with its bottom at 0.01."""
    rates = [10 ** (-3 + at / 4) for at in range(9)]
    values = [1.0, 0.7, 0.4, 0.2, 0.1, 0.2, 0.4, 0.7, 9.0]
    answer: dict[str, Any] = {
        "sentence": "Use a learning rate of 0.01 (95 % interval 0.008 to 0.013) at batch size 64: fairly sure.",
        "words": "fairly_sure",
        "learning_rate": {"value": 0.01, "low": 0.008, "high": 0.013, "caveat": None, "is_guess": False},
        "batch_size": 64,
        "choices": {},
        "value": {"value": 0.1, "low": 0.09, "high": 0.12, "caveat": None, "is_guess": False},
        "confirmed": {"value": None, "low": None, "high": None, "caveat": "not checked", "is_guess": False},
        "missing_trials": None,
        "caveats": [],
        "valley": [
            {"learning_rate": rate, "value": {"value": value, "low": value / 2, "high": value * 2, "caveat": None}}
            for rate, value in zip(rates, values, strict=True)
        ],
    }
    return answer | changes


def trial_json(number: int, **changes: Any) -> dict[str, Any]:
    """Return a trial as the service sends it."""
    trial: dict[str, Any] = {
        "id": f"job_1.{number}",
        "job_id": "job_1",
        "number": number,
        "state": "completed",
        "reason": None,
        "params": {"learning_rate": 0.01, "batch_size": 64},
        "values": {"loss": 0.5},
        "duration_s": 3.25,
    }
    return trial | changes


def problem(status: int, title: str, **members: Any) -> httpx.Response:
    """Return a problem document."""
    return httpx.Response(
        status,
        json={"type": "about:blank", "title": title, "status": status, "detail": "", **members},
        headers={"Content-Type": "application/problem+json"},
    )


def event_text(kind: str, event_id: int, row: dict[str, Any]) -> str:
    """Return one Server-Sent Event."""
    return f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(row, ensure_ascii=False)}\n\n"


def event_stream(*events: str) -> httpx.Response:
    """Return an event stream that ends."""
    return httpx.Response(200, text="".join(events), headers={"Content-Type": "text/event-stream"})


def report_json(**changes: Any) -> dict[str, Any]:
    """Return a job's report as the service sends it, of a job that has taught little."""
    nothing = {"value": None, "low": None, "high": None, "caveat": "too few trials", "is_guess": False}
    report: dict[str, Any] = {
        "job_id": "job_1",
        "job_name": "mnist",
        "change": 9,
        "kind": "tune",
        "trainer": "synthetic",
        "objective": {"metric": "loss", "direction": "minimize"},
        "n_trials": 4,
        "counts": {"completed": 3, "running": 1},
        "noise": nothing,
        "focus": {},
        "best_trial": {"number": 2, "value": 0.125, "params": {"learning_rate": 0.01}},
        "by_learning_rate": {"bands": [], "caveat": None},
        "by_batch_size": {"rows": [], "caveat": None},
        "scaling_law": {
            "a": nothing,
            "b": nothing,
            "rule": None,
            "n_trials": 3,
            "sentence": "Unknown.",
            "caveat": None,
        },
        "sensitivity": {
            "batch_size": None,
            "tolerance": 0.1,
            "plateau_low": None,
            "plateau_high": None,
            "width_decades": nothing,
            "plateau_centre": nothing,
            "recommended_rate": nothing,
            "best_trial_rate": 0.01,
            "sentence": "Unknown.",
            "caveat": None,
        },
        "comparisons": [],
        "importances": {"method": "ped-anova", "n_trials": 3, "items": [], "caveat": None},
        "divergence": {
            "n_diverged": 0,
            "n_out_of_memory": 0,
            "share": nothing,
            "frontier": [],
            "smallest_oom_batch_size": None,
            "sentence": "None diverged.",
            "caveat": None,
        },
        "answer": answer_json(),
        "recommendation": "Use a learning rate of 0.01",
        "confidence": "low",
        "caveats": [],
    }
    return report | changes
