"""A child process and the pipe to it.

Why none of the libraries for pools of processes: a child of ours has an environment of its own from its first import
on (CPU threads, its GPU), ends with its parent even when that is killed, and can be killed by whoever tires of waiting;
see docs/decisions/.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import IO, Generic, TypeVar

from stepsize.children.ties import tied_command

Sent = TypeVar("Sent")
Received = TypeVar("Received")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def thread_limits(n: int) -> dict[str, str]:
    """Return the environment in which numerical libraries use `n` CPU threads; they read it when first imported."""
    return dict.fromkeys(_THREAD_VARIABLES, str(n))


def thinking_environment() -> dict[str, str]:
    """Return the environment of a child that thinks beside trials and pollers: one CPU thread, no GPU."""
    return {**os.environ, **thread_limits(1), "CUDA_VISIBLE_DEVICES": ""}


class TiedProcess:
    """A module of ours, run as `MODULE ARGUMENT …`. It is spawned, never forked.

    The kernel kills it when the thread that made this object ends: make it in one that lives as long as it shall.
    It has a session of its own, so that Ctrl-C in a terminal is for its parent, and so that it ends with all it has
    started.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        output: IO[bytes] | None = None,
    ) -> None:
        """Start it.

        Args:
            env: its whole environment.
            pass_fds: file descriptors it inherits.
            output: where what it prints goes; null: where this process's does.
        """
        self._process = subprocess.Popen(
            tied_command(module, *arguments),
            stdin=subprocess.DEVNULL,
            pass_fds=pass_fds,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended (negative: the signal that ended it), None while it lives."""
        return self._process.poll()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.exit_status is None

    def kill(self) -> None:
        """Kill it with all it has started; `end` must follow. Safe from any thread."""
        with suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill it with all it has started, and return its exit status."""
        self.kill()
        return self._process.wait()

    def await_end(self, timeout_s: float) -> int | None:
        """Give it time to end by itself; return its exit status, None if it lives on."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.returncode

    def wait_for_end(self, timeout_s: float) -> None:
        """Let it end by itself, after it was told to; kill what is left of it then."""
        self.await_end(timeout_s)
        self.end()


class Child(TiedProcess, Generic[Sent, Received]):
    """A process and the pipe to it, whose descriptor is its first argument. What comes out of the pipe is unpickled.

    So it is for modules that run nobody's code but ours.
    """

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str], pass_fds: Sequence[int] = ()) -> None:
        ours, theirs = Pipe()
        self.connection: Connection[Sent, Received] = ours
        with theirs:
            fd = theirs.fileno()
            super().__init__(module, str(fd), *arguments, env=env, pass_fds=[fd, *pass_fds])

    def send(self, message: Sent) -> None:
        """Send a message.

        Raises:
            OSError: the child is gone.
        """
        self.connection.send(message)

    def receive(self, limit_s: float | None = None) -> Received:
        """Wait for a message.

        Raises:
            TimeoutError: none came within `limit_s`.
            EOFError, OSError: the child is gone.
        """
        if not self.connection.poll(limit_s):
            raise TimeoutError
        return self.connection.recv()

    def end(self) -> int:
        """Kill it with all it has started, and return its exit status, negative: the signal that ended it."""
        self.kill()
        self.connection.close()
        return super().end()
