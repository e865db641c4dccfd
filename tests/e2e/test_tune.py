"""A function tuned where it is: a real service, real processes, and what becomes of a search when they are killed."""

import math
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import JsonValue

from stepsize import Client, Diverged, Float, TuneError, TuneTrial, tune
from stepsize.tuning import NameTakenError, TrainingFailedError, local_service
from stepsize.tuning.seat import note_interrupt, taken_seat
from tests.waiting import wait_for

SPACE = {"learning_rate": Float(1e-5, 1.0, log=True)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service that a first call starts; ended here, and not with the test session."""
    data_dir = tmp_path_factory.mktemp("tune")
    yield local_service.local_service(data_dir)
    local_service._end_all()
    local_service._running.clear()


@pytest.fixture
def name() -> str:
    return f"search-{uuid4().hex[:8]}"


def valley(trial: TuneTrial) -> float:
    return (math.log10(float(trial["learning_rate"])) + 2) ** 2


def test_a_function_is_tuned_and_calling_again_returns_at_once(
    server: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []

    def train(trial: TuneTrial) -> float:
        trained.append(trial.number)
        return valley(trial)

    result = tune(train, SPACE, name=name, server=server, max_trials=5, sampler={"name": "random", "seed": 0})
    assert result.page in capsys.readouterr().err
    assert trained == [0, 1, 2, 3, 4]
    assert result.best is not None
    assert result.best.values["loss"] == min(trial.values["loss"] for trial in result.trials())
    assert name in repr(result)
    assert result.page in repr(result)
    assert result.page in result._repr_html_()
    with Client(server) as client:
        (share,) = client.provenance(result.job.id).items
    assert {trial.provenance for trial in result.trials()} == {share.id}
    assert share.provenance.trainer is not None
    assert share.provenance.trainer.endswith("train")
    assert share.provenance.source_hash
    assert tune(train, SPACE, name=name, server=server, max_trials=5, sampler="random").job.id == result.job.id
    assert len(trained) == 5, "nothing was left to do"
    assert tune(train, SPACE, name=name, server=server, max_trials=6, sampler="random").job.id == result.job.id
    assert trained == [0, 1, 2, 3, 4, 5], "a larger budget goes on"


def test_another_search_under_the_same_name_is_refused_with_what_differs(server: str, name: str) -> None:
    tune(valley, SPACE, name=name, server=server, max_trials=2, progress=False)
    wider = {"learning_rate": Float(1e-6, 1.0, log=True)}
    with pytest.raises(NameTakenError, match=r"search_space\.learning_rate: was .*1e-05.* now .*1e-06"):
        tune(valley, wider, name=name, server=server, max_trials=2)
    from_zero = {"learning_rate": Float(0, 1.0)}
    with pytest.raises(NameTakenError, match=r'now \{"type": "float", "low": 0.0, "high": 1.0\}'):
        tune(valley, from_zero, name=name, server=server, max_trials=2)
    with pytest.raises(NameTakenError, match=r"objectives: was .*loss.* now .*accuracy"):
        tune(valley, SPACE, name=name, server=server, max_trials=2, maximize="accuracy")


def test_each_way_to_end_is_told_as_what_it_is(server: str, name: str) -> None:
    def train(trial: TuneTrial) -> object:
        match trial.number:
            case 0:
                return math.nan
            case 1:
                assert trial.report(1, math.inf)
                return 1.0
            case 2:
                raise Diverged("exploded", step=3)
            case 3:
                raise MemoryError
            case 4:
                raise ValueError("no such layer")
            case 5:
                return "excellent"
            case 6:
                trial.report(1, 0.5)
                return None
            case _:
                return {"loss": 1.0, "accuracy": 0.5}

    result = tune(train, SPACE, name=name, server=server, max_trials=8, progress=False)  # type: ignore[arg-type]
    trials = list(result.trials())
    assert [(trial.state, trial.reason) for trial in trials] == [
        *3 * [("infeasible", "diverged")],
        ("infeasible", "oom"),
        *2 * [("failed", "error")],
        *2 * [("completed", None)],
    ]
    assert trials[4].error is not None
    assert (trials[4].error.type, trials[4].error.message) == ("ValueError", "no such layer")
    assert trials[6].values == {"loss": 0.5}
    assert trials[7].values == {"loss": 1.0, "accuracy": 0.5}


def test_an_exception_is_raised_where_asked_for_and_the_mended_function_goes_on(server: str, name: str) -> None:
    def broken(trial: TuneTrial) -> float:
        raise KeyError("data")

    with pytest.raises(KeyError, match="data"):
        tune(broken, SPACE, name=name, server=server, max_trials=3, raises=True)
    with pytest.raises(TrainingFailedError, match="KeyError: 'data'"):
        tune(broken, SPACE, name=name, server=server, max_trials=3, progress=False)
    result = tune(valley, SPACE, name=name, server=server, max_trials=3, progress=False)
    assert [trial.state for trial in result.trials()] == ["completed"] * 3


def test_hopeless_trials_are_pruned_at_the_very_report(server: str, name: str) -> None:
    n_reports: list[int] = []

    def train(trial: TuneTrial) -> float | None:
        loss = float(trial.number)  # each worse than all before it
        for step in range(1, 6):
            if trial.report(step, loss):
                n_reports.append(step)
                return None
        n_reports.append(5)
        return loss

    pruner: dict[str, JsonValue] = {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 0}
    result = tune(train, SPACE, name=name, server=server, max_trials=4, pruner=pruner, progress=False)
    assert [trial.state for trial in result.trials()] == ["completed", "completed", "pruned", "pruned"]
    assert n_reports[:2] == [5, 5]
    assert max(n_reports[2:]) < 5


def test_ctrl_c_leaves_a_job_that_the_next_call_goes_on_with(server: str, name: str) -> None:
    attempts: list[tuple[int, int]] = []

    def train(trial: TuneTrial) -> float:
        attempts.append((trial.number, trial.attempt))
        trial.report(1, float(len(attempts)))  # another value each time: what the lost attempt said is forgotten
        if attempts == [(0, 1), (1, 1)]:
            raise KeyboardInterrupt
        return valley(trial)

    with pytest.raises(KeyboardInterrupt, match="stopped; the same call goes on with job") as stopped:
        tune(train, SPACE, name=name, server=server, max_trials=3, progress=False)
    assert stopped.value.__cause__ is None
    assert stopped.value.__suppress_context__
    tune(train, SPACE, name=name, server=server, max_trials=3, progress=False)
    assert attempts == [(0, 1), (1, 1), (1, 1), (2, 1)], "at once, and it has lost no attempt"


PROGRAM = """
import os, sys, time
from stepsize import Float, tune

def train(trial):
    with open(sys.argv[3], "a") as told:
        told.write(f"{trial.number} {trial.attempt} {os.getpid()}\\n")
    for step in range(1, 4):
        time.sleep(float(sys.argv[4]))
        if trial.report(step, (trial["learning_rate"] - 0.1) ** 2 + os.getpid() * 1e-9):
            return None
    return (trial["learning_rate"] - 0.1) ** 2

result = tune(train, {"learning_rate": Float(1e-5, 1.0, log=True)}, name=sys.argv[2], server=sys.argv[1],
              max_trials=4, processes=int(sys.argv[5]), sampler={"name": "tpe", "seed": 7})
print([trial.params["learning_rate"] for trial in result.trials()])
"""


class Program:
    """A script that tunes, in a process of its own."""

    def __init__(self, folder: Path, server: str, name: str) -> None:
        self.tally = folder / "tally.txt"
        self.tally.touch()
        self._script = folder / "script.py"
        self._script.write_text(textwrap.dedent(PROGRAM))
        self._server, self._name = server, name

    def start(self, *, step_s: float, processes: int = 1) -> subprocess.Popen[str]:
        arguments = [self._server, self._name, str(self.tally), str(step_s), str(processes)]
        command = [sys.executable, str(self._script), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def lines(self) -> list[list[int]]:
        """Return what has been begun: trial, attempt, process."""
        return [[int(word) for word in line.split()] for line in self.tally.read_text().splitlines()]


@pytest.mark.slow
def test_a_search_killed_amid_a_trial_goes_on_and_equals_one_that_was_not(
    server: str, name: str, tmp_path: Path
) -> None:
    program = Program(tmp_path, server, name)
    with program.start(step_s=0.05) as process:
        wait_for(lambda: len(program.lines()) == 2, timeout_s=30)
        process.kill()
    with program.start(step_s=0.0) as again:
        found, _ = again.communicate(timeout=30)
    assert again.returncode == 0
    begun = [line[:2] for line in program.lines()]
    assert begun == [[0, 1], [1, 1], [1, 2], [2, 1], [3, 1]], "the trial that was lost, and none that was done"
    whole = tune(
        lambda trial: (float(trial["learning_rate"]) - 0.1) ** 2,
        SPACE,
        name=f"{name}-whole",
        server=server,
        max_trials=4,
        sampler={"name": "tpe", "seed": 7},
        progress=False,
    )
    assert found.strip() == str([trial.params["learning_rate"] for trial in whole.trials()])


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_ends_a_program_with_a_sentence_and_no_traceback(
    server: str, name: str, tmp_path: Path, processes: int
) -> None:
    program = Program(tmp_path, server, name)
    with program.start(step_s=0.5, processes=processes) as process:
        wait_for(lambda: len(program.lines()) >= processes, timeout_s=60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT, "as a shell expects of what Ctrl-C ended"
    assert "Traceback" not in said
    assert re.search(r"stopped; the same call goes on with job job_\w+, the trial that was under way first\n$", said)


@pytest.mark.slow
def test_a_process_of_several_that_is_killed_is_replaced(server: str, name: str, tmp_path: Path) -> None:
    program = Program(tmp_path, server, name)
    with program.start(step_s=0.2, processes=2) as process:
        wait_for(lambda: len(program.lines()) >= 2, timeout_s=30)
        pids = {line[2] for line in program.lines()}
        assert process.pid not in pids
        os.kill(program.lines()[0][2], signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == 0
    number = program.lines()[0][0]
    assert [number, 2] in [line[:2] for line in program.lines()], "its trial was begun anew"
    assert len({line[2] for line in program.lines()}) == 3


def test_without_a_name_a_shared_service_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="name= is needed"):
        tune(valley, SPACE, server=server)


def test_without_the_server_extra_it_says_which_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPSIZE_SERVER", raising=False)
    monkeypatch.setattr(local_service, "missing_extras", lambda _wanted: ["server", "worker"])
    with pytest.raises(ImportError, match=r"pip install 'stepsize\[server,worker\]'"):
        tune(valley, SPACE, data_dir=tmp_path)


def test_a_service_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPSIZE_SERVER", raising=False)
    monkeypatch.setenv("STEPSIZE_LEASE_S", "soon")
    with pytest.raises(TuneError, match="STEPSIZE_LEASE_S"):
        tune(valley, SPACE, data_dir=tmp_path)


def test_a_seat_is_its_holders_and_then_its_successors() -> None:
    job_id = f"job-{uuid4().hex}"
    with taken_seat(job_id) as first:
        with taken_seat(job_id) as second:
            assert first != second
        with taken_seat(f"{job_id}-other") as other:
            assert other not in (first, second)
        note_interrupt(job_id)  # the second's seat is free, the first's is not
    with taken_seat(job_id) as successor:
        assert successor == first
        with taken_seat(job_id) as other:
            assert (other.client_id, other.was_interrupted) == (second.client_id, True)


def test_an_interrupt_is_known_to_the_next_at_the_seat_and_to_no_later_one() -> None:
    job_id = f"job-{uuid4().hex}"
    with taken_seat(job_id) as first:
        assert not first.was_interrupted
    note_interrupt(job_id)
    seats = []
    for _ in range(2):
        with taken_seat(job_id) as seat:
            seats.append((seat.client_id, seat.was_interrupted))
    assert seats == [(first.client_id, True), (first.client_id, False)]


@pytest.mark.parametrize(
    ("argument", "meant"),
    [("n_trials", "max_trials"), ("maxtrials", "max_trials"), ("study_name", "name"), ("q", "known: ")],
)
def test_an_argument_there_is_not_is_refused_with_the_one_that_is_meant(argument: str, meant: str) -> None:
    wrong: dict[str, Any] = {argument: 3}
    with pytest.raises(TypeError, match=rf"no argument '{argument}'; .*{meant}"):
        tune(lambda trial: None, {}, **wrong)
