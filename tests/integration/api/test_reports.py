"""Reports, plots, curves, fronts and exports through the real API, on real databases."""

import asyncio
import csv
import io
import json
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from pyarrow import parquet
from starlette.testclient import TestClient

from stepsize.api.app import create_app
from stepsize.asking.analyst import Analyst
from stepsize.asking.questions import ReportQuestion
from stepsize.domain.job import JobKind, JobState
from stepsize.domain.jobs_report import JobsReport
from stepsize.domain.report import Importances, Report
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.errors import AnalysisUnavailableError
from stepsize.settings import Settings
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import open_ledger
from tests.builders import make_card, make_job, make_report, make_spec, make_trial
from tests.databases import POSTGRESQL_WHEN_SLOW
from tests.integration.api.conftest import enlist, pointers
from tests.integration.api.test_range_tests import FINDINGS
from tests.waiting import wait_for

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
}
TWO = [{"metric": "loss", "direction": "minimize"}, {"metric": "accuracy", "direction": "maximize"}]
PLOTS = ["history", "curves", "slice", "heatmap", "importances", "range_test", "sensitivity", "pareto"]


@pytest.fixture
def job_id(database: Database) -> str:
    """A job of 60 trials on the valley 0.01 · (B / 32)^0.5, of which those above 0.3 diverged."""
    return _make_valley(database, 60)


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Database, str]]:
    """One API on SQLite for all tests that only ask: starting its analysis process takes seconds."""
    directory = tmp_path_factory.mktemp("reports")
    url = f"sqlite:///{shutil.copy(sqlite_template, directory / 'stepsize.db')}"
    database = Database(url)
    with TestClient(create_app(Settings(database_url=url, data_dir=directory))) as client:
        yield client, database, _make_valley(database, 60)
    database.dispose()


@pytest.fixture
def warm(site: tuple[TestClient, Database, str]) -> TestClient:
    """The API whose analysis process is shared."""
    return site[0]


@pytest.fixture
def warm_database(site: tuple[TestClient, Database, str]) -> Database:
    return site[1]


@pytest.fixture
def valley_id(site: tuple[TestClient, Database, str]) -> str:
    """The valley's job there; nobody changes it."""
    return site[2]


def _make_valley(database: Database, n: int, **spec: object) -> str:
    rng = random.Random(0)
    with database.write() as connection:
        job = make_job(connection, state=JobState.RUNNING, spec=make_spec(search_space=SPACE, **spec))
        reports = []
        for number in range(n):
            x, size = rng.uniform(-5, 0), 2 ** rng.randint(4, 8)
            params = {"learning_rate": 10**x, "batch_size": size}
            times: dict[str, Any] = {"started_at": 100.0, "finished_at": 102.0, "step": 5}
            if x > -0.5:
                state, reason = TrialState.INFEASIBLE, TrialReason.DIVERGED
                make_trial(connection, job.id, number=number, state=state, reason=reason, params=params, **times)
                continue
            loss = (x + 2 - 0.5 * math.log10(size / 32)) ** 2 + 0.01 + rng.gauss(0, 0.02)
            values = {"loss": loss, "accuracy": 1 - loss / 20}
            reports += [make_report(number, step, **values | {"loss": loss + 1 / step - 1 / 7}) for step in range(1, 8)]
            make_trial(
                connection, job.id, number=number, state=TrialState.COMPLETED, objective=loss, values=values,
                params=params, **times,
            )  # fmt: skip
        with open_ledger(connection, job.id) as ledger:
            ledger.add_reports(reports)
    return job.id


def _change_of(database: Database, job_id: str) -> int:
    with database.read() as connection:
        return get_job(connection, job_id).change


@POSTGRESQL_WHEN_SLOW
def test_a_report_finds_the_valley(client: TestClient, job_id: str, database: Database) -> None:
    response = client.get(f"/v1/jobs/{job_id}/report")

    report = Report.model_validate_json(response.content)
    assert response.status_code == 200
    assert report.change == _change_of(database, job_id)
    b = report.scaling_law.b
    assert b.low is not None
    assert b.high is not None
    assert b.low <= 0.5 <= b.high
    assert report.divergence.n_diverged == report.counts["infeasible"] > 0
    assert report.recommendation.startswith("Use a learning rate of")


