"""What the client gives back: waiting with a limit, progress, pictures, tables, files."""

import asyncio
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas
import pytest

from stepsize import (
    ApiError,
    AsyncClient,
    Client,
    Job,
    JobReport,
    ServerLateError,
    Trial,
    WaitTimeoutError,
    WrongValueError,
)
from stepsize.agents.tools import mend
from stepsize.client.answers import JobAnswer
from stepsize.client.provenance import JobProvenance
from stepsize.client.rows import Rows
from tests.unit.fake_service import (
    FakeService,
    answer_json,
    event_stream,
    event_text,
    job_json,
    problem,
    report_json,
    trial_json,
)

JOB = Job.model_validate(job_json())


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
    assert repr(job.best) == "<Trial 2: learning_rate=0.01234567, batch_size=64; loss=0.125>"
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


TWO_PAGES = (
    {"items": [trial_json(0), trial_json(1)], "next_page_token": "more"},
    {"items": [trial_json(2)], "next_page_token": None},
)


def test_a_list_is_fetched_as_it_is_read_once_and_stays(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/trials", *TWO_PAGES)
    trials = fake.client().trials("job_1")
    assert "not read yet" in repr(trials)
    assert fake.requests == []
    assert trials[0].number == 0
    assert len(fake.requests) == 1
    assert repr(trials).startswith("<Rows, 1 read so far: <Trial 0 ")
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert len(trials.to_pandas()) == len(trials.to_pandas()) == len(trials.to_polars()) == len(trials) == 3
    assert [trials[-1].number, *(trial.number for trial in trials[:2])] == [2, 0, 1]
    assert repr(trials).startswith("<Rows, 3: <Trial 0 ")
    assert len(fake.requests) == 2
    with pytest.raises(IndexError):
        trials[3]


def test_a_list_that_broke_off_is_not_taken_for_whole(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/trials", TWO_PAGES[0], problem(500, "Server error"))
    trials = fake.client().trials("job_1")
    for _ in range(2):
        with pytest.raises(ApiError):
            list(trials)


def test_an_answer_a_report_and_a_trial_show_themselves_in_a_notebook() -> None:
    answer = JobAnswer.model_validate(answer_json(caveats=["<few> trials"]))
    shown = answer._repr_html_()
    assert "Use a learning rate of 0.01" in shown
    assert "<svg" in shown
    assert "<small>&lt;few&gt; trials</small>" in shown

    report = JobReport.model_validate(report_json(job_name="<mnist>", answer=answer_json()))
    shown = report._repr_html_()
    assert "<b>&lt;mnist&gt;</b> <code>job_1</code> 4 trials" in shown
    assert report.sensitivity.sentence in shown
    assert "<svg" in shown

    error = {"type": "ValueError", "message": "<no> such file"}
    trial = Trial.model_validate(trial_json(3, state="failed", reason="error", error=error, remark="it was dark"))
    shown = trial._repr_html_()
    assert "trial 3</b> of <code>job_1</code> failed (error)" in shown
    assert "learning_rate 0.01, batch_size 64: loss 0.5" in shown
    assert "<b>ValueError: &lt;no&gt; such file</b>" in shown
    assert "it was dark" in shown


@pytest.mark.parametrize(
    ("total", "most", "said"),
    [(1, None, "1 trial"), (2, None, "2 trials"), (1, 1, "1/1 trial"), (0, 40, "0/40 trials")],
)
def test_one_trial_is_no_plural(total: int, most: int | None, said: str) -> None:
    progress = {"counts": {"completed": total}, "total": total, "max_trials": most}
    assert f"running, {said}>" in repr(Job.model_validate(job_json(progress=progress)))


def test_what_two_jobs_ran_with_is_compared() -> None:
    def of(torch: str, *, first: int = 0) -> JobProvenance:
        share = {"id": torch, "n_trials": 1, "first_trial": first, "provenance": {"packages": {"torch": torch}}}
        return JobProvenance.model_validate({"items": [share], "differences": {}})

    assert of("2.12").differences_with(of("2.12")) == {}
    assert of("2.12").differences_with(of("2.13"), of("2.12")) == {"packages.torch": ["2.12", "2.13"]}


def test_a_list_shows_itself_in_a_notebook(fake: FakeService) -> None:
    many = [trial_json(number, params={"optimizer": "<sgd>"}) for number in range(25)]
    fake.on("GET /v1/jobs/job_1/trials", {"items": many, "next_page_token": None})
    html = fake.client().trials("job_1")._repr_html_()
    assert html.count("<tr>") == 21
    assert "<th>params.optimizer</th>" in html
    assert "<td>&lt;sgd&gt;</td>" in html
    assert "the first 20" in html


def test_lists_of_the_asynchronous_client_stay_too_and_become_frames() -> None:
    pages = iter(TWO_PAGES)

    async def read() -> tuple[list[int], list[int], int, int]:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=next(pages)))
        async with AsyncClient(transport=transport) as client:
            trials = client.trials("job_1")
            numbers = [[trial.number async for trial in trials] for _ in range(2)]
            return numbers[0], numbers[1], len(await trials.to_pandas()), len(await trials.to_polars())

    assert asyncio.run(read()) == ([0, 1, 2], [0, 1, 2], 3, 3)


