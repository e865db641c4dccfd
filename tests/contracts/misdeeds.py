"""A trainer that misbehaves in as many ways as there are; loaded by slots as an extra module.

A new way is a function here: the engine's contract and the fuzz of whole workers run over all of them.
"""

import ctypes
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, SearchSpace
from stepsize_workers.trainers.base import Params, Trainer, TrialContext

Context = TrialContext["MisdeedParams"]
Deed = Callable[[Any, random.Random], None]
DEEDS: dict[str, Deed] = {}
FORGIVEN = frozenset(
    {
        "fork_that_comes_back", "fork_that_reports", "threads_that_report_a_lot", "exit_zero", "close_streams",
        "replace_streams", "leave_alarm", "leave_thread", "leave_fork", "leave_handlers", "leave_limits",
        "leave_directory", "leave_many_files", "odd_files", "print_a_lot", "print_bytes", "orphan", "whole_float_steps",
        "late_thread_reports", "huge_report",
    }
)  # fmt: skip
"""What a trial may do and complete all the same."""
DEADLY = frozenset({"exit_process", "kill_itself", "terminate_itself", "segfault", "abort", "fork_and_die"})
"""What ends its process."""
ENDLESS = frozenset({"stop_itself"})
"""What only a time limit ends."""


class MisdeedParams(Params):
    """Which deed."""

    deed: str = "exit_zero"
    """One of `DEEDS`."""
    x: float = 0.5
    """Searched, for no effect."""


class Misbehaving(Trainer[MisdeedParams]):
    """Reports, does its deed, and reports again if it can."""

    name = "misbehaving"
    version = "1"
    help = "Misbehaves as it is told."
    Params = MisdeedParams
    metrics = (Metric(name="loss", direction=Direction.MINIMIZE),)
    step_unit = "step"
    default_search_space: ClassVar[SearchSpace] = {"x": FloatParameter(type="float", low=0.0, high=1.0)}
    default_objectives = (Objective(metric="loss", direction=Direction.MINIMIZE),)

    def train(self, context: TrialContext[MisdeedParams]) -> None:
        """Do it."""
        context.report(1, {"loss": 1.0})
        DEEDS[context.params.deed](context, random.Random(context.seed))
        context.report(1000, {"loss": 0.5})


def deed(function: Deed) -> Deed:
    """Register a way to misbehave."""
    DEEDS[function.__name__] = function
    return function


def _name(rng: random.Random) -> str:
    return "".join(rng.choice("ab \t\n\"'\\{}[]:,;.%$\x01\x7fé漢🙂\u202e") for _ in range(rng.randint(1, 60)))


# -- ends ----------------------------------------------------------------------------------------------------------


@deed
def exit_zero(context: Context, rng: random.Random) -> None:
    code: list[int | None] = [0, None]
    sys.exit(rng.choice(code))


@deed
def exit_with_words(context: Context, rng: random.Random) -> None:
    code: list[int | str] = [3, "some words", "\ud800\0"]
    sys.exit(rng.choice(code))


@deed
def interrupt(context: Context, rng: random.Random) -> None:
    raise rng.choice([KeyboardInterrupt, GeneratorExit])


@deed
def exit_process(context: Context, rng: random.Random) -> None:
    os._exit(rng.choice([0, 1, 255]))


@deed
def kill_itself(context: Context, rng: random.Random) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@deed
def terminate_itself(context: Context, rng: random.Random) -> None:
    number = rng.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN])
    signal.signal(number, signal.SIG_DFL)  # under nohup, SIGHUP is ignored by all that it starts
    os.kill(os.getpid(), number)


@deed
def stop_itself(context: Context, rng: random.Random) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


@deed
def segfault(context: Context, rng: random.Random) -> None:
    ctypes.string_at(0)


@deed
def abort(context: Context, rng: random.Random) -> None:
    os.abort()


