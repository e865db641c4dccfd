"""Children and who asks them: real processes, that answer, die, hang and are ended."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from stepsize.children.child import Child, thinking_environment
from stepsize.children.correspondent import ChildDiedError, ChildEndedError, ChildSilentError, Correspondent
from stepsize.single_flight import SingleFlight
from tests.waiting import wait_for

Echo = Child[Any, Any]


def start() -> Echo:
    return Child("tests.unit.children.echo", env={**thinking_environment(), "PYTHONPATH": str(Path.cwd())})


def saying(message: object, limit_s: float | None = None) -> Callable[[Echo], Any]:
    def exchange(child: Echo) -> Any:
        child.send(message)
        return child.receive(limit_s)

    return exchange


@pytest.fixture
def echo() -> Iterator[Correspondent[Any, Any]]:
    echo = Correspondent(start, name="echo", idle_s=None, max_deaths=2)
    yield echo
    echo.close()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_questions_are_answered_in_order_by_one_child(echo: Correspondent[Any, Any]) -> None:
    assert echo.pid is None, "it is started by the first question"
    answers = [echo.ask(saying(n)).result(30) for n in range(3)]
    assert answers == [(echo.pid, n) for n in range(3)]


def test_a_child_that_dies_is_replaced_and_asked_again(echo: Correspondent[Any, Any]) -> None:
    first, _ = echo.ask(saying("first")).result(30)
    psutil.Process(first).kill()
    again, _ = echo.ask(saying("again")).result(30)
    assert again != first


def test_a_question_that_kills_is_given_up_and_others_are_answered(echo: Correspondent[Any, Any]) -> None:
    with pytest.raises(ChildDiedError):
        echo.ask(saying("die")).result(30)
    assert echo.ask(saying("well")).result(30)[1] == "well"


def test_a_child_that_takes_too_long_is_killed(echo: Correspondent[Any, Any]) -> None:
    pid, _ = echo.ask(saying("before")).result(30)
    with pytest.raises(ChildSilentError):
        echo.ask(saying("sleep", 0.1)).result(30)
    assert is_gone(pid)


def test_an_error_of_the_exchange_is_the_answers(echo: Correspondent[Any, Any]) -> None:
    def fail(child: Echo) -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError):
        echo.ask(fail).result(30)


def test_ending_refuses_what_is_under_way_and_what_comes(echo: Correspondent[Any, Any]) -> None:
    pid, _ = echo.ask(saying("before")).result(30)
    asked: list[Future[Any]] = [echo.ask(saying("sleep")), echo.ask(saying("behind it"))]
    began = time.monotonic()
    echo.end()
    for answer in [*asked, echo.ask(saying("later"))]:
        with pytest.raises(ChildEndedError):
            answer.result(30)
    assert time.monotonic() - began < 5.0
    echo.close()
    assert is_gone(pid)
    assert echo.pid is None


def test_an_idle_child_is_ended_and_a_question_starts_another() -> None:
    echo = Correspondent(start, name="echo", idle_s=0.1, max_deaths=1)
    first, _ = echo.ask(saying(1)).result(30)
    wait_for(lambda: echo.pid is None)
    wait_for(lambda: is_gone(first))
    assert echo.ask(saying(2)).result(30)[1] == 2
    echo.close()


def test_a_child_ends_with_all_it_has_started(echo: Correspondent[Any, Any]) -> None:
    grandchild = echo.ask(saying("start")).result(30)
    echo.close()
    wait_for(lambda: is_gone(grandchild))


def test_a_child_that_thinks_has_one_thread_and_no_gpu(echo: Correspondent[Any, Any]) -> None:
    environment = echo.ask(saying("environment")).result(30)
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_a_child_ends_within_a_second_of_a_parent_that_is_killed() -> None:
    script = """
        from tests.unit.children.test_correspondent import saying, start
        child = start()
        print(saying("hello")(child)[0], flush=True)
        saying("sleep")(child)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())}) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        wait_for(lambda: is_gone(pid), timeout_s=1.0)


def test_who_joins_a_flight_gets_its_answer_and_the_next_flight_is_another() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    flight, is_first = flights.join("a")
    joined, is_second_first = flights.join("a")
    assert (is_first, is_second_first) == (True, False)
    assert flights.join("b")[1], "another question is another flight"
    threading.Timer(0.05, flight.set_result, [7]).start()
    assert joined.result(5) == 7
    assert flights.join("a")[1]
