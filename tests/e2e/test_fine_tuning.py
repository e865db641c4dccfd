"""Fine-tuning through a service: a job starts from the model of an earlier one, its body frozen or slower."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load

from tests.e2e.dashboard.site import Site, running_site

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "fine-tune.yaml"
EARLY = {"name": "image_classifier", "params": {"dataset": "mnist5k", "model": "cnn", "width": 16, "epochs": 2}}
RATE = {"learning_rate": {"type": "float", "low": 0.02, "high": 0.03}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("fine-tuning")) as running:
        yield running


@pytest.fixture(scope="module")
def early(site: Site) -> str:
    """A job that has trained on larger digits."""
    job_id = site.submit(trainer=EARLY, search_space=RATE, budget={"max_trials": 1})
    assert site.finish(job_id, timeout_s=180)["state"] == "completed"
    return job_id


def fine_tuning(init_from: str) -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load(FILE.read_text())
    assert job["trainer"]["params"]["init_from"] == "JOB"
    job["trainer"]["params"] |= {"init_from": init_from, "epochs": 4}
    return job


def weights(site: Site, job_id: str, number: int) -> dict[str, Any]:
    answer = site.http.get(f"/v1/jobs/{job_id}/trials/{number}/artifacts/model.safetensors")
    assert answer.is_success, answer.text
    return dict(load(answer.content))


def test_the_manual_names_the_file() -> None:
    manual = (ROOT / "docs" / "how-to" / "fine-tune.md").read_text()
    assert "examples/fine-tune.yaml" in manual
    assert "examples/mnist-cnn.json" in manual


@pytest.mark.slow
def test_a_job_starts_from_an_earlier_ones_model(site: Site, early: str) -> None:
    trials = [
        {"learning_rate": 0.01, "batch_size": 8, "freeze": "body"},
        {"learning_rate": 0.01, "batch_size": 8, "freeze": "nothing", "body_rate_ratio": 0.01},
        {"learning_rate": 0.01, "batch_size": 8, "freeze": "nothing", "body_rate_ratio": 1.0},
    ]
    body = fine_tuning(early) | {
        "budget": {"max_trials": 3},
        "enqueue": trials,
        "confirm": False,
        "keep_artifacts": "all",
    }
    job_id = site.submit(**body)
    # Which model that was is settled at submission, whatever the earlier job does later.
    assert site.job(job_id)["spec"]["trainer"]["params"]["init_from"] == f"{early}/0"
    assert site.finish(job_id, timeout_s=180)["state"] == "completed"
    before = weights(site, early, 0)
    moved = []
    for number, given in enumerate(trials):
        trial = site.trial(job_id, number)
        assert (trial["state"], trial["params"]) == ("completed", given), trial
        log = site.http.get(f"/v1/jobs/{job_id}/trials/{number}/log").text
        assert f"[starts from {early}/0: 5 tensors; fresh: 5.weight]" in log, log
        after = weights(site, job_id, number)
        moved.append((after["0.weight"] - before["0.weight"]).norm().item())
    frozen, slow, fast = moved
    assert frozen == 0
    assert 0 < slow < fast / 10  # a hundredth of the rate; the head is the same


@pytest.mark.slow
def test_a_model_that_is_not_there_or_does_not_fit_is_said(site: Site, early: str) -> None:
    answer = site.http.post("/v1/jobs", json=fine_tuning("nowhere"))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/trainer/params/init_from"
    wider = fine_tuning(early)
    wider["trainer"]["params"]["width"] = 8
    answer = site.http.post("/v1/jobs", json=wider)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/trainer/params/width"
