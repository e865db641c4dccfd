"""Trials that train here, without a thread: asked for, reported on and told as the other client does it."""

import asyncio
import json
from typing import Any

import httpx

from stepsize import AsyncClient, Client
from tests.unit.fake_service import problem, trial_json


class Giver:
    """A service that gives out two trials, prunes the second, and says that a third is another client's by now."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self._n_given = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path.removeprefix("/v1/jobs/job_1"), json.loads(request.content)
        if path == "/suggestions":
            self._n_given += 1
            lease = {"token": 1, "expires_at": "2026-11-24T00:00:00Z"}
            given = [{**trial_json(self._n_given, state="running"), "lease": lease}] if self._n_given <= 3 else []
            why = None if given else "finished"
            return httpx.Response(200, json={"trials": given, "why_empty": why, "job_state": "running"})
        self.told.append((path, body))
        if path.startswith("/trials/3/"):
            return problem(409, "Lease lost", type="urn:stepsize:lease-lost")
        if path.endswith("/reports"):
            stops = path.startswith("/trials/2/")
            return httpx.Response(200, json={"should_stop": stops, "reason": "pruner" if stops else None})
        return httpx.Response(200, json=trial_json(1, state="completed"))


def test_it_says_what_the_other_client_says() -> None:
    now, later = Giver(), Giver()
    endings: list[tuple[int, str | None, bool | None]] = []
    with Client("http://127.0.0.1:8000", transport=httpx.MockTransport(now.answer)) as client:
        for trial in client.suggestions("job_1", client_id="me"):
            counts = None if trial.report(1, {"loss": 0.5}) else trial.complete({"loss": 0.5})
            endings.append((trial.number, trial.stop_reason, counts))

    async def train() -> list[tuple[int, str | None, bool | None]]:
        ended: list[tuple[int, str | None, bool | None]] = []
        transport = httpx.MockTransport(later.answer)
        async with AsyncClient("http://127.0.0.1:8000", transport=transport) as client:
            async for trial in client.suggestions("job_1", client_id="me"):
                counts = None if await trial.report(1, {"loss": 0.5}) else await trial.complete({"loss": 0.5})
                ended.append((trial.number, trial.stop_reason, counts))
        return ended

    assert asyncio.run(train()) == endings
    assert endings == [(1, None, True), (2, "pruner", None), (3, "lease-lost", None)]
    assert later.told == now.told
