"""What the client gives back: waiting with a limit, progress, pictures, tables, files."""

import sys
from pathlib import Path

import httpx
import pytest

from stepsize import Client, Job, WaitTimeoutError
from stepsize.client.rows import Rows
from tests.unit.fake_service import (
    FakeService,
    answer_json,
    event_stream,
    event_text,
    job_json,
    report_json,
    trial_json,
)


@pytest.fixture
def fake() -> FakeService:
    return FakeService()


def test_waiting_ends_when_the_time_is_over_and_says_how_the_job_stands(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json())
    with pytest.raises(WaitTimeoutError, match="job_1 has not finished within 0 s: it is running") as caught:
        fake.client().wait("job_1", timeout=0)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.job.progress.n_finished == 3


def test_progress_is_told_now_and_at_each_change(fake: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    finished = job_json(state="completed", change=10)
    fake.on("GET /v1/jobs/job_1", job_json(), finished)
    fake.on("GET /v1/jobs/job_1/events", event_stream(event_text("job", 10, finished)))
    seen: list[str] = []
    fake.client().wait("job_1", progress=lambda job: seen.append(job.state))
    assert seen == ["running", "completed"]
    fake.on("GET /v1/jobs/job_1", job_json(answer=answer_json(), state="completed"))
    fake.client().wait("job_1", progress=True)
    assert "job_1 mnist: completed" in capsys.readouterr().err


def test_a_job_shows_itself_and_its_text_is_no_markup() -> None:
    job = Job.model_validate(job_json(name="<b>x</b>", answer=answer_json()))
    assert repr(job) == ("<Job job_1 <b>x</b>: running, 3/10 trials, learning_rate 0.01 (0.008 to 0.013), fairly sure>")
    assert str(job) == repr(job)
    page = job._repr_html_()
    assert '<progress max="1" value="0.3000">' in page
    assert "<polyline" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_the_report_is_typed(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/report", report_json())
    report = fake.client().report("job_1")
    assert report.answer.learning_rate.value == 0.01
    assert report.scaling_law.b.caveat == "too few trials"
    assert repr(report) == "<JobReport of job_1, 4 trials: Use a learning rate of 0.01>"


def test_trials_become_frames_with_the_same_columns_in_every_row(fake: FakeService) -> None:
    sparse = trial_json(1, params={"learning_rate": 0.1}, values={})
    fake.on("GET /v1/jobs/job_1/trials", {"items": [trial_json(0), sparse], "next_page_token": None})
    pandas = fake.client().trials("job_1").to_pandas()
    assert list(pandas["params.learning_rate"]) == [0.01, 0.1]
    assert pandas["values.loss"].isna().tolist() == [False, True]
    polars = fake.client().trials("job_1").to_polars()
    assert polars["params.batch_size"].to_list() == [64, None]


def test_a_frame_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="pip install polars"):
        Rows(iter([])).to_polars()


def test_an_export_is_complete_or_is_not_there(fake: FakeService, tmp_path: Path) -> None:
    fake.on("GET /v1/jobs/job_1/export", httpx.Response(200, text="number\n1\n"), httpx.ReadError("cut"))
    client: Client = fake.client()
    assert client.export_to(tmp_path / "x.jsonl", "job_1").read_text() == "number\n1\n"
    assert dict(fake.requests[-1].url.params)["format"] == "jsonl"
    with pytest.raises(Exception, match="cut"):
        client.export_to(tmp_path / "y.csv", "job_1")
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_what_may_not_be_said_twice_is_not_said_again(fake: FakeService) -> None:
    fake.on("DELETE /v1/jobs/job_1", httpx.ReadTimeout("lost"), httpx.Response(204))
    with pytest.raises(Exception, match="lost"):
        fake.client().delete_job("job_1")
    assert len(fake.requests) == 1
    fake.on("PATCH /v1/jobs/job_1", httpx.ConnectError("refused"), job_json())
    assert fake.client().change_job("job_1", priority=2).id == "job_1"  # nobody heard the first
