"""A user's own data, trainer and program, through `stepsize up` with one broken plugin beside them."""

import csv
import os
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

from stepsize import Client
from tests.waiting import wait_for
from tests.worker_process import wait_until_gone

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own") / "up.txt"


@pytest.fixture(scope="module")
def client(log: Path) -> Iterator[Client]:
    """A service started in a directory with a broken module, an example trainer and an example program."""
    (log.parent / "broken_plugin.py").write_text("raise RuntimeError('broken on purpose')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "STEPSIZE_TRAINERS": "broken_plugin,plain_trainer",
        "STEPSIZE_COMMANDS": str(EXAMPLES / "commands.toml"),
        "PYTHONPATH": str(EXAMPLES),
    }
    command = [str(Path(sys.executable).with_name("stepsize")), "up", "--port", str(port)]
    command += ["--data-dir", str(log.parent / "data"), "--slots", "1"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=log.parent)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is None and _knows(url, "newton"), timeout_s=90.0, pause_s=0.2)
        with Client(url) as opened:
            yield opened
        descendants = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not wait_until_gone(descendants, timeout_s=2.0)
    finally:
        process.kill()
        process.wait()


def _knows(url: str, trainer: str) -> bool:
    try:
        items = httpx.get(f"{url}/v1/trainers").json()["items"]
    except httpx.TransportError:
        return False
    return any(item["name"] == trainer for item in items)


def run(client: Client, **spec: Any) -> Any:
    """Run a job to its end and return it."""
    job = client.wait(client.submit({"sampler": {"name": "random", "seed": 0}, **spec}).id)
    assert job.state == "completed", [(trial.error, trial.reason) for trial in client.trials(job.id)]
    return job


def test_a_broken_plugin_is_left_out_and_named_in_the_log(client: Client, log: Path) -> None:
    assert "broken on purpose" in log.read_text()
    assert "worker ready" in log.read_text()


def test_a_trainer_of_ones_own_is_tuned(client: Client) -> None:
    job = run(client, trainer={"name": "my_digits", "params": {"epochs": 2}}, budget={"max_trials": 2})
    assert job.best.values["val_loss"] < 2.4


def test_a_program_is_tuned_with_a_pruner(client: Client) -> None:
    job = run(client, trainer={"name": "newton"}, budget={"max_trials": 3}, pruner={"name": "median"})
    (best,) = client.best(job.id)
    assert best.values["error"] < 1.0
    assert "params.json" in best.artifacts


def test_uploaded_data_is_learned_and_the_best_configuration_refitted(client: Client, log: Path) -> None:
    path = log.parent / "points.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["x", "y", "side"])
        rows.writerows([index, -index, "left" if index < 100 else "right"] for index in range(200))
    data = client.upload(path, name="points", format="csv", target="side")
    assert (data.n, data.shape, data.n_classes) == (200, [2], 2)

    job = run(
        client,
        trainer={"name": "tabular_classifier", "params": {"dataset": "points", "epochs": 5, "learning_rate": 0.1}},
        search_space={"batch_size": {"type": "int", "low": 8, "high": 16, "powers_of_two": True}},
        budget={"max_trials": 2},
    )
    assert job.best.values["val_accuracy"] > 0.9

    answer = httpx.post(f"{client.base_url}/v1/jobs/{job.id}/refit", json={"seeds": 2})
    assert answer.status_code == 201, answer.text
    refit = client.wait(answer.json()["id"])
    assert (refit.state, refit.progress.total) == ("completed", 2)
    for trial in client.trials(refit.id):
        assert trial.values["test_accuracy"] > 0.9
        assert "model.safetensors" in trial.artifacts
