"""What a stranger does first: `stepsize up` in a fresh directory, a job by curl, the best trial read back."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.waiting import wait_for
from tests.worker_process import wait_until_gone

JOB = {
    "trainer": {"name": "image_classifier", "params": {"dataset": "mnist5k", "model": "cnn", "epochs": 3}},
    "search_space": {
        "learning_rate": {"type": "float", "low": 1e-3, "high": 0.3, "log": True},
        "batch_size": {"type": "int", "low": 32, "high": 64, "powers_of_two": True},
    },
    "sampler": {"name": "random", "seed": 0},
    "budget": {"max_trials": 6},
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The base URL of a `stepsize up` in a fresh directory; afterwards it is stopped and must leave nothing behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("stepsize")), "up", "--port", str(port), "--data-dir", str(tmp_path)]
    with (tmp_path / "up.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is None and _is_ready(url), timeout_s=60.0)
        yield url
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert len(descendants) >= 2, "a worker and its slots"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not wait_until_gone(descendants, timeout_s=2.0)
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def curl(*arguments: str) -> Any:
    """Run curl and return the JSON it printed."""
    answer = subprocess.run(["curl", "-sS", *arguments], check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def test_a_job_posted_by_curl_finds_a_good_learning_rate(service: str) -> None:
    job = curl(f"{service}/v1/jobs", "-H", "content-type: application/json", "-d", json.dumps(JOB))
    assert job["state"] == "queued"

    finished = wait_for(lambda: _finished(service, job["id"]), timeout_s=150.0, pause_s=0.5)

    assert finished["state"] == "completed"
    assert finished["reason"] == "max_trials"
    best = curl(f"{service}/v1/jobs/{job['id']}/best")
    assert "val_accuracy" in json.dumps(best)
    (trial,) = curl(f"{service}/v1/jobs/{job['id']}/trials?sort=-values.val_accuracy&limit=1")["items"]
    assert trial["values"]["val_accuracy"] > 0.9
    assert 1e-3 <= trial["params"]["learning_rate"] <= 0.3
    artifact = httpx.get(f"{service}/v1/jobs/{job['id']}/best/artifacts/model.safetensors")
    assert artifact.is_success
    assert len(artifact.content) > 10_000


def _finished(service: str, job_id: str) -> Any:
    job = curl(f"{service}/v1/jobs/{job_id}")
    return job if job["finished_at"] else None
