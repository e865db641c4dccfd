"""Nothing only by curl: each operation of the API has a method of both clients and a command, and they send it.

A route that is added fails here until it has its row.
"""

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from stepsize import ApiError, AsyncClient, Client
from stepsize.cli import app, connection
from stepsize.client.rows import AsyncRows, Rows
from tests.unit.fake_service import job_json, problem

ROOT = Path(__file__).parents[3]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
OPERATIONS = {
    operation["operationId"]: (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
J, T = "job_1", "rt_1"

Act = Callable[[Any], Any]

TABLE: dict[str, tuple[Act, str]] = {
    "submit_v1_jobs_post": (lambda c: c.submit({"trainer": {"name": "x"}}), "submit FILE"),
    "list_jobs_v1_jobs_get": (lambda c: c.jobs(), "jobs"),
    "read_job_v1_jobs__job_id__get": (lambda c: c.job(J), "best job_1"),
    "change_job_v1_jobs__job_id__patch": (lambda c: c.change_job(J, priority=1), "change job_1 --priority 1"),
    "delete_job_v1_jobs__job_id__delete": (lambda c: c.delete_job(J), "delete job_1"),
    "pause_v1_jobs__job_id__pause_post": (lambda c: c.control(J, "pause"), "pause job_1"),
    "resume_v1_jobs__job_id__resume_post": (lambda c: c.control(J, "resume"), "resume job_1"),
    "stop_v1_jobs__job_id__stop_post": (lambda c: c.control(J, "stop"), "stop job_1"),
    "cancel_v1_jobs__job_id__cancel_post": (lambda c: c.control(J, "cancel"), "cancel job_1"),
    "retry_failed_v1_jobs__job_id__retry_failed_post": (lambda c: c.control(J, "retry-failed"), "retry job_1"),
    "list_all_trials_v1_trials_get": (lambda c: c.all_trials(), "trials"),
    "list_trials_v1_jobs__job_id__trials_get": (lambda c: c.trials(J), "trials job_1"),
    "enqueue_trial_v1_jobs__job_id__trials_post": (lambda c: c.enqueue(J, {"x": 1}), "enqueue job_1 x=1"),
    "read_trial_v1_jobs__job_id__trials__number__get": (lambda c: c.trial(J, 3), "trial job_1 3"),
    "list_reports_v1_jobs__job_id__trials__number__reports_get": (lambda c: c.reports(J, 3), "reports job_1 3"),
    "report_v1_jobs__job_id__trials__number__reports_post": (
        lambda c: c.report_trial(J, 3, lease_token=1),
        "tell job_1 3 --token 1 --step 1 loss=0.5",
    ),
    "read_log_v1_jobs__job_id__trials__number__log_get": (lambda c: c.log(J, 3), "log job_1 3"),
    "read_artifact_v1_jobs__job_id__trials__number__artifacts__name__get": (
        lambda c: c.artifact(J, 3, "model.pt"),
        "download job_1 model.pt --trial 3",
    ),
    "cancel_trial_v1_jobs__job_id__trials__number__cancel_post": (lambda c: c.cancel_trial(J, 3), "cancel job_1 3"),
    "retry_trial_v1_jobs__job_id__trials__number__retry_post": (lambda c: c.retry_trial(J, 3), "retry job_1 3"),
    "suggest_v1_jobs__job_id__suggestions_post": (lambda c: c.suggest(J, client_id="me"), "ask job_1 --client me"),
    "complete_v1_jobs__job_id__trials__number__complete_post": (
        lambda c: c.complete_trial(J, 3, lease_token=1, values={"loss": 0.5}),
        "tell job_1 3 --token 1 loss=0.5",
    ),
    "best_v1_jobs__job_id__best_get": (lambda c: c.best(J), "best job_1"),
    "best_artifact_v1_jobs__job_id__best_artifacts__name__get": (
        lambda c: c.best_artifact(J, "model.pt"),
        "download job_1 model.pt",
    ),
    "provenance_v1_jobs__job_id__provenance_get": (lambda c: c.provenance(J), "provenance job_1"),
    "curves_v1_jobs__job_id__curves_get": (lambda c: c.curves(J), "curves job_1"),
    "pareto_v1_jobs__job_id__pareto_get": (lambda c: c.pareto(J), "pareto job_1"),
    "export_v1_jobs__job_id__export_get": (lambda c: c.export(J), "export job_1"),
    "read_report_v1_jobs__job_id__report_get": (lambda c: c.report(J), "report job_1"),
    "compare_jobs_v1_reports_get": (lambda c: c.compare([J, "job_2"]), "compare job_1 job_2"),
    "read_importances_v1_jobs__job_id__importances_get": (lambda c: c.importances(J), "importances job_1"),
    "draw_job_v1_jobs__job_id__plots__kind___image_format__get": (lambda c: c.plot(J, "curves"), "plot job_1 curves"),
    "draw_range_test_v1_range_tests__job_id__plot__image_format__get": (
        lambda c: c.plot_range_test(J),
        "read-range-test job_1 -o FILE",
    ),
    "draw_schedule_v1_schedules__name__preview_plot__image_format__get": (
        lambda c: c.plot_schedule("step", params={"gamma": 0.8}),
        "schedule step gamma=0.8 -o FILE",
    ),
    "history_v1_jobs__job_id__history_get": (lambda c: c.history(J), "history job_1"),
    "submit_v1_range_tests_post": (lambda c: c.range_test({"trainer": {"name": "x"}}), "range-test FILE"),
    "read_v1_range_tests__job_id__get": (lambda c: c.read_range_test(T), "read-range-test rt_1"),
    "submit_v1_jobs__job_id__refit_post": (lambda c: c.refit(J), "refit job_1"),
    "follow_v1_jobs__job_id__events_get": (lambda c: c.events(J), "watch job_1"),
    "follow_all_v1_events_get": (lambda c: c.all_events(), "watch"),
    "list_trainers_v1_trainers_get": (lambda c: c.trainers(), "trainers"),
    "list_samplers_v1_samplers_get": (lambda c: c.samplers(), "samplers"),
    "list_pruners_v1_pruners_get": (lambda c: c.pruners(), "pruners"),
    "list_optimizers_v1_optimizers_get": (lambda c: c.optimizers(), "optimizers"),
    "list_schedules_v1_schedules_get": (lambda c: c.schedules(), "schedules"),
    "preview_schedule_v1_schedules__name__preview_get": (lambda c: c.preview_schedule("step"), "schedule step"),
    "list_datasets_v1_datasets_get": (lambda c: c.datasets(), "datasets"),
    "upload_dataset_v1_datasets_post": (lambda c: c.upload("data.csv"), "upload DATA"),
    "read_dataset_v1_datasets__name__get": (lambda c: c.dataset("digits"), "dataset digits"),
    "delete_dataset_v1_datasets__name__delete": (lambda c: c.delete_dataset("digits"), "delete-dataset digits"),
    "list_workers_v1_workers_get": (lambda c: c.workers(), "workers"),
    "metrics_metrics_get": (lambda c: c.metrics(), "metrics"),
    "healthz_healthz_get": (lambda c: c.is_alive(), "health"),
    "readyz_readyz_get": (lambda c: c.is_ready(), "health"),
}


WITHOUT_OPTION = {"page_token", "limit", "dry_run"}
"""Pages are read as they are needed; `dry_run` is a method of its own, and an option of `submit`."""
ALSO_CALLED = {"trial": ("numbers",), "job": ("job_ids",), "help": ("words",)}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("x,target\n1,0\n")
    (tmp_path / "job.yaml").write_text("trainer: {name: x}")


class Recorder:
    """A service that has one job and one range test, and refuses whatever else is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        match (request.method, request.url.path):
            case ("GET", "/v1/jobs/job_1"):
                state = "running" if self.asked.count(("GET", "/v1/jobs/job_1")) < 2 else "completed"
                return httpx.Response(200, json=job_json(state=state))
            case ("GET", "/healthz"):
                return httpx.Response(200, json={"status": "ok"})
            case ("GET", "/v1/range-tests/job_1"):
                test = {"id": J, "job_id": J, "state": "completed", "spec": {}, "results": []}
                return httpx.Response(200, json=test | {"created_at": "2026-11-24T00:00:00Z"})
            case _:
                return problem(404, "Not here")

    def sent(self, operation: str) -> bool:
        """Tell whether an operation was asked for."""
        method, path = OPERATIONS[operation]
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        return any(asked[0] == method and pattern.fullmatch(asked[1]) for asked in self.asked)


def test_the_table_has_every_operation_and_no_other() -> None:
    assert OPERATIONS.keys() - TABLE.keys() == set(), "a route without a client method and a command"
    assert TABLE.keys() - OPERATIONS.keys() == set(), "a route that is gone"


@pytest.mark.parametrize("operation", TABLE)
def test_what_may_be_asked_can_be_asked_by_client_and_command(operation: str) -> None:
    method, path = OPERATIONS[operation]
    parameters = DOCUMENT["paths"][path][method.lower()].get("parameters", [])
    asked = {each["name"] for each in parameters if each["in"] == "query"} - WITHOUT_OPTION
    act, command = TABLE[operation]
    named = Named()
    act(named)
    of_client = set(inspect.signature(getattr(Client, named.method)).parameters)
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    of_command = {param.name for param in commands.commands[command.split()[0]].params}
    assert {name for name in asked if of_client.isdisjoint(also_called(name))} == set()
    assert {name for name in asked if of_command.isdisjoint(also_called(name))} == set()


def also_called(name: str) -> set[str]:
    """Return what a query parameter may be called in Python: lists are plural, and some words are Python's own."""
    return {name, f"{name}s", f"file_{name}", *ALSO_CALLED.get(name, ())}


class Named:
    """A client that remembers which method was called."""

    method = ""

    def __getattr__(self, name: str) -> Act:
        self.method = name
        return lambda *_, **__: None


@pytest.mark.parametrize("operation", TABLE)
def test_the_client_sends_it(operation: str) -> None:
    recorder = Recorder()
    with Client(
        "http://127.0.0.1:8000", transport=httpx.MockTransport(recorder.answer), sleep=lambda _: None
    ) as client:
        try:
            answer = TABLE[operation][0](client)
            if isinstance(answer, Iterator | Rows):
                next(iter(answer))
        except ApiError as error:
            assert error.problem.title == "Not here"  # noqa: PT017 - both ends are fine
    assert recorder.sent(operation)


@pytest.mark.parametrize("operation", TABLE)
def test_the_async_client_sends_it(operation: str) -> None:
    recorder = Recorder()

    async def act() -> None:
        transport = httpx.MockTransport(recorder.answer)
        async with AsyncClient("http://127.0.0.1:8000", transport=transport) as client:
            answer: Awaitable[object] | AsyncIterator[object] | AsyncRows[Any] = TABLE[operation][0](client)
            if isinstance(answer, AsyncIterator | AsyncRows):
                await anext(aiter(answer))
            else:
                await answer

    try:
        asyncio.run(act())
    except ApiError as error:
        assert error.problem.title == "Not here"  # noqa: PT017 - both ends are fine
    assert recorder.sent(operation)


@pytest.mark.parametrize("operation", TABLE)
def test_the_command_sends_it(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()

    def client(base_url: str) -> Client:
        return Client(base_url, transport=httpx.MockTransport(recorder.answer), sleep=lambda _: None)

    monkeypatch.setattr(connection, "Client", client)
    files = {"FILE": "job.yaml" if "-o" not in TABLE[operation][1] else "figure.svg", "DATA": "data.csv"}
    result = CliRunner().invoke(app, [files.get(word, word) for word in TABLE[operation][1].split()])
    assert recorder.sent(operation), result.output
    assert result.exit_code in (0, 1), result.output
