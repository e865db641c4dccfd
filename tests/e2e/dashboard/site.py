"""A real service for a browser to look at: API, worker, slot processes, SQLite."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import wait_for

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
}
SLOW = {"name": "synthetic", "params": {"n_reports": 4, "step_s": 0.15}}
QUICK = {"name": "synthetic", "params": {"n_reports": 3}}


@dataclass(frozen=True)
class Site:
    """A running service, spoken to directly to set the scene and to check what the page did."""

    url: str
    folder: Path
    http: httpx.Client

    def submit(self, **fields: Any) -> str:
        """Submit a job, by default a quick one over learning rate and batch size; return its id."""
        body = {"trainer": QUICK, "search_space": SPACE, "sampler": {"name": "random", "seed": 1}, **fields}
        answer = self.http.post("/v1/jobs", json=body)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").json()
        return answer

    def trial(self, job_id: str, number: int) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}/trials/{number}").json()
        return answer

    def finish(self, job_id: str, *, timeout_s: float = 60) -> dict[str, Any]:
        """Wait until a job has finished and return it."""
        wait_for(lambda: self.job(job_id)["finished_at"] is not None, timeout_s=timeout_s, pause_s=0.1)
        return self.job(job_id)

    def train(self, job_id: str, values: dict[str, float]) -> None:
        """Take a trial of an external job and complete it."""
        asked = {"client_id": "hand", "wait_s": 10}
        (trial,) = self.http.post(f"/v1/jobs/{job_id}/suggestions", json=asked).json()["trials"]
        told = {"lease_token": trial["lease"]["token"], "values": values}
        answer = self.http.post(f"/v1/jobs/{job_id}/trials/{trial['number']}/complete", json=told)
        assert answer.is_success, answer.text

    def cancel(self, job_id: str) -> None:
        """Free the slots for the next test."""
        self.http.post(f"/v1/jobs/{job_id}/cancel")
        wait_for(lambda: self.job(job_id)["finished_at"] is not None)


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Run `stepsize up` with two slots in a directory of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STEPSIZE_")}
    command = [sys.executable, "-m", "stepsize.cli", "up", "--port", "0", "--data-dir", str(folder), "--slots", "2"]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=clean)
    try:
        url = wait_for(lambda: _url_in(folder / "up.log", process), timeout_s=60)
        # A kept connection may be closed by the server just as it is used again, seconds later.
        with httpx.Client(base_url=url, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as http:
            yield Site(url, folder, http)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def _url_in(log: Path, process: "subprocess.Popen[bytes]") -> str:
    assert process.poll() is None, log.read_text()
    found = re.search(r"Stepsize answers at (http://\S+)", log.read_text())
    return found[1] if found else ""
