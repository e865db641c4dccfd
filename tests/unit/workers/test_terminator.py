"""The terminator asks in a process of its own: when, what it makes of the answer, and that nothing is left behind."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepsize.children.child import Child
from stepsize.spec.objective import Direction
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Params, SearchSpace
from stepsize_workers import terminator as module
from stepsize_workers.terminator import Terminator
from tests.waiting import wait_for

SPACE: SearchSpace = {
    "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
    "batch_size": IntParameter(type="int", low=16, high=64, powers_of_two=True),
    "optimizer": CategoricalParameter(type="categorical", choices=["sgd", "adam"]),
    "momentum": FloatParameter(type="float", low=0.0, high=1.0, when={"optimizer": ["sgd"]}),
}


def answering(statement: str) -> Callable[[], Child[Any, Any]]:
    """Return a stand-in for the process that thinks, which does this with the `question` and its `connection`."""
    here = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return lambda: Child("tests.unit.workers.thinking_program", statement, env=here)


def says(gain: float, noise: float) -> str:
    return f"connection.send(({gain}, {noise}))"


def fed(n: int, on_ready: Callable[[], None], direction: Direction = Direction.MINIMIZE) -> Terminator:
    """Return a terminator that has seen n trials."""
    terminator = Terminator(SPACE, direction, on_ready)
    for number in range(n):
        terminator.take_in({"learning_rate": 0.01, "batch_size": 32, "optimizer": "adam"}, 1.0 + number)
    return terminator


@pytest.mark.parametrize(("gain", "noise", "is_met"), [(0.02, 0.1, True), (0.04, 0.1, False)])
def test_a_gain_below_a_share_of_the_noise_ends_the_search(
    gain: float, noise: float, is_met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_start", answering(says(gain, noise)))
    ready = threading.Event()
    terminator = Terminator(SPACE, Direction.MINIMIZE, ready.set)
    for _ in range(20):  # equal values: their spread says nothing about what is a gain
        terminator.take_in({"learning_rate": 0.01, "batch_size": 32, "optimizer": "adam"}, 1.0)
    terminator.consider()
    assert terminator.is_undecided
    assert ready.wait(30.0)
    assert not terminator.is_undecided
    assert terminator.is_met is is_met


def test_too_few_trials_are_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_start", answering(says(0.0, 1.0)))
    terminator = fed(19, lambda: None)
    terminator.consider()
    assert not terminator.is_undecided


def test_a_process_that_fails_ends_nothing_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = threading.Event()
    monkeypatch.setattr(module, "_start", answering("raise SystemExit(3)"))
    terminator = fed(20, ready.set)
    terminator.consider()
    assert ready.wait(30.0)
    assert not terminator.is_met
    monkeypatch.setattr(module, "_start", answering(says(0.0, 1.0)))
    for number in range(5):
        terminator.take_in({"learning_rate": 0.01, "batch_size": 32, "optimizer": "adam"}, 100.0 + number)
    terminator.consider()
    wait_for(lambda: terminator.is_met)


def test_shutting_it_ends_a_thought_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Child[Any, Any]] = []
    start = answering("import time; time.sleep(600)")

    def remembering() -> Child[Any, Any]:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(module, "_start", remembering)
    terminator = fed(20, lambda: None)
    terminator.consider()
    wait_for(lambda: started)
    begun = time.monotonic()
    terminator.shut()
    wait_for(lambda: not started[0].is_alive)
    assert time.monotonic() - begun < 5.0


def test_a_configuration_is_a_point_of_the_unit_cube() -> None:
    terminator = fed(0, lambda: None)
    given: Params = {"learning_rate": 0.01, "batch_size": 64, "optimizer": "adam"}
    # Half of the decades; the last third of three sizes, in its middle; not sgd but adam; no momentum under adam.
    assert terminator._point(given) == pytest.approx([0.5, 5 / 6, 0.0, 1.0, 0.5])