def test_a_report_comes_in_the_form_that_is_accepted(warm: TestClient, valley_id: str) -> None:
    here = f"/v1/jobs/{valley_id}/report"
    types = {
        "": "application/json",
        "*/*": "application/json",
        "application/json": "application/json",
        "text/markdown": "text/markdown; charset=utf-8",
        "text/html,application/xhtml+xml,*/*;q=0.8": "text/html; charset=utf-8",
        "text/markdown;q=0.4, application/json;q=0.5": "application/json",
    }
    for accept, expected in types.items():
        assert warm.get(here, headers={"Accept": accept}).headers["content-type"] == expected
    refused = warm.get(here, headers={"Accept": "image/png"})
    assert (refused.status_code, refused.headers["content-type"]) == (406, "application/problem+json")


def test_the_page_may_run_and_fetch_nothing(warm: TestClient, valley_id: str) -> None:
    response = warm.get(f"/v1/jobs/{valley_id}/report", headers={"Accept": "text/html"})

    assert response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "<script" not in response.text
    assert "<h1>Learning-rate report" in response.text


def test_a_client_that_has_the_report_gets_304_until_the_job_changes(warm: TestClient, warm_database: Database) -> None:
    valley_id = _make_valley(warm_database, 10)
    here = f"/v1/jobs/{valley_id}/report"
    tag = warm.get(here).headers["etag"]

    assert warm.get(here, headers={"If-None-Match": tag}).status_code == 304
    assert warm.get(here, headers={"If-None-Match": tag, "Accept": "text/html"}).status_code == 200, "another form"
    with warm_database.write() as connection:
        make_trial(connection, valley_id, state=TrialState.COMPLETED, objective=0.5, values={"loss": 0.5})
    changed = warm.get(here, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_a_new_job_has_a_report_that_says_there_is_nothing_to_say(warm: TestClient, warm_database: Database) -> None:
    with warm_database.write() as connection:
        job = make_job(connection)

    report = Report.model_validate_json(warm.get(f"/v1/jobs/{job.id}/report").content)

    assert report.recommendation.startswith("Not enough trials to say")


@pytest.mark.parametrize("part", ["report", "importances", "curves", "pareto", "export", "plots/history.svg"])
def test_a_job_that_is_not_there_is_not_found(warm: TestClient, part: str) -> None:
    response = warm.get(f"/v1/jobs/job_nope/{part}")

    assert response.status_code == 404
    assert response.json()["job_id"] == "job_nope"


def test_jobs_are_compared(warm: TestClient, warm_database: Database, valley_id: str) -> None:
    other = _make_valley(warm_database, 20, trainer={"name": "synthetic", "version": "1", "params": {"floor": 0.5}})

    response = warm.get("/v1/reports", params={"job": [valley_id, other]})

    report = JobsReport.model_validate_json(response.content)
    assert [row.job_id for row in report.jobs] == [valley_id, other]
    assert [row.differs for row in report.jobs] == [{"floor": None}, {"floor": 0.5}]
    twice = warm.get("/v1/reports", params={"job": [valley_id, other, valley_id]})
    assert JobsReport.model_validate_json(twice.content) == report, "a job is told once however often it is named"
    assert "?job" in pointers(warm.get("/v1/reports"))
    assert "?job" in pointers(warm.get("/v1/reports", params={"job": [f"job_{n}" for n in range(51)]}))
    assert warm.get("/v1/reports", params={"job": [valley_id, "job_nope"]}).status_code == 404


@POSTGRESQL_WHEN_SLOW
def test_a_job_whose_bounds_a_range_test_found_has_a_report(client: TestClient, database: Database) -> None:
    job_id = _make_valley(database, 30)
    asked = SPACE | {"learning_rate": {"type": "float", "range_test": True}}
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        spec = make_spec(search_space=asked).model_dump(mode="json")
        ledger.set_job(spec=spec, findings={"search_space": make_spec(search_space=SPACE).model_dump()["search_space"]})

    report = client.get(f"/v1/jobs/{job_id}/report")

    assert report.status_code == 200
    assert report.json()["importances"]["items"]


def test_answers_about_a_range_test_say_what_it_found(warm: TestClient, warm_database: Database) -> None:
    with warm_database.write() as connection:
        test_id = make_job(connection, kind=JobKind.RANGE_TEST).id
        with open_ledger(connection, test_id) as ledger:
            ledger.set_job(findings=FINDINGS.model_dump(mode="json"))
    here = f"/v1/jobs/{test_id}"

    report = warm.get(f"{here}/report").json()
    best = warm.get(f"{here}/best")

    assert "from 0.001 upwards at batch size 32 (0.01 is suggested)" in report["recommendation"]
    assert report["best_trial"] is None
    assert best.status_code == 409
    assert f"/v1/range-tests/{test_id}" in best.json()["detail"]
    assert warm.get(f"{here}/curves").json()["step_unit"] == "update"
    figures = [warm.get(f"{here}/plots/{kind}.svg").content for kind in ("history", "range_test")]
    assert figures[0] != figures[1]


def test_a_job_whose_range_test_was_deleted_keeps_its_answers(warm: TestClient, warm_database: Database) -> None:
    with warm_database.write() as connection:
        job_id = make_job(connection, waits_for="job_deleted").id

    assert warm.get(f"/v1/jobs/{job_id}/report").status_code == 200
    assert warm.get(f"/v1/jobs/{job_id}/plots/range_test.svg").status_code == 200


def test_the_units_of_a_workers_own_trainer_are_known(client: TestClient, database: Database) -> None:
    card = make_card(name="own", step_unit="sample")
    enlist(database, trainers=(card,))
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(trainer={"name": "own", "version": card.version})).id

    assert client.get(f"/v1/jobs/{job_id}/curves").json()["step_unit"] == "sample"