@deed
def fork_and_die(context: Context, rng: random.Random) -> None:
    if os.fork() == 0:
        if rng.random() < 0.5:
            os.setsid()
        time.sleep(20)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


# -- exceptions ----------------------------------------------------------------------------------------------------


@deed
def odd_exception(context: Context, rng: random.Random) -> None:
    raise type("\ud800Odd\0" * 100, (Exception,), {})("\ud800 \0 " + "x" * 100_000)


@deed
def exception_without_words(context: Context, rng: random.Random) -> None:
    class Mute(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    raise Mute


@deed
def deep_recursion(context: Context, rng: random.Random) -> None:
    deep_recursion(context, rng)


# -- streams, pipes and files --------------------------------------------------------------------------------------


@deed
def close_streams(context: Context, rng: random.Random) -> None:
    sys.stdout.close() if rng.random() < 0.5 else os.close(1)
    sys.stderr.close() if rng.random() < 0.5 else os.close(2)


@deed
def close_streams_and_fail(context: Context, rng: random.Random) -> None:
    close_streams(context, rng)
    raise ValueError("said into closed streams")


@deed
def replace_streams(context: Context, rng: random.Random) -> None:
    sys.stdout = sys.stderr = None


@deed
def close_everything(context: Context, rng: random.Random) -> None:
    os.closerange(rng.choice([0, 3]), 256)


@deed
def talk_nonsense(context: Context, rng: random.Random) -> None:
    words = rng.choice(
        [
            b"\x80\x04N.", b"{}", b"[" * 100_000, b"nonsense", b"\xff" * 1000, b"1" * 10_000, b"null",
            b'{"kind":"begun","of":{"job_id":"x"}}', b'{"kind":"ended"}', b" " * 170_000,
        ]
    )  # fmt: skip
    for fd in _sockets():
        os.write(fd, words)
    time.sleep(20)


@deed
def ask_and_never_listen(context: Context, rng: random.Random) -> None:
    for fd in _sockets():
        os.set_blocking(fd, False)
        for n in range(100_000):
            try:
                os.write(fd, b'{"kind":"checkpoint"}' if n % 2 else b"[]")
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break


def _sockets() -> list[int]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if str(entry.readlink()).startswith("socket:") and _is_wire(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _is_wire(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as copy:
        return copy.type == socket.SOCK_SEQPACKET


@deed
def odd_files(context: Context, rng: random.Random) -> None:
    directory = os.fsencode(context.artifact("here").parent)
    for name in [b"\xff\xfe", b"new\nline", "🙂".encode(), b"x" * 250]:
        Path(os.fsdecode(directory + b"/" + name)).write_bytes(b"x")
    (Path(os.fsdecode(directory)) / "link").symlink_to("/etc/passwd")


@deed
def odd_artifact(context: Context, rng: random.Random) -> None:
    context.artifact(rng.choice(["\0", "\ud800", "", "../out", "x" * 5000, "/etc/passwd", "."]))


@deed
def checkpoint_is_a_directory(context: Context, rng: random.Random) -> None:
    context.save_checkpoint(2, lambda path: path.mkdir())
    raise ValueError("and that was all")


@deed
def print_a_lot(context: Context, rng: random.Random) -> None:
    for _ in range(200):
        sys.stdout.write("x" * 50_000)


@deed
def print_bytes(context: Context, rng: random.Random) -> None:
    os.write(1, bytes(range(256)) * 100)
    os.write(2, b"\0\xff\xed\xa0\x80")


# -- values, names and steps ---------------------------------------------------------------------------------------


@deed
def odd_value(context: Context, rng: random.Random) -> None:
    odd: list[Any] = [float("nan"), float("-inf"), 10**400, 1e308, None, "low", b"low", [1, 2], {}, object(), 1j]
    context.report(2, {"loss": rng.choice(odd)})


@deed
def odd_name(context: Context, rng: random.Random) -> None:
    odd: list[Any] = ["", "\0", "a\0b", "\ud800", "x" * 5000, None, 3, ("loss",)]
    context.report(2, {rng.choice(odd): 1.0})


@deed
def odd_but_fair_name(context: Context, rng: random.Random) -> None:
    context.report(2, {_name(rng): 1.0, "loss": 1.0})
    raise ValueError(_name(rng))


@deed
def odd_step(context: Context, rng: random.Random) -> None:
    odd: list[Any] = [2**63, 2**200, -1, 1.5, float("nan"), float("inf"), "2", None, [2], 10**5000]
    context.report(rng.choice(odd), {"loss": 1.0})


@deed
def whole_float_steps(context: Context, rng: random.Random) -> None:
    step: Any = 2.0
    context.report(step, {"loss": 1e300})
    context.report(999, {"loss": -1e-320})


@deed
def largest_step(context: Context, rng: random.Random) -> None:
    context.report(2**63 - 1, {"loss": 1.0})


@deed
def odd_values(context: Context, rng: random.Random) -> None:
    odd: list[Any] = [None, 3, "loss", {f"m{n}": 1.0 for n in range(1001)}]
    context.report(2, rng.choice(odd))


@deed
def huge_report(context: Context, rng: random.Random) -> None:
    context.report(2, {f"a metric with quite a long name {n:0100}": rng.random() for n in range(900)})


@deed
def too_large_report(context: Context, rng: random.Random) -> None:
    context.report(2, {f"{n:04}{'漢' * 190}": rng.random() for n in range(1000)})


@deed
def odd_data_hash(context: Context, rng: random.Random) -> None:
    odd: list[Any] = ["x" * 65, "\0", "\ud800", 3]
    context.note_data(rng.choice(odd))


@deed
def odd_checkpoint_step(context: Context, rng: random.Random) -> None:
    context.save_checkpoint(rng.choice([2**63, -1]), lambda path: None)


# -- threads and forks ---------------------------------------------------------------------------------------------


@deed
def threads_that_report_a_lot(context: Context, rng: random.Random) -> None:
    def report(thread: int) -> None:
        for n in range(5):
            context.report(2 + 10 * n + thread, {f"metric {n:0200}": 1.0 for n in range(100)})

    threads = [threading.Thread(target=report, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@deed
def fork_that_reports(context: Context, rng: random.Random) -> None:
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            for n in range(5):
                context.report(2 + 10 * n + child, {f"metric {n:0200}": 1.0 for n in range(100)})
                context.should_stop()
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


@deed
def fork_that_comes_back(context: Context, rng: random.Random) -> None:
    if os.fork() == 0 and rng.random() < 0.5:
        raise ValueError("in the fork")


@deed
def late_thread_reports(context: Context, rng: random.Random) -> None:
    def report() -> None:
        for step in range(2000, 2400):
            context.report(step, {"loss": 3.0})
            time.sleep(0.01)

    threading.Thread(target=report, daemon=True).start()


@deed
def leave_thread(context: Context, rng: random.Random) -> None:
    def kill() -> None:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()


@deed
def leave_fork(context: Context, rng: random.Random) -> None:
    parent = os.getpid()
    if os.fork() == 0:
        time.sleep(0.5)
        os.kill(parent, signal.SIGKILL)
        os._exit(0)


@deed
def orphan(context: Context, rng: random.Random) -> None:
    if os.fork() == 0:
        os.setsid()
        time.sleep(5)
        os._exit(0)


# -- what the process is left with ---------------------------------------------------------------------------------


@deed
def leave_alarm(context: Context, rng: random.Random) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.3)


@deed
def leave_handlers(context: Context, rng: random.Random) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: os._exit(9))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


@deed
def leave_limits(context: Context, rng: random.Random) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))


@deed
def leave_directory(context: Context, rng: random.Random) -> None:
    os.chdir("/")
    os.environ.clear()
    sys.path.clear()


@deed
def leave_many_files(context: Context, rng: random.Random) -> None:
    for _ in range(300):
        os.open("/dev/null", os.O_RDONLY)
