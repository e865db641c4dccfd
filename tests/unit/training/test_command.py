"""Programs as trainers: parameters in, reports out, and nothing of them left behind."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Assignment, Ended, Event, Outcome, Reported, TrialKey
from stepsize_workers.engines.local import LocalEngine, Preload
from stepsize_workers.trainers.base import Diverged, Params, Trainer
from stepsize_workers.trainers.command import CommandFailedError, CommandFileError, ReportNotTakenError, read_commands
from stepsize_workers.trainers.registry import extra_cards
from tests.fakes import RecordingContext
from tests.waiting import wait_for
from tests.worker_process import wait_until_gone

TOML = """
[trainers.program]
command = [{python}, "-u", "program.py", "--rate={{rate}}"]
help = "A program for tests."
directory = "code"
metrics = {{loss = "minimize", seconds = "minimize"}}
search_space = {{rate = {{type = "float", low = 0.1, high = 1.0}}}}
max_step_param = "steps"
grace_s = {grace_s}

[trainers.program.params]
rate = {{type = "float", default = 0.5, low = 0.0, high = 1.0, help = "How fast."}}
steps = {{type = "int", default = 3, low = 1, high = 1000, help = "How long."}}
mode = {{type = "str", default = "a", choices = ["a", "b"], help = "How."}}
deep = {{type = "bool", default = true, help = "Whether."}}
"""

REPORTS = """
    import json, os, sys, time
    for step in range(1, int(os.environ["STEPSIZE_PARAM_STEPS"]) + 1):
        print("epoch", step)
        print(json.dumps({"step": step, "values": {"loss": 1 / step}}))
"""

ENDLESS = """
    import json, os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(json.dumps({"step": 1, "values": {"loss": child.pid, "seconds": os.getpid()}}))
    step = 1
    while True:
        time.sleep(0.02)
        step += 1
        print(json.dumps({"step": step, "values": {"loss": 1.0}}))
