"""Every task's job file trains, through HTTP, on a service as a user starts it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepsize_workers.trainers.registry import BUILT_IN, load_trainer
from tests.e2e.dashboard.site import Site, running_site

EXAMPLES = Path(__file__).parents[2] / "examples"
MANUAL = (EXAMPLES.parent / "docs" / "how-to" / "choose-a-task.md").read_text()
FILES = [
    "digits-cnn",
    "tumours",
    "diabetes",
    "shuttle-anomalies",
    "play-genres",
    "shakespeare",
    "cartpole",
    "digit-scenes",
    "connect-four",
    "optimizers",
]
TINY = {"epochs": 1, "train_fraction": 0.02, "scenes": 64, "games": 8}
"""Where the trainer knows them."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("tasks")) as running:
        yield running


def read(name: str) -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return job


def test_every_task_has_a_job_file_and_the_manual_names_it() -> None:
    assert {read(name)["trainer"]["name"] for name in FILES} == set(BUILT_IN) - {"synthetic"}
    for name in FILES:
        assert f"`examples/{name}.yaml`" in MANUAL


@pytest.mark.parametrize("name", FILES)
def test_a_job_file_is_accepted_as_it_is(site: Site, name: str) -> None:
    answer = site.http.post("/v1/jobs?dry_run=true", json=read(name))
    assert answer.status_code == 200, answer.text
    assert answer.json()["warnings"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_job_file_trains(site: Site, name: str) -> None:
    job = read(name)
    known = load_trainer(job["trainer"]["name"]).Params.model_fields
    job["trainer"]["params"] |= {param: value for param, value in TINY.items() if param in known}
    # A rate that harms none of them: this is about the file, not about the search.
    rate = {"type": "float", "low": 1e-3, "high": 2e-3}
    job |= {"search_space": {"learning_rate": rate}, "budget": {"max_trials": 1}, "keep_artifacts": "all"}
    job_id = site.submit(**job)
    done = site.finish(job_id, timeout_s=180)
    trial = site.trial(job_id, 0)
    assert (done["state"], trial["state"]) == ("completed", "completed"), trial
    assert any(file.endswith(".figure.svg") for file in trial["artifacts"])
