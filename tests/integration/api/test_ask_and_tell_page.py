"""What docs/how-to/ask-and-tell.md shows is run as it stands."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from pydantic import JsonValue

from stepsize import Client
from stepsize.store.database import Database
from tests.searching import searching

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "ask-and-tell.md").read_text()

JOB: dict[str, JsonValue] = {
    "engine": "external",
    "search_space": {"learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}},
    "objectives": [{"metric": "val_loss", "direction": "minimize"}],
    "sampler": {"name": "random", "seed": 0},
    "pruner": {"name": "threshold", "upper": 0.5},
    "budget": {"max_trials": 4},
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_python_loop_runs_the_job_to_its_end(server: str, database: Database, tmp_path: Path) -> None:
    (code,) = blocks("python")
    assert code.count("\n") - code.count("import") <= 12, "a loop of ten lines"
    with searching(database, tmp_path), Client(server) as client:
        job_id = client.submit(JOB).id
        names = {"JOB": job_id, "train_one_epoch": lambda params, epoch: params["learning_rate"]}
        exec(code.replace("http://127.0.0.1:8000", server), names)
        job = client.wait(job_id)
        trials = list(client.trials(job_id))
    assert (job.state, job.reason) == ("completed", "max_trials")
    for trial in trials:
        above = float(trial.params["learning_rate"]) > 0.5
        assert trial.state == ("pruned" if above else "completed")


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")
def test_the_shell_commands_take_one_trial_to_its_end(server: str, database: Database, tmp_path: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(blocks("sh")).replace("http://127.0.0.1:8000", server)
    with searching(database, tmp_path):
        said = subprocess.run(["bash", "-c", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == ["false", "completed"]


def test_every_call_shown_is_in_the_openapi_document(server: str) -> None:
    paths = httpx.get(f"{server}/openapi.json", timeout=60, trust_env=False).json()["paths"]
    for called in ("/suggestions", "/trials/{number}/reports", "/trials/{number}/complete"):
        assert paths[f"/v1/jobs/{{job_id}}{called}"]["post"]["requestBody"]
