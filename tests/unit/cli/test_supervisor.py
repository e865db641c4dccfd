"""The supervisor with real processes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepsize.cli.supervisor import Supervisor
from tests.waiting import wait_for

Start = Callable[[str], Supervisor]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a Python snippet under a supervisor; it is stopped with the test."""
    started: list[Supervisor] = []

    def start_one(code: str) -> Supervisor:
        env = {**os.environ, "FOLDER": str(tmp_path)}
        supervisor = Supervisor([sys.executable, "-c", code], env=env, first_pause_s=0.01)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start_one
    for supervisor in started:
        supervisor.stop(timeout_s=0)


ONE_LINE_A_START = """
import os, pathlib, time
(pathlib.Path(os.environ["FOLDER"]) / str(os.getpid())).touch()
"""


def test_a_process_that_dies_is_started_again(start: Start, tmp_path: Path) -> None:
    start(ONE_LINE_A_START)
    wait_for(lambda: len(list(tmp_path.iterdir())) >= 3)


def test_a_killed_process_is_started_again(start: Start, tmp_path: Path) -> None:
    supervisor = start(ONE_LINE_A_START + "time.sleep(60)")
    wait_for(lambda: len(list(tmp_path.iterdir())) == 1)
    first = supervisor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    assert supervisor.pid != first


def test_stop_lets_the_process_end_in_its_own_way(start: Start, tmp_path: Path) -> None:
    end_in_order = """
import signal
def bye(*_):
    (pathlib.Path(os.environ["FOLDER"]) / "bye").touch()
    raise SystemExit
signal.signal(signal.SIGTERM, bye)
(pathlib.Path(os.environ["FOLDER"]) / "ready").touch()
time.sleep(60)
"""
    supervisor = start("import os, pathlib, time\n" + end_in_order)
    wait_for((tmp_path / "ready").exists)
    supervisor.stop(timeout_s=20)
    assert (tmp_path / "bye").exists()
    assert supervisor.pid is None


def test_a_process_that_ignores_stop_is_killed(start: Start, tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ONE_LINE_A_START + "time.sleep(60)"
    supervisor = start(deaf)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 1)
    pid = supervisor.pid
    assert pid is not None
    supervisor.stop(timeout_s=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_stop_before_start_starts_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor([sys.executable, "-c", ONE_LINE_A_START], env={"FOLDER": str(tmp_path)})
    supervisor.stop(timeout_s=1)
    supervisor.start()
    supervisor.stop(timeout_s=20)
    assert list(tmp_path.iterdir()) == []