def test_one_text_is_one_filter_and_one_job(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/trials", TWO_PAGES[1])
    fake.on("GET /v1/trials", TWO_PAGES[1])
    fake.on("GET /v1/reports", problem(422, "Wrong request"))
    list(fake.client().trials("job_1", filters="values.loss<0.1"))
    list(fake.client().all_trials(filters="values.loss<0.1"))
    assert [request.url.params.get_list("filter") for request in fake.requests] == 2 * [["values.loss<0.1"]]
    with pytest.raises(ApiError):
        fake.client().compare("job_1")
    assert fake.requests[-1].url.params.get_list("job") == ["job_1"]


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda client: client.submit("job.yaml"), "a job is a mapping or a JobSpec, not 'job.yaml'; `stepsize submit"),
        (lambda client: client.control("job_1", "halt"), "there is no 'halt'; known: cancel, pause, resume"),
        (lambda client: client.enqueue("job_1", {"x": math.nan}), "only finite numbers, texts, truth values, None"),
        (lambda client: client.enqueue("job_1", {"x": object()}), "only finite numbers, texts, truth values, None"),
        (
            lambda client: client.range_test(3),
            "a range test is a mapping or a RangeTestSpec, not 3; `stepsize range-test",
        ),
        (lambda client: client.job(3), "job_id: a text is expected here, not 3"),
        (lambda client: client.job(JOB), "did you mean its id, 'job_1'?"),
        (lambda client: client.wait(JOB), "an id or a name is a text, not .* did you mean its id, 'job_1'?"),
        (lambda client: client.job(""), "'' is no id or name"),
        (lambda client: client.job(".."), "'..' is no id or name"),
        (lambda client: client.artifact("job_1", 0, "../x"), "'../x' is no id or name"),
        (lambda client: list(client.export("a/b")), "'a/b' is no id or name"),
        (lambda client: client.curves("job_1", numbers=3), "numbers: a list is expected here, not 3"),
        (lambda client: client.trials("job_1", filters=3), "filters: a text or a list is expected here, not 3"),
        (lambda client: client.compare(3), "job_ids: a text or a list is expected here, not 3"),
        (lambda client: client.change_job("job_1", budget=3), "budget: a mapping is expected here, not 3"),
        (lambda client: client.enqueue("job_1", 3), "params: a mapping is expected here, not 3"),
        (lambda client: client.submit({}, idempotency_key=3), "idempotency_key: a text is expected here, not 3"),
        (lambda client: client.trials("job_1", limit="x"), "limit: a whole number of at least 0 .*, not 'x'"),
        (lambda client: client.jobs(limit=-1), "limit: a whole number of at least 0 .*, not -1"),
        (lambda client: client.wait("job_1", timeout="x"), "timeout: seconds are expected here, or None .*, not 'x'"),
        (lambda client: client.wait("job_1", timeout=-1), "timeout: seconds .*, not -1"),
        (lambda client: client.wait("job_1", timeout=math.nan), "timeout: seconds .*, not nan"),
        (lambda client: client.wait("job_1", poll_s=0), "poll_s: seconds above 0 are expected here, not 0"),
        (lambda client: client.wait("job_1", progress="yes"), "progress: True, False or a function .*, not 'yes'"),
        (lambda client: client.upload("nowhere.csv"), "there is no file nowhere.csv"),
        (lambda client: client.upload("."), "[.] is a directory"),
        (lambda client: client.export_to("job_1", "/nowhere/x.csv"), "there is no directory /nowhere"),
        (lambda client: client.export_to("job_1", "."), "[.] is a directory; name a file in it"),
        (lambda client: type(client)(8000), "an address is a text such as 'http://127.0.0.1:8000', not 8000"),
        (lambda client: Client("http://[::1"), "'http://.::1' is no address such as http://127.0.0.1:8000"),
        (lambda client: Client("ftp://x"), "'ftp://x' is no address"),
        (lambda client: Client("http://"), "'http://' is no address"),
    ],
)
def test_what_can_not_be_sent_is_told_before_it_is(fake: FakeService, act: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        act(fake.client())
    assert fake.requests == []


def test_a_file_in_a_folder_is_fetched_by_its_path(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/trials/3/artifacts/plots/loss 1.csv", httpx.Response(200, content=b"of a trial"))
    fake.on("GET /v1/jobs/job_1/best/artifacts/plots/loss 1.csv", httpx.Response(200, content=b"of the best"))
    assert fake.client().artifact("job_1", 3, "plots/loss 1.csv") == b"of a trial"
    assert fake.client().best_artifact("job_1", "plots/loss 1.csv") == b"of the best"


def test_a_column_of_numbers_is_a_list(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/curves", {"metric": "loss", "n_trials": 0, "curves": []})
    fake.client().curves("job_1", numbers=pandas.Series([2, 3]))
    assert fake.requests[-1].url.params.get_list("trial") == ["2", "3"]


def test_who_is_late_is_not_told_to_start_a_service(fake: FakeService) -> None:
    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out", request=request)

    with (
        Client("http://127.0.0.1:8000", transport=httpx.MockTransport(late), sleep=lambda _: None) as client,
        pytest.raises(ServerLateError, match="has not answered in time") as told,
    ):
        client.jobs()[0]
    assert "start" not in mend(told.value)
    assert "ask again" in mend(told.value)


def test_the_asynchronous_client_shows_progress_and_awaits_who_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []

    async def tell(job: Job) -> None:
        told.append(job.state)

    def note(job: Job) -> None:
        told.append(job.id)

    async def wait() -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=job_json(state="completed")))
        async with AsyncClient("http://127.0.0.1:8000", transport=transport) as client:
            await client.wait("job_1", progress=True)
            await client.wait("job_1", progress=tell)
            await client.wait("job_1", progress=note)
            with pytest.raises(ValueError, match="timeout: seconds"):
                await client.wait("job_1", timeout="x")  # type: ignore[arg-type]

    asyncio.run(wait())
    assert "job_1 mnist: completed" in capsys.readouterr().err
    assert told == ["completed", "job_1"]


def test_an_address_may_lack_its_scheme() -> None:
    assert Client("localhost:8000").base_url == "http://localhost:8000"
    assert Client("https://tune.example/").base_url == "https://tune.example"


def test_answers_say_what_they_are_in_a_line(fake: FakeService) -> None:
    history = {"metric": "loss", "direction": "minimize", "n_trials": 9000, "numbers": list(range(9000))}
    history |= {"states": ["completed"] * 9000, "values": [0.5] * 9000, "best": [0.5] * 9000}
    curve = {"number": 3, "state": "completed", "params": {}, "n_reports": 2, "steps": [1, 2], "values": [0.9, 0.1]}
    objective = {"metric": "loss", "direction": "minimize", "target": None}
    share = {"parameter": "learning_rate", "importance": {"value": 0.75, "low": 0.5, "high": 0.875}}
    differences = {"packages.torch": ["2.12.0", "2.13.0"]}
    answers: dict[str, tuple[Any, str]] = {
        "history": (history, "<History of 9000 trials: minimize loss, best so far 0.5>"),
        "curves": ({"metric": "loss", "n_trials": 9, "curves": [curve]}, "<Curves of loss, 1 of 9 trials>"),
        "pareto": (
            {"objectives": [objective], "n_completed": 4, "items": [trial_json(0)]},
            "<Front of minimize loss: 1 of 4 trials>",
        ),
        "importances": (
            {"method": "PED-ANOVA", "n_trials": 200, "items": [share]},
            "<Importances of 200 trials: learning_rate 0.75 (0.5 to 0.875)>",
        ),
        "provenance": (
            {"items": [], "differences": differences},
            "<JobProvenance, 0 of them; differs in packages.torch: 2.12.0, 2.13.0>",
        ),
    }
    for name, (sent, shown) in answers.items():
        fake.on(f"GET /v1/jobs/job_1/{name}", sent)
        assert repr(getattr(fake.client(), name)("job_1")) == shown
    assert repr(fake.client().curves("job_1").curves[0]) == "<Curve of trial 3, completed, 2 reports: 0.9 to 0.1>"


def test_an_argument_there_is_not_is_refused_with_the_one_that_is_meant(fake: FakeService) -> None:
    client = fake.client()
    with pytest.raises(TypeError, match=r"trials\(\) has no argument 'filter'; did you mean 'filters'\?"):
        client.trials("job_1", filter="values.loss<0.1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"job\(\) needs job_id"):
        client.job()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"enqueue\(\) takes job_id and params by place, all else by name"):
        client.enqueue("job_1", {}, 3)  # type: ignore[call-arg]


def test_a_frame_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="pip install polars"):
        Rows(iter([])).to_polars()


