"""The tools as the official client of the protocol sees them, against a scripted service."""

import asyncio
import re
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
    assert "start one with `stepsize up`" in call(fake, "status", job_id="job_3")[1]


JOB = "job is missing: A job, at least"


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("status", {}, ["job_id is missing: A job's id"]),
        ("status", {"jobid": "job_1"}, ["there is no argument 'jobid'; did you mean 'job_id'?"]),
        ("status", {"job_id": 5}, ["job_id: a text is expected here, not 5"]),
        ("wait", {"job_id": "job_1", "timeout_s": 1000}, ["timeout_s: must be at most 300.0, not 1000"]),
        ("wait", {"job_id": "job_1", "timeout_s": "soon"}, ["timeout_s: a number is expected here, not 'soon'"]),
        (
            "trials",
            {"job_id": "j", "filter": "x", "limit": 50},
            ["no argument 'filter'; known: condition,", "limit: must"],
        ),
        ("compare", {"job_ids": ["job_1"]}, ["job_ids: needs at least 2 entries, not ['job_1']"]),
        ("compare", {"job_ids": "job_1"}, ["job_ids: a list is expected here, not 'job_1'"]),
        ("submit", {"trainer": {"name": "x"}}, ["there is no argument 'trainer'; known: job", JOB]),
        ("submit", {"job": "trainer: x"}, ["job: an object is expected here, not 'trainer: x'"]),
        (
            "propose",
            {"job_id": "j", "params": {"x": [1]}},
            ["params.x: a number, a text, or true or false is expected"],
        ),
        ("control", {"job_id": "j", "action": "halt"}, ["there is no 'halt'; known: cancel, pause, resume"]),
        ("control", {"job_id": "j"}, ["action is missing: pause or resume"]),
        ("catalogue", {"kind": "trainer"}, ["kind: there is no 'trainer'; did you mean 'trainers'?"]),
        ("range_test", {}, ["give test to start a range test, or test_id to look at one"]),
        ("sumbit", {}, ["there is no tool 'sumbit'; did you mean 'submit'?"]),
    ],
)
def test_wrong_arguments_are_named_with_their_mend(tool: str, arguments: dict[str, Any], words: list[str]) -> None:
    fake = FakeService()
    is_error, said = call(fake, tool, **arguments)
    assert is_error
    assert [one for one in words if one not in said] == []
    assert not re.search("pydantic|Input should|validation error|type=", said)
    assert fake.requests == [], "what is wrong is not sent"


def _trainer(name: str, **changes: Any) -> dict[str, Any]:
    card: dict[str, Any] = {
        "name": name,
        "version": "1",
        "help": "Learns something. " * 5,
        "workers": ["w"],
        "metrics": [],
    }
    schema: Any = {"properties": {"epochs": {"type": "integer", "title": "Epochs"}}}
    card |= {"params_schema": schema, "step_unit": "epoch"}
    return card | {"default_search_space": {}, "default_objectives": [], "capabilities": {}} | changes


def test_a_catalogue_that_is_too_long_names_the_rest_and_how_to_get_it() -> None:
    fake = FakeService()
    fake.on("GET /v1/trainers", {"items": [_trainer(f"trainer_{n}") for n in range(40)]})
    _, said = call(fake, "catalogue")
    assert len(said) <= MOST_CHARACTERS
    assert [n for n in range(40) if f"trainer_{n}" not in said] == []
    assert said.splitlines()[-2].startswith("also: trainer_")
    assert said.endswith("next: catalogue with kind trainers and name, for all about one")


def test_all_about_one_entry_has_its_parameters_and_a_name_that_is_none_the_nearest() -> None:
    fake = FakeService()
    fake.on("GET /v1/trainers", {"items": [_trainer("mine"), _trainer("other", workers=[])]})
    tpe = {"name": "tpe", "help": "Bayesian.", "params_schema": {"properties": {"name": {}, "seed": {"title": "Seed"}}}}
    fake.on("GET /v1/samplers", {"items": [tpe]})
    assert 'parameters: {"epochs": {"type": "integer"}}' in call(fake, "catalogue", name="mine")[1]
    assert "(no worker offers it now)" in call(fake, "catalogue", name="other")[1]
    assert call(fake, "catalogue", kind="samplers", name="tpe") == (False, 'tpe: Bayesian.\nparameters: {"seed": {}}')
    is_error, said = call(fake, "catalogue", name="mime")
    assert is_error
    assert "trainers: there is no 'mime'; did you mean 'mine'?" in said


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
