"""An agent's way from "tune this" to an answer: the official client of the protocol, `stepsize mcp`, a real service."""

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepsize import Client
from tests.e2e.test_command_line import PATIENCE_S, STEPSIZE, Service, environment
from tests.waiting import wait_for

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from mcp import Client as Agent
from mcp.client.stdio import StdioServerParameters, stdio_client

pytestmark = pytest.mark.slow

BEST_RATE = 0.03
JOB = {
    "trainer": {"name": "synthetic", "params": {"lr_opt": BEST_RATE, "batch_size": 32, "noise": 0.02, "n_reports": 2}},
    "search_space": {"learning_rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True}},
    "sampler": {"name": "tpe", "seed": 1},
    "budget": {"max_trials": 40},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("up"))
    yield running
    running.close()


class Calls:
    """What an agent calls, counted."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self.n = 0

    async def __call__(self, tool: str, **arguments: Any) -> str:
        self.n += 1
        found = await self._agent.call_tool(tool, arguments)
        text = "\n".join(str(getattr(part, "text", "")) for part in found.content)
        assert not found.is_error, text
        return text


async def tune(url: str, log: Path) -> tuple[int, str]:
    """Go from the wish to the answer; return the number of calls and the answer."""
    command, *arguments = [*STEPSIZE, "mcp", "--server", url]
    parameters = StdioServerParameters(command=command, args=arguments, env=environment())
    with log.open("w") as errors:
        async with Agent(stdio_client(parameters, errlog=errors)) as agent:
            call = Calls(agent)
            assert "synthetic: " in await call("catalogue")
            assert (await call("validate", job=JOB)).startswith("valid\ncost: unknown")
            job_id = (await call("submit", job=JOB)).splitlines()[0]
            stood = ""
            while "next: answer" not in stood:
                stood = await call("wait", job_id=job_id, timeout_s=60.0)
            return call.n + 1, await call("answer", job_id=job_id)


def test_from_tune_this_to_a_true_answer_in_six_calls(service: Service, tmp_path: Path) -> None:
    n_calls, answer = asyncio.run(tune(service.url, tmp_path / "log"))
    assert n_calls <= 6
    found = re.search(r"^learning_rate: (\S+) \((\S+) to ([^),]+)", answer, re.MULTILINE)
    assert found, answer
    value, low, high = map(float, found.groups())
    assert low <= BEST_RATE <= high
    assert (
        BEST_RATE / 2 < value < BEST_RATE * 2
    )  # a third of a decade: the valley is 0.09 deep there, four times the noise
    with Client(service.url) as client:
        assert [job.state for job in client.jobs()] == ["completed"]


def test_over_http_agents_are_served_and_pages_from_elsewhere_are_not(service: Service, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/mcp"
    command = [*STEPSIZE, "mcp", "--http", "--read-only", "--port", str(port), "--server", service.url]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log, env=environment()) as process:
        try:
            wait_for(lambda: _answers(url), timeout_s=PATIENCE_S)

            async def ask() -> str:
                async with Agent(url) as agent:
                    return await Calls(agent)("catalogue", kind="samplers")

            assert "tpe" in asyncio.run(ask())
            assert httpx.post(url, headers={"Host": "evil.example"}, json={}).status_code == 421
            assert httpx.post(url, headers={"Origin": "http://evil.example"}, json={}).status_code == 403
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.TransportError:
        return False
    return True
