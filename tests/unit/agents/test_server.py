"""The tools as the official client of the protocol sees them, against a scripted service."""

import asyncio
from typing import Any

import httpx
import pytest

from stepsize.agents.words import MOST_CHARACTERS
from tests.unit.fake_service import FakeService, answer_json, job_json, problem, report_json, trial_json

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from mcp import Client as Agent
from mcp.server.transport_security import TransportSecurityMiddleware
from starlette.requests import Request

from stepsize.agents.server import make_server, security

WRITING = {"submit", "propose", "control", "range_test"}


def call(fake: FakeService, tool: str, *, read_only: bool = False, **arguments: Any) -> tuple[bool, str]:
    """Call a tool; return whether it is an error, and its text."""

    async def ask() -> tuple[bool, str]:
        async with Agent(make_server(fake.client(), read_only=read_only)) as agent:
            found = await agent.call_tool(tool, arguments)
            return bool(found.is_error), "\n".join(str(getattr(part, "text", "")) for part in found.content)

    return asyncio.run(ask())


def names(*, read_only: bool) -> set[str]:
    async def ask() -> set[str]:
        async with Agent(make_server(FakeService().client(), read_only=read_only)) as agent:
            return {tool.name for tool in (await agent.list_tools()).tools}

    return asyncio.run(ask())


def test_there_are_at_most_twelve_tools_and_read_only_has_none_that_changes_something() -> None:
    everything = names(read_only=False)
    assert len(everything) <= 12
    assert names(read_only=True) == everything - WRITING


def test_read_only_refuses_to_submit() -> None:
    fake = FakeService()
    is_error, said = call(fake, "submit", read_only=True, job={"trainer": {"name": "synthetic"}})
    assert is_error
    assert "submit" in said
    assert fake.requests == []


def test_an_answer_leads_with_the_rate_and_its_interval() -> None:
    fake = FakeService()
    fake.on("GET /v1/jobs/job_1", job_json(state="completed", answer=answer_json()))
    is_error, said = call(fake, "answer", job_id="job_1")
    assert not is_error
    assert said.startswith("Use a learning rate of 0.01 (95 % interval 0.008 to 0.013)")
    assert "loss promised there, not checked: 0.1 (0.09 to 0.12)" in said


def test_too_few_trials_are_said() -> None:
    nothing = {"value": None, "low": None, "high": None, "caveat": "too few trials", "is_guess": False}
    fake = FakeService()
    few = answer_json(sentence="Not enough trials.", words="none", learning_rate=nothing, missing_trials=24)
    fake.on("GET /v1/jobs/job_1", job_json(state="completed", answer=few))
    _, said = call(fake, "answer", job_id="job_1")
    assert "not enough trials: about 24 more may do" in said
    assert "learning_rate: unknown (too few trials)" in said


def test_a_report_fits_about_500_tokens() -> None:
    rows = [
        {
            "batch_size": size,
            "n_trials": 9,
            "n_completed": 9,
            **{name: {"value": 0.1, "low": 0.05, "high": 0.2} for name in ("learning_rate", "value")},
            **{name: {"value": 1.0} for name in ("train_time_s", "diverged_share")},
        }
        for size in range(1, 40)
    ]
    fake = FakeService()
    fake.on("GET /v1/jobs/job_1/report", report_json(by_batch_size={"rows": rows}, caveats=["a long caveat " * 40] * 9))
    _, said = call(fake, "report", job_id="job_1")
    assert said.startswith("Use a learning rate of 0.01")
    assert "batch size 1: learning_rate 0.1 (0.05 to 0.2), loss 0.1 (0.05 to 0.2)" in said
    assert len(said) <= MOST_CHARACTERS
    assert said.endswith("… more: stepsize report job_1")


def test_a_job_is_validated_with_its_cost() -> None:
    fake = FakeService()
    spec = {"trainer": {"name": "synthetic"}, "budget": {"max_trials": 40, "timeout_s": None}}
    fake.on("POST /v1/jobs", {"spec": spec, "cells": None, "confirm_trials": 6, "warnings": ["few trials"]})
    worker = {"id": "w", "host": "h", "pid": 1, "version": "1", "trainers": [], "running": [], "alive": True}
    worker |= {"started_at": "2026-11-24T00:00:00Z", "last_seen": "2026-11-24T00:00:00Z"}
    worker["slots"] = [{"index": at, "device": "cpu", "gpus": 0, "cpus": 1} for at in range(2)]
    fake.on("GET /v1/workers", {"items": [worker]})
    fake.on("GET /v1/jobs", {"items": [job_json()], "next_page_token": None})
    fake.on("GET /v1/jobs/job_1/trials", {"items": [trial_json(n) for n in range(3)], "next_page_token": None})
    _, said = call(fake, "validate", job={"trainer": {"name": "synthetic"}})
    assert "cost: about 65 s (65 s if all are slow) for 40 trials, 2 at once, from 3 earlier trials" in said
    assert "warning: few trials" in said
    assert 'budget: {"max_trials": 40}' in said
    assert fake.requests[0].url.params["dry_run"] == "true"


def test_errors_carry_the_mend() -> None:
    fake = FakeService()
    wrong = [{"pointer": "/sampler/name", "message": "'bayes' is none; tpe or gp?"}]
    fake.on("POST /v1/jobs", problem(422, "Wrong request", errors=wrong))
    fake.on("GET /v1/jobs/job_2", problem(404, "No such job"))
    fake.on("GET /v1/jobs/job_3", httpx.ConnectError("refused"))
    refused = call(fake, "submit", job={"trainer": {"name": "x"}, "sampler": {"name": "bayes"}})
    assert refused[0]
    assert "/sampler/name: 'bayes' is none; tpe or gp?\nmend these fields and call again" in refused[1]
    assert "look the id up in what submit returned" in call(fake, "status", job_id="job_2")[1]
    assert "start a service with `stepsize up`" in call(fake, "status", job_id="job_3")[1]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8001"}, None),
        ({"host": "localhost:8001", "origin": "http://localhost:3000"}, None),
        ({"host": "tools.example:8001"}, None),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1:8001", "origin": "http://evil.example"}, 403),
    ],
)
def test_over_http_no_page_from_elsewhere_is_answered(headers: dict[str, str], status: int | None) -> None:
    checks = TransportSecurityMiddleware(security("127.0.0.1", ["tools.example"]))
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": "GET", "path": "/mcp", "headers": raw})
    refused = asyncio.run(checks.validate_request(request))
    assert (refused.status_code if refused else None) == status