def test_a_job_names_where_its_answers_are(warm: TestClient, valley_id: str) -> None:
    links = warm.get(f"/v1/jobs/{valley_id}").json()["links"]

    assert {"curves", "report", "export"} < set(links)
    assert [warm.get(link).status_code for name, link in links.items() if name != "events"] == [200] * (len(links) - 1)


def test_importances_are_read_alone(warm: TestClient, valley_id: str) -> None:
    found = Importances.model_validate_json(warm.get(f"/v1/jobs/{valley_id}/importances").content)

    assert found.items[0].parameter == "learning_rate"
    assert "importances need at least 100" in (found.caveat or "")


def test_every_plot_is_drawn_as_svg_and_png(warm: TestClient, valley_id: str) -> None:
    for kind in PLOTS:
        svg = warm.get(f"/v1/jobs/{valley_id}/plots/{kind}.svg")
        assert (svg.status_code, svg.headers["content-type"]) == (200, "image/svg+xml"), kind
        assert svg.content.startswith(b"<?xml")
    png = warm.get(f"/v1/jobs/{valley_id}/plots/history.png", params={"theme": "dark"})
    assert png.content.startswith(b"\x89PNG")
    tag = png.headers["etag"]
    again = warm.get(f"/v1/jobs/{valley_id}/plots/history.png?theme=dark", headers={"If-None-Match": tag})
    assert again.status_code == 304


def test_a_plot_that_there_is_not_is_refused_with_the_nearest(warm: TestClient, valley_id: str) -> None:
    assert "'history'" in pointers(warm.get(f"/v1/jobs/{valley_id}/plots/histoy.svg"))["{kind}"]
    assert "{image_format}" in pointers(warm.get(f"/v1/jobs/{valley_id}/plots/history.gif"))
    assert "?theme" in pointers(warm.get(f"/v1/jobs/{valley_id}/plots/history.svg?theme=pink"))


def test_a_schedule_is_drawn_with_the_previews_own_query(warm: TestClient) -> None:
    here = "/v1/schedules/exponential/preview/plot.svg"

    assert warm.get(here, params={"gamma": 0.8, "steps": 5}).headers["content-type"] == "image/svg+xml"
    assert "?gama" in pointers(warm.get(here, params={"gama": 0.8}))
    assert warm.get("/v1/schedules/nope/preview/plot.svg").status_code == 404


def test_a_job_that_is_no_range_test_has_no_plot_as_one(client: TestClient, job_id: str) -> None:
    assert client.get(f"/v1/range-tests/{job_id}/plot.svg").status_code == 404


