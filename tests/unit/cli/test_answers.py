"""Commands lead with the answer; the best trial stands second."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from stepsize.cli import app, connection
from stepsize.cli.answers import answer_lines
from stepsize.client import Job
from tests.unit.fake_service import FakeService, answer_json, job_json, trial_json

SENTENCE = answer_json()["sentence"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    service = FakeService()
    monkeypatch.setattr(connection, "Client", service.client)
    return service


def lines_of(**changes: Any) -> list[str]:
    return answer_lines(Job.model_validate(job_json(answer=answer_json(**changes))))


def test_best_says_the_answer_before_the_best_trial(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(answer=answer_json()))
    fake.on("GET /v1/jobs/job_1/best", {"items": [trial_json(2)]})
    lines = CliRunner().invoke(app, ["best", "job_1"]).stdout.splitlines()
    assert lines[0] == SENTENCE
    assert "best trial, luck included:" in lines
    assert lines[-1].split()[:2] == ["2", "completed"]


def test_best_says_when_it_went_by_the_mean_of_several_trainings(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(answer=answer_json()))
    checked = trial_json(2) | {"replicates": {"n": 5, "mean": {"value": 0.239}, "values": [0.2] * 5}, "tied": []}
    fake.on("GET /v1/jobs/job_1/best", {"items": [checked]})
    told = CliRunner().invoke(app, ["best", "job_1"]).stdout
    assert "best by the mean of 5 trainings, 0.239; the trial that stands for them:" in told


def test_best_as_json_has_the_answer_and_the_trials(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(answer=answer_json()))
    fake.on("GET /v1/jobs/job_1/best", {"items": [trial_json(2)]})
    told = json.loads(CliRunner().invoke(app, ["best", "job_1", "--json"]).stdout)
    assert list(told) == ["answer", "trials"]
    assert told["answer"]["sentence"] == SENTENCE
    assert [trial["number"] for trial in told["trials"]] == [2]


def test_best_as_json_says_that_there_is_nothing_yet(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(answer=None))
    fake.on("GET /v1/jobs/job_1/best", {"items": []})
    nothing = CliRunner().invoke(app, ["best", "job_1", "--json"])
    assert (json.loads(nothing.stdout), nothing.exit_code) == ({"answer": None, "trials": []}, 1)


def test_best_without_an_answer_shows_the_trial(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(answer=None))
    fake.on("GET /v1/jobs/job_1/best", {"items": [trial_json(2)]})
    result = CliRunner().invoke(app, ["best", "job_1"])
    assert result.exit_code == 0
    assert "no answer yet" in result.stdout
    assert "completed" in result.stdout


def test_the_job_list_shows_answers_and_why_there_are_none(fake: FakeService) -> None:
    none = {"value": None, "low": None, "high": None, "caveat": "too few"}
    jobs = [
        job_json(answer=answer_json()),
        job_json(id="job_2", answer=answer_json(words="none", learning_rate=none, missing_trials=12)),
        job_json(id="job_3"),
    ]
    fake.on("GET /v1/jobs", {"items": jobs, "next_page_token": None})
    _, first, second, third = CliRunner().invoke(app, ["jobs"]).stdout.splitlines()
    assert "0.01 (0.008 to 0.013) at 64, fairly sure" in first
    assert "█▃▁▃█" in first, "a small picture of the valley"
    assert "about 12 more trials" in second
    assert third.split()[:6] == ["job_3", "mnist", "running", "3/10", "loss", "0.125"]


def test_watch_ends_with_the_answer_and_the_progress(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(state="completed", answer=answer_json()))
    lines = CliRunner().invoke(app, ["watch", "job_1"]).stdout.splitlines()
    assert lines[0] == SENTENCE
    assert "answer 0.01 (0.008 to 0.013) at 64, fairly sure" in lines[-1]
    assert lines[-1].index("answer") < lines[-1].index("trial 2")


def test_the_picture_of_the_valley_marks_the_rate() -> None:
    _, picture, pointer, _ = lines_of()
    assert picture.split()[:3] == ["0.001", "█▆▃▂▁▂▃▆█", "0.1"], "the cliff at the end doesn't flatten the rest"
    assert picture[pointer.index("↑")] == "▁"


def test_a_hill_stays_a_hill() -> None:
    points = [(0.001, -5.0), (0.003, 0.7), (0.01, 0.9), (0.03, 0.8), (0.1, 0.7)]
    valley = [{"learning_rate": rate, "value": {"value": value, "low": None, "high": None}} for rate, value in points]
    job = job_json(answer=answer_json(valley=valley))
    job["spec"]["objectives"] = [{"metric": "accuracy", "direction": "maximize", "target": None}]
    assert "▁▁█▅▁" in answer_lines(Job.model_validate(job))[1]


def test_a_guess_says_that_it_is_one_and_why() -> None:
    rate = {"value": 0.01, "low": 0.001, "high": 0.1, "caveat": "from 2 trials", "is_guess": True}
    assert "  a guess: from 2 trials" in lines_of(learning_rate=rate)


def test_a_measured_mean_takes_the_place_of_the_promised_one() -> None:
    assert any("promised there, not checked: loss 0.1 (0.09 to 0.12)" in line for line in lines_of())
    checked = lines_of(confirmed={"value": 0.11, "low": 0.1, "high": 0.13})
    assert any("measured by fresh trainings: loss 0.11 (0.1 to 0.13)" in line for line in checked)
    assert not any("promised" in line for line in checked)


def test_json_of_jobs_holds_the_answer(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", {"items": [job_json(answer=answer_json())], "next_page_token": None})
    (job,) = json.loads(CliRunner().invoke(app, ["jobs", "--json"]).stdout)
    assert job["answer"]["sentence"] == SENTENCE
