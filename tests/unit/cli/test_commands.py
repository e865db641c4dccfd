"""Commands that talk HTTP, against a scripted service: what they print, and their exit codes."""

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from stepsize.cli import app, connection, printing
from tests.unit.fake_service import FakeService, event_stream, event_text, job_json, problem, trial_json


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    service = FakeService()
    monkeypatch.setattr(connection, "Client", service.client)
    return service


@pytest.fixture
def job_path(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text("trainer: {name: synthetic}")
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_submit_prints_the_id_alone_on_stdout(fake: FakeService, job_path: str) -> None:
    fake.on("POST /v1/jobs", job_json(warnings=["few trials"]))
    result = run("submit", job_path)
    assert (result.exit_code, result.stdout) == (0, "job_1\n")
    assert "few trials" in result.stderr
    assert fake.bodies() == [{"trainer": {"name": "synthetic"}}]


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1)])
def test_submit_wait_ends_with_the_jobs_fate(fake: FakeService, job_path: str, state: str, code: int) -> None:
    finished = job_json(state=state, change=10)
    fake.on("POST /v1/jobs", job_json())
    fake.on("GET /v1/jobs/job_1", job_json(), finished)
    fake.on("GET /v1/jobs/job_1/events", event_stream(event_text("job", 10, finished)))
    result = run("submit", job_path, "--wait")
    assert result.exit_code == code
    assert result.stdout.splitlines()[-1].startswith(f"{state} 3/10 trials")


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"failed": 4}, 1),
        ({"failed": 3, "infeasible": 1}, 1),
        ({"failed": 3, "pruned": 1}, 1),
        ({"failed": 3, "completed": 1}, 0),
    ],
)
@pytest.mark.parametrize("command", ["submit", "watch"])
def test_a_job_that_completes_without_a_completed_trial_ends_with_1(
    fake: FakeService, job_path: str, command: str, counts: dict[str, int], code: int
) -> None:
    finished = job_json(state="completed", progress={"counts": counts, "total": 4, "max_trials": 4})
    fake.on("POST /v1/jobs", job_json())
    fake.on("GET /v1/jobs/job_1", finished)
    broken = trial_json(0, state="failed", reason="error", error={"type": "ValueError", "message": "no such file"})
    fake.on("GET /v1/jobs/job_1/trials", {"items": [broken], "next_page_token": None})
    result = run("submit", job_path, "--wait") if command == "submit" else run("watch", "job_1")
    assert result.exit_code == code
    assert "trial 0 failed: ValueError: no such file" in result.stderr


def test_a_failed_job_ends_with_its_trials_words_and_the_command_that_shows_more(
    fake: FakeService, job_path: str
) -> None:
    counts = {"failed": 4}
    failed = job_json(state="failed", advice="mend it", progress={"counts": counts, "total": 4, "max_trials": 10})
    error = {"type": "ValueError", "message": "no such\nfile"}
    failed_trials = [trial_json(number, state="failed", reason="error", error=error) for number in range(3)]
    lost = trial_json(3, state="failed", reason="lost")
    fake.on("POST /v1/jobs", job_json())
    fake.on("GET /v1/jobs/job_1", failed)
    fake.on("GET /v1/jobs/job_1/trials", {"items": [*failed_trials, lost], "next_page_token": None})

    result = run("submit", job_path, "--wait")

    assert result.exit_code == 1
    assert "mend it" in result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("trial ")]
    assert told == [
        "trial 2 failed: ValueError: no such file; see `stepsize log job_1 2`",
        "trial 3 failed: its process ended without a word: killed for want of memory, or crashed below Python; "
        "see `stepsize log job_1 3`",
    ]


def test_a_job_without_a_feasible_trial_says_why_none_was(fake: FakeService) -> None:
    counts = {"infeasible": 2}
    fake.on("GET /v1/jobs/job_1", job_json(state="completed", progress={"counts": counts, "total": 2, "max_trials": 2}))
    short = trial_json(0, state="infeasible", reason="oom", error={"type": "MemoryError", "message": ""})
    fake.on("GET /v1/jobs/job_1/trials", {"items": [short], "next_page_token": None})

    result = run("watch", "job_1")

    assert result.exit_code == 1, "there is no configuration to go on with"
    assert "trial 0 is infeasible, oom: MemoryError; see `stepsize log job_1 0`" in result.stderr