def test_curves_are_thinned_out_and_keep_their_ends(client: TestClient, job_id: str) -> None:
    here = f"/v1/jobs/{job_id}/curves"

    whole = client.get(here, params={"trial": [3, 0]}).json()
    thin = client.get(here, params={"trial": 3, "max_points": 3}).json()

    assert [curve["number"] for curve in whole["curves"]] == [0, 3]
    assert whole["curves"][1]["steps"] == [1, 2, 3, 4, 5, 6, 7]
    (curve,) = thin["curves"]
    assert curve["n_reports"] == 7
    assert len(curve["steps"]) <= 3
    assert (curve["steps"][0], curve["steps"][-1]) == (1, 7)
    assert curve["values"] == [whole["curves"][1]["values"][step - 1] for step in curve["steps"]]


def test_curves_are_of_the_latest_trials_or_the_best(client: TestClient, job_id: str) -> None:
    here = f"/v1/jobs/{job_id}/curves"
    best = client.get(f"/v1/jobs/{job_id}/best", params={"n": 60}).json()["items"]
    reported = [trial["number"] for trial in best][:5]

    found = client.get(here, params={"pick": "best", "n": 5}).json()

    assert [curve["number"] for curve in found["curves"]] == sorted(reported)
    assert found["n_trials"] == 60
    latest = [curve["number"] for curve in client.get(here, params={"n": 10}).json()["curves"]]
    assert latest == sorted(trial["number"] for trial in best if trial["number"] >= 50)
    assert "'loss'" in pointers(client.get(here, params={"metric": "los"}))["?metric"]
    assert "?max_points" in pointers(client.get(here, params={"max_points": 1}))


def test_curves_of_a_trial_that_is_not_there_are_not_found(client: TestClient, job_id: str) -> None:
    answer = client.get(f"/v1/jobs/{job_id}/curves", params={"trial": [3, 400]})
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"job {job_id!r} has no trial 400"


def test_a_front_holds_what_no_other_trial_beats(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, spec=make_spec(objectives=TWO))
        for loss, accuracy in ((1.0, 0.9), (0.5, 0.8), (0.7, 0.7), (0.5, 0.8), (2.0, 0.95)):
            values = {"loss": loss, "accuracy": accuracy}
            make_trial(connection, job.id, state=TrialState.COMPLETED, objective=loss, values=values)
        make_trial(connection, job.id, state=TrialState.INFEASIBLE, values={"loss": 0.0, "accuracy": 1.0})

    front = client.get(f"/v1/jobs/{job.id}/pareto").json()

    assert [trial["number"] for trial in front["items"]] == [1, 3, 0, 4]
    assert front["n_completed"] == 5


def test_the_front_of_one_objective_is_its_best_trial(client: TestClient, job_id: str) -> None:
    (best,) = client.get(f"/v1/jobs/{job_id}/best").json()["items"]

    (found,) = client.get(f"/v1/jobs/{job_id}/pareto").json()["items"]
    assert found.items() <= best.items()


@POSTGRESQL_WHEN_SLOW
def test_everything_is_exported_as_csv_and_json_lines(client: TestClient, job_id: str) -> None:
    here = f"/v1/jobs/{job_id}/export"
    trials = client.get(f"/v1/jobs/{job_id}/trials", params={"limit": 500}).json()["items"]

    table = list(csv.DictReader(io.StringIO(client.get(here).text)))
    lines = [json.loads(line) for line in client.get(here, params={"format": "jsonl"}).text.splitlines()]

    assert [float(row["params.learning_rate"]) for row in table] == [one["params"]["learning_rate"] for one in trials]
    assert [row["values.loss"] for row in table] == [str(one["values"].get("loss", "")) for one in trials]
    for line, one in zip(lines, trials, strict=True):
        apart = ("error", "ran_with")  # one line of text; and what the trial itself only names
        assert {name: line[name] for name in line if name not in apart} == {
            name: one[name] for name in line if name not in apart
        }
    reports = client.get(here, params={"format": "csv", "rows": "reports"})
    n_completed = sum(one["state"] == "completed" for one in trials)
    assert len(list(csv.DictReader(io.StringIO(reports.text)))) == 7 * n_completed
    assert f'filename="{job_id}-reports.csv"' in reports.headers["content-disposition"]
    assert "?format" in pointers(client.get(here, params={"format": "xlsx"}))