def test_an_export_is_complete_or_is_not_there(fake: FakeService, tmp_path: Path) -> None:
    fake.on("GET /v1/jobs/job_1/export", httpx.Response(200, text="number\n1\n"), httpx.ReadError("cut"))
    client: Client = fake.client()
    assert client.export_to("job_1", tmp_path / "x.jsonl").read_text() == "number\n1\n"
    assert dict(fake.requests[-1].url.params)["format"] == "jsonl"
    with pytest.raises(Exception, match="cut"):
        client.export_to("job_1", tmp_path / "y.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_what_may_not_be_said_twice_is_not_said_again(fake: FakeService) -> None:
    fake.on("DELETE /v1/jobs/job_1", httpx.ReadTimeout("lost"), httpx.Response(204))
    with pytest.raises(Exception, match="lost"):
        fake.client().delete_job("job_1")
    assert len(fake.requests) == 1
    fake.on("PATCH /v1/jobs/job_1", httpx.ConnectError("refused"), job_json())
    assert fake.client().change_job("job_1", priority=2).id == "job_1"  # nobody heard the first


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, _: client.control("job_1", "explode"),
        lambda client, _: client.submit({"name": math.nan}),
        lambda client, folder: client.export_to("job_1", folder / "trials.doc"),
        lambda client, folder: client.upload(folder / "notes.txt"),
    ],
)
def test_an_argument_that_cant_be_is_an_error_of_the_client_and_is_not_sent(
    fake: FakeService, tmp_path: Path, ask: Callable[[Client, Path], object]
) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(WrongValueError):
        ask(fake.client(), tmp_path)
    assert fake.requests == []