def test_lists_name_what_failed_and_what_stands_in_the_way(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", {"items": [job_json(advice="no worker has it")], "next_page_token": None})
    assert "job_1: no worker has it" in run("jobs").stderr
    trial = trial_json(5, state="failed", reason="error", error={"type": "ValueError", "message": "no such file"})
    fake.on("GET /v1/jobs/job_1/trials", {"items": [trial], "next_page_token": None})
    result = run("trials", "job_1")
    assert "ValueError: no such file" in result.stdout
    assert "`stepsize log job_1 5`" in result.stderr


def test_the_log_of_a_trial_is_printed_as_it_is(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/trials/5/log", httpx.Response(200, text="Traceback\n"))
    assert run("log", "job_1", "5").stdout == "Traceback\n"


def test_submit_wait_json_prints_one_document(fake: FakeService, job_path: str) -> None:
    fake.on("POST /v1/jobs", job_json())
    fake.on("GET /v1/jobs/job_1", job_json(state="completed"))
    result = run("submit", job_path, "--wait", "--json")
    assert json.loads(result.stdout) == job_json(state="completed")


def test_a_refused_job_names_its_fields_and_exits_1(fake: FakeService, job_path: str) -> None:
    fake.on("POST /v1/jobs", problem(422, "Wrong", errors=[{"pointer": "/trainer/name", "message": "unknown"}]))
    result = run("submit", job_path)
    assert result.exit_code == 1
    assert "/trainer/name: unknown" in result.stderr
    assert result.stdout == ""


def test_an_absent_service_is_one_line_that_says_how_to_start_it(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", httpx.ConnectError("refused"))
    result = run("jobs")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "stepsize up" in result.stderr


def test_jobs_lists_one_line_each(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", {"items": [job_json()], "next_page_token": None})
    header, line = run("jobs", "--state", "running", "--label", "team:vision").stdout.splitlines()
    assert header.split() == ["job", "name", "state", "trials", "answer", "valley", "best", "submitted"]
    assert line.split()[:6] == ["job_1", "mnist", "running", "3/10", "loss", "0.125"]
    assert dict(fake.requests[0].url.params) == {"state": "running", "label": "team:vision", "limit": "50"}


def test_replicates_do_not_count_towards_the_budget(fake: FakeService) -> None:
    progress = {"counts": {"completed": 16}, "total": 16, "max_trials": 10, "fraction": 1.0}
    fake.on("GET /v1/jobs", {"items": [job_json(progress=progress)], "next_page_token": None})
    assert "10/10" in run("jobs").stdout


def test_a_range_test_has_no_best_trial(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", {"items": [job_json(kind="range_test")], "next_page_token": None})
    fake.on("GET /v1/jobs/job_1", job_json(kind="range_test", state="completed"))
    assert "0.125" not in run("jobs").stdout
    watched = run("watch", "job_1").stdout
    assert "0.125" not in watched
    assert "stepsize report job_1" in watched


def test_a_name_can_carry_neither_markup_nor_terminal_escapes(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", {"items": [job_json(name="[red]a\x1b[2J")], "next_page_token": None})
    assert "[red]a?[2J" in run("jobs").stdout


def test_trials_has_a_column_for_each_parameter_that_occurs(fake: FakeService) -> None:
    pruned = trial_json(
        1, state="infeasible", reason="diverged", params={"learning_rate": 10.0, "momentum": 0.9}, values={}
    )
    fake.on("GET /v1/jobs/job_1/trials", {"items": [trial_json(0), pruned], "next_page_token": None})
    header, first, second = run(
        "trials", "job_1", "--filter", "values.loss<1", "--sort", "values.loss"
    ).stdout.splitlines()
    assert header.split() == ["trial", "state", "learning_rate", "batch_size", "momentum", "loss", "duration"]
    assert first.split() == ["0", "completed", "0.01", "64", "0.5", "3.2", "s"]
    assert second.split() == ["1", "infeasible,", "diverged", "10", "0.9", "3.2", "s"]


def test_a_trial_tells_what_its_job_fixes_apart_from_what_was_searched(fake: FakeService) -> None:
    fixed = {"optimizer": "sgd", "epochs": 5, "init_from": ""}
    fake.on("GET /v1/jobs/job_1/trials/0", trial_json(0, fixed_params=fixed))
    lines = run("trial", "job_1", "0").stdout.splitlines()
    assert "optimizer" not in lines[0]
    assert "fixed by the job: optimizer=sgd epochs=5" in lines


def test_json_is_exactly_what_the_service_sent(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1/trials", {"items": [trial_json(0, extra=[1])], "next_page_token": None})
    assert json.loads(run("trials", "job_1", "--json").stdout) == [trial_json(0, extra=[1])]


@pytest.mark.parametrize("arguments", [["jobs", "--json"], ["trials", "job_1", "--json"]])
def test_no_rows_are_an_empty_json_list(fake: FakeService, arguments: list[str]) -> None:
    fake.on("GET /v1/jobs", {"items": [], "next_page_token": None})
    fake.on("GET /v1/jobs/job_1/trials", {"items": [], "next_page_token": None})
    assert json.loads(run(*arguments).stdout) == []


def test_best_without_a_feasible_trial_exits_1(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json())
    fake.on("GET /v1/jobs/job_1/best", {"items": []})
    assert run("best", "job_1").exit_code == 1


def test_control_says_what_is_asked_for_but_not_yet_so(fake: FakeService) -> None:
    fake.on("POST /v1/jobs/job_1/pause", job_json(desired="pause"))
    assert run("pause", "job_1").stdout == "job_1: running, pause asked for\n"
    fake.on("POST /v1/jobs/job_1/cancel", job_json(state="cancelled", desired="cancel", reason="user"))
    assert run("cancel", "job_1").stdout == "job_1: cancelled, user\n"


def test_watch_json_is_one_line_a_change(fake: FakeService) -> None:
    finished = job_json(state="completed", change=10)
    fake.on("GET /v1/jobs/job_1", job_json(), finished)
    fake.on("GET /v1/jobs/job_1/events", event_stream(event_text("job", 10, finished)))
    lines = run("watch", "job_1", "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["running", "completed"]


def test_ctrl_c_while_watching_sends_nothing(fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(), KeyboardInterrupt())
    fake.on("GET /v1/jobs/job_1/events", httpx.Response(406))
    result = run("watch", "job_1")
    assert result.exit_code == 1
    assert "goes on" in result.stderr
    assert {request.method for request in fake.requests} == {"GET"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "nowhere.json"],
        ["jobs", "--limit", "0"],
        ["frobnicate"],
        ["up", "--host", "0.0.0.0"],
        ["api", "--host", "example.org"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_LEASE_S", "soon")
    result = run("migrate")
    assert result.exit_code == 2
    assert "STEPSIZE_LEASE_S" in result.stderr


def test_a_misspelt_setting_is_refused_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_LEASES_S", "3")
    result = run("migrate")
    assert result.exit_code == 2
    assert "STEPSIZE_LEASES_S" in result.stderr
    assert "STEPSIZE_LEASE_S?" in result.stderr


def test_a_misspelt_address_is_not_silently_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPSIZE_SERVER", raising=False)
    monkeypatch.setenv("STEPSIZE_SERVRE", "http://elsewhere:8000")
    result = CliRunner().invoke(app, ["jobs"])
    assert result.exit_code == 2
    assert "STEPSIZE_SERVRE" in result.stderr


COMMANDS = [
    *("up", "api", "worker", "migrate"),
    *("submit", "watch", "jobs", "trials", "best", "pause", "resume", "stop", "cancel", "log", "retry"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"stepsize {command}" in result.stdout or f"root {command}" in result.stdout


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["loss=0.5"], {"values": {"loss": 0.5}}),
        (["--pruned"], {"state": "pruned"}),
        (["--infeasible", "oom"], {"state": "infeasible", "reason": "oom"}),
        (["--failed", "no disk"], {"state": "failed", "error": {"type": "Error", "message": "no disk"}}),
    ],
)
def test_tell_says_how_a_trial_has_ended(fake: FakeService, said: list[str], told: dict[str, object]) -> None:
    fake.on("POST /v1/jobs/job_1/trials/3/complete", trial_json(3))
    assert run("tell", "job_1", "3", "--token", "1", *said).exit_code == 0
    assert fake.bodies() == [{"lease_token": 1, **told}]


@pytest.mark.parametrize(("is_terminal", "is_whole"), [(False, True), (True, False)])
def test_into_a_pipe_an_error_is_not_cut(
    fake: FakeService, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, is_whole: bool
) -> None:
    message = "no such file: " + "folder/" * 40 + "end"
    error = {"type": "ValueError", "message": message}
    failed = trial_json(0, state="failed", reason="error", error=error)
    fake.on("GET /v1/jobs/job_1/trials", {"items": [failed], "next_page_token": None})
    monkeypatch.setattr(printing, "_is_terminal", lambda: is_terminal)
    assert (message in run("trials", "job_1").stdout) is is_whole


def test_what_two_jobs_ran_with_is_shown_and_compared(fake: FakeService) -> None:
    for job_id, torch in (("job_1", "2.12"), ("job_2", "2.13")):
        share = {"id": torch, "n_trials": 1, "first_trial": 0, "provenance": {"packages": {"torch": torch}}}
        fake.on(f"GET /v1/jobs/{job_id}/provenance", {"items": [share], "differences": {}})
    told = run("provenance", "job_1", "job_2").stdout.splitlines()
    assert told[0] == "job_1: 1 trial, the first 0:"
    assert told[-1] == "differs: packages.torch: 2.12, 2.13"
    both = json.loads(run("provenance", "job_1", "job_2", "--json").stdout)
    assert both["jobs"].keys() == {"job_1", "job_2"}
    assert both["differences"] == {"packages.torch": ["2.12", "2.13"]}


def test_a_data_set_is_uploaded_with_its_words(fake: FakeService, tmp_path: Path) -> None:
    (tmp_path / "wine.csv").write_text("x,target\n1,0\n")
    fake.on("POST /v1/datasets", {"name": "wine", "format": "csv", "help": "Red wines."})
    result = run("upload", str(tmp_path / "wine.csv"), "--help-text", "Red wines.")
    assert result.exit_code == 0
    assert fake.requests[0].url.params["help"] == "Red wines."
    assert "Red wines." in result.stdout


def test_jobs_are_sorted_and_told_apart_by_several_labels(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", {"items": [job_json()], "next_page_token": None})
    assert run("jobs", "--sort", "-priority", "--label", "a:1", "--label", "b:2").exit_code == 0
    asked = fake.requests[0].url.params
    assert (asked["sort"], asked.get_list("label")) == ("-priority", ["a:1", "b:2"])