def test_a_parquet_file_holds_the_trials(warm: TestClient, valley_id: str) -> None:
    content = warm.get(f"/v1/jobs/{valley_id}/export", params={"format": "parquet"}).content

    table = parquet.read_table(io.BytesIO(content))

    assert table.num_rows == 60
    assert str(table.schema.field("params.learning_rate").type) == "double"


def test_optuna_opens_its_export(warm: TestClient, valley_id: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(warm.get(f"/v1/jobs/{valley_id}/export", params={"format": "optuna"}).content)

    study = optuna.load_study(study_name=valley_id, storage=JournalStorage(JournalFileBackend(str(path))))

    (best,) = warm.get(f"/v1/jobs/{valley_id}/best").json()["items"]
    assert study.best_value == best["values"]["loss"]
    assert study.best_trial.user_attrs["number"] == best["number"]
    assert study.best_params == best["params"]
    assert optuna.importance.get_param_importances(study).keys() == {"learning_rate", "batch_size"}
    diverged = [trial for trial in study.trials if trial.user_attrs["reason"] == "diverged"]
    assert diverged
    assert all(trial.state == optuna.trial.TrialState.FAIL and trial.values is None for trial in diverged)
    trial = study.best_trial
    assert trial.intermediate_values[7] == pytest.approx(study.best_value)
    assert trial.intermediate_values[1] == pytest.approx(study.best_value + 6 / 7)


def test_the_analysis_process_is_started_anew_after_a_crash(warm: TestClient, valley_id: str) -> None:
    here, analyst = f"/v1/jobs/{valley_id}", warm.app.state.site.analyst  # type: ignore[attr-defined]
    assert warm.get(f"{here}/report").status_code == 200
    first = analyst.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)

    assert warm.get(f"{here}/plots/pareto.png").status_code == 200
    assert analyst.pid not in (None, first)


def test_an_idle_analysis_process_is_ended_and_answers_stay(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    job_id = _make_valley(database, 10)
    analyst = Analyst(sqlite_url, idle_s=0.2)
    question = ReportQuestion((job_id,))
    reply = asyncio.run(analyst.ask(question))

    wait_for(lambda: analyst.pid is None)

    assert asyncio.run(analyst.ask(question, reply.changes)) == reply
    assert analyst.pid is None, "an answer that is known needs no process"
    analyst.close()
    database.dispose()


def test_who_waits_for_an_answer_is_refused_at_once_when_the_service_ends(sqlite_url: str) -> None:
    analyst = Analyst(sqlite_url)

    async def ask_and_end() -> list[object]:
        asked = [asyncio.ensure_future(analyst.ask(ReportQuestion((f"job_{n}",)))) for n in range(2)]
        await asyncio.sleep(0.1)  # its process is starting, which takes seconds
        analyst.end()
        return list(await asyncio.gather(*asked, analyst.ask(ReportQuestion(("job_2",))), return_exceptions=True))

    began = time.monotonic()
    outcomes = asyncio.run(ask_and_end())

    assert [type(outcome) for outcome in outcomes] == [AnalysisUnavailableError] * 3
    assert time.monotonic() - began < 2, "the process was not waited for"
    analyst.close()
    assert analyst.pid is None


def test_a_ctrl_c_in_the_terminal_does_not_reach_the_analysis_process(warm: TestClient, valley_id: str) -> None:
    assert warm.get(f"/v1/jobs/{valley_id}/plots/slice.svg?theme=dark").status_code == 200
    pid = warm.app.state.site.analyst.pid  # type: ignore[attr-defined]

    assert os.getpgid(pid) == pid, "a group of its own: the terminal signals the API's"


def test_equal_questions_at_once_are_asked_once(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    job_id = _make_valley(database, 10)
    analyst = Analyst(sqlite_url)

    async def ask_all() -> set[int]:
        replies = await asyncio.gather(*(analyst.ask(ReportQuestion((job_id,)), (1,)) for _ in range(50)))
        return {id(reply) for reply in replies}

    assert len(asyncio.run(ask_all())) == 1
    analyst.close()
    database.dispose()