"""


def write(directory: Path, program: str, *, grace_s: float = 5.0) -> Path:
    """Write a file of commands and its program."""
    (directory / "code").mkdir(parents=True)
    (directory / "code" / "program.py").write_text(dedent(program))
    path = directory / "commands.toml"
    path.write_text(TOML.format(python=json.dumps(sys.executable), grace_s=grace_s))
    return path


def make(directory: Path, program: str, *, grace_s: float = 5.0) -> type[Trainer[Params]]:
    return read_commands(write(directory, program, grace_s=grace_s))["program"]


def run(
    trainer: type[Trainer[Params]], directory: Path, *, stop_at_step: int | None = None, **params: Scalar
) -> RecordingContext[Params]:
    context = RecordingContext(
        params=trainer.Params.model_validate(params), directory=directory, stop_at_step=stop_at_step, seed=7
    )
    trainer().train(context)
    return context


def test_its_card_says_what_the_file_says(tmp_path: Path) -> None:
    cards, problems = extra_cards([str(write(tmp_path, ""))])
    assert problems == []
    (card,) = cards
    assert (card.name, card.version, card.help, card.max_step_param) == (
        "program",
        "1",
        "A program for tests.",
        "steps",
    )
    rate = card.params_schema["properties"]["rate"]
    assert (rate["minimum"], rate["maximum"], rate["description"]) == (0, 1, "How fast.")
    assert card.params_schema["properties"]["mode"]["enum"] == ["a", "b"]
    assert card.default_objectives[0].metric == "loss"


def test_yaml_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "commands.yaml"
    path.write_text(
        """
        trainers:
          program:
            command: [echo, hello]
            help: Says hello.
            params: {rate: {type: float, default: 0.5, low: 0, high: 1, help: How fast.}}
            metrics: {loss: minimize}
            search_space: {rate: {type: float, low: 0.1, high: 1.0}}
        """
    )
    assert list(read_commands(path)) == ["program"]


def test_reports_are_passed_on_and_the_rest_is_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = run(make(tmp_path, REPORTS), tmp_path)
    assert context.reports == [(1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": 1 / 3})]
    assert capsys.readouterr().out == "epoch 1\nepoch 2\nepoch 3\n"


def test_parameters_come_by_argument_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_DATABASE_URL", "postgresql://user:secret@host/db")
    program = """
        import json, os, sys
        seen = {"argv": sys.argv[1:], "cwd": os.getcwd(), "file": json.load(open(os.environ["STEPSIZE_PARAMS_FILE"]))}
        seen |= {name: value for name, value in os.environ.items() if name.startswith("STEPSIZE_")}
        json.dump(seen, open(os.environ["STEPSIZE_ARTIFACTS_DIR"] + "/seen.json", "w"))
    """
    context = run(make(tmp_path, program), tmp_path, rate=0.25, deep=False)
    seen = json.loads(context.artifact("seen.json").read_text())
    assert seen["argv"] == ["--rate=0.25"]
    assert seen["cwd"] == str(tmp_path / "code")
    assert seen["file"] == {"rate": 0.25, "steps": 3, "mode": "a", "deep": False}
    names = ("PARAM_RATE", "PARAM_DEEP", "SEED", "DEVICE", "ATTEMPT")
    assert [seen[f"STEPSIZE_{name}"] for name in names] == ["0.25", "false", "7", "cpu", "1"]
    assert "secret" not in json.dumps(seen)


def test_a_verdict_ends_it_politely(tmp_path: Path) -> None:
    program = """
        import json, os, signal, sys, time
        def end(*_):
            open(os.environ["STEPSIZE_ARTIFACTS_DIR"] + "/saved", "w").close()
            sys.exit(1)
        signal.signal(signal.SIGTERM, end)
        print(json.dumps({"step": 1, "values": {"loss": 1}}))
        time.sleep(600)
    """
    context = run(make(tmp_path, program), tmp_path, stop_at_step=1)
    assert context.artifact("saved").exists()
    assert len(context.reports) == 1


def test_a_program_deaf_to_the_stop_is_killed_with_all_it_started(tmp_path: Path) -> None:
    deaf = "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + ENDLESS
    started = time.monotonic()
    context = run(make(tmp_path, deaf, grace_s=0.5), tmp_path, stop_at_step=3)
    assert time.monotonic() - started < 10
    pids = [int(pid) for pid in context.reports[0][1].values()]
    wait_for(lambda: not any(map(_is_alive, pids)))  # a killed process is gone once it is its turn
    assert [step for step, _ in context.reports] == [1, 2, 3]


def test_it_stops_between_reports(tmp_path: Path) -> None:
    trainer = make(tmp_path, "    import time; time.sleep(600)")
    context = RecordingContext(params=trainer.Params(), directory=tmp_path, stop_after_polls=2)
    started = time.monotonic()
    trainer().train(context)
    assert time.monotonic() - started < 10


def test_a_failure_comes_with_the_end_of_its_standard_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"(?s)exit code 1.*no such thing"):
        run(make(tmp_path, "    raise ValueError('no such thing')"), tmp_path)


def test_a_death_by_signal_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"signal 9 \(SIGKILL\): neither this worker"):
        run(make(tmp_path, "    import os; os.kill(os.getpid(), 9)"), tmp_path)


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("""    print('{"infeasible": "oom", "message": "too wide"}')""", MemoryError),
        ("    raise MemoryError('too wide')", MemoryError),
        ("""    print('{"infeasible": "diverged"}')""", Diverged),
        ("""    print('{"step": 1, "values": {"loss": NaN}}'); import time; time.sleep(600)""", Diverged),
    ],
)
def test_what_is_infeasible_is_told_from_what_failed(tmp_path: Path, program: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(make(tmp_path, program), tmp_path)


def test_what_it_leaves_running_does_not_keep_the_trial_open(tmp_path: Path) -> None:
    program = """
        import json, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(json.dumps({"step": 1, "values": {"loss": child.pid}}))
    """
    started = time.monotonic()
    context = run(make(tmp_path, program), tmp_path)
    assert time.monotonic() - started < 10
    wait_for(lambda: not _is_alive(int(context.reports[0][1]["loss"])))


def test_nothing_of_it_outlives_its_slot_even_by_kill_9(tmp_path: Path) -> None:
    path = write(tmp_path, ENDLESS)
    engine = LocalEngine([SlotRecord(0, "cpu", 0.0, 1)], Preload(modules=[str(path)]))
    try:
        key = TrialKey("job", 0, 1)
        assignment = Assignment(key, "program", {}, 0, tmp_path / "0", tmp_path, waits_for_verdict=False)
        engine.start(engine.slots[0], [assignment])
        events: list[Event] = []
        while not any(isinstance(event, Reported) for event in events):
            events += engine.poll(0.05)
            assert not any(isinstance(event, Ended) for event in events), events
        (first, *_) = (event for event in events if isinstance(event, Reported))
        processes = [psutil.Process(int(first.values[name])) for name in ("loss", "seconds")]
        os.kill(engine.slot_pids[0], signal.SIGKILL)
        assert not wait_until_gone(processes, timeout_s=1.0)
        while not any(isinstance(event, Ended) for event in events):
            events += engine.poll(0.05)
        assert [event.outcome for event in events if isinstance(event, Ended)] == [Outcome.LOST]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("{{rate}}", "{{speed}}"), "no parameter 'speed'"),
        (("low = 0.0, high = 1.0, help", "help"), "needs low and high"),
        (("default = 0.5", "default = 5"), "less than or equal to 1"),
        (('loss = "minimize", seconds = "minimize"', ""), "at least 1 item"),
        (('help = "A program for tests."', 'helpp = "x"'), "helpp"),
        (("[trainers.program]", "[trainers.program"), "Expected"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = tmp_path / "commands.toml"
    old, new = change
    assert old in TOML
    path.write_text(TOML.replace(old, new).format(python=json.dumps(sys.executable), grace_s=1))
    with pytest.raises(CommandFileError, match=words):
        read_commands(path)
    assert extra_cards([str(path)])[0] == []


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("ending", ["", "; raise SystemExit(3)"])
def test_lines_that_cant_be_taken_are_quoted_where_the_end_is_told(tmp_path: Path, ending: str) -> None:
    program = f"""
    print('{{"step": 1, "values": {{"loss": 0.9}}}}')
    for step in range(2, 7):
        print('{{"step": "%d", "values": {{"loss": 0.1}}}}' % step)
    print("done"){ending}
    """
    with pytest.raises((ReportNotTakenError, CommandFailedError)) as told:
        run(make(tmp_path, program), tmp_path)
    words = "\n".join([str(told.value), *getattr(told.value, "__notes__", [])])
    assert """{"step": "2", "values": {"loss": 0.1}} (step is '2', not a whole number); """ in words
    assert words.endswith("and 2 more")


@pytest.mark.parametrize("value", ["nan", "-inf", "NaN"])
def test_a_program_that_prints_no_number_has_diverged(tmp_path: Path, value: str) -> None:
    program = f"""
    print('{{"step": 1, "values": {{"loss": 0.1}}}}')
    print('{{"step": 2.0, "values": {{"loss": {value}}}}}')
    """
    with pytest.raises(Diverged):
        run(make(tmp_path, program), tmp_path)
