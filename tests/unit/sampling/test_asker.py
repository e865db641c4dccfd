"""The process in which heavy samplers ask: it ends with its worker, and losing it loses nothing."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from stepsize.domain.trial import TrialState
from stepsize_workers.search import Proposal, Search
from tests.builders import make_spec


class Asked:
    """A search whose answers are waited for."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.search = Search("job", make_spec(sampler={"name": "nsgaii", "seed": 0}), self.ready.set)

    def propose(self, number: int) -> Proposal:
        while (proposal := self.search.propose(number)) is None:
            assert self.search.is_thinking
            assert self.ready.wait(30.0)
            self.ready.clear()
        return proposal


@pytest.fixture
def asked() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    asked.search.shut()


def askers(parent: int | None = None) -> list[psutil.Process]:
    children = psutil.Process(parent).children(recursive=True)
    return [child for child in children if "stepsize_workers.sampling.replica" in child.cmdline()]


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # whoever adopts it may be slow to bury it
    except psutil.NoSuchProcess:
        return True


def wait_until(holds: Callable[[], bool], *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_the_answer_comes_later_and_is_announced(asked: Asked) -> None:
    assert asked.search.propose(0) is None
    assert asked.search.is_thinking
    assert asked.ready.wait(30.0)
    assert not asked.search.is_thinking
    assert asked.search.propose(0) is not None


def test_an_answer_for_another_trial_is_discarded(asked: Asked) -> None:
    first = asked.propose(0)
    asked.search.discard(first)
    assert asked.search.propose(1) is None
    assert asked.propose(0).params == first.params


def test_a_lost_process_is_replaced_and_proposes_the_same(asked: Asked) -> None:
    first = asked.propose(0)
    asked.search.open(0, first)
    asked.search.close(0, TrialState.COMPLETED, [1.0])
    undisturbed = asked.propose(1)
    asked.search.discard(undisturbed)
    (process,) = askers()
    process.kill()
    assert asked.propose(1).params == undisturbed.params


def test_shutting_ends_the_process_in_the_middle_of_an_ask(asked: Asked) -> None:
    asked.search.propose(0)
    wait_until(lambda: bool(askers()), within_s=10.0)
    asked.search.shut()
    assert not askers()


def test_the_process_ends_within_a_second_of_its_worker() -> None:
    script = """
        import time
        from tests.builders import make_spec
        from stepsize_workers.search import Search
        search = Search("job", make_spec(sampler={"name": "nsgaii", "seed": 0}))
        while search.propose(0) is None:
            time.sleep(0.01)
        print("answered", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=os.getcwd()) as worker:  # noqa: PTH109
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"answered\n"
        (process,) = askers(worker.pid)
        worker.kill()
        worker.wait()
        wait_until(lambda: is_gone(process), within_s=1.0)
