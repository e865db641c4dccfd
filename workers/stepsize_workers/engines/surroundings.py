"""What one trial finds in its process and another must find again: restored after each, as far as that goes."""

import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_MOST_FILES_LEFT = 64
"""Descriptors a trial may leave open (data sets are kept that way); a process has 1024 by default."""
_HARMLESS_THREADS = frozenset({"TMonitor"})
"""By class: tqdm leaves one behind, which only redraws bars."""


@dataclass(frozen=True)
class Surroundings:
    """How a process was before a trial."""

    directory: Path
    environment: dict[str, str]
    path: list[str]
    streams: "tuple[IO[str] | None, IO[str] | None, IO[str] | None]"
    handlers: dict[int, Any]
    mask: set[int]
    limits: list[tuple[int, int]]
    threads: frozenset[int | None]
    recursion_limit: int
    n_files: int

    @classmethod
    def note(cls) -> "Surroundings":
        """Return how this process is now."""
        return cls(
            Path.cwd(),
            dict(os.environ),
            list(sys.path),
            (sys.stdin, sys.stdout, sys.stderr),
            {number: signal.getsignal(number) for number in signal.valid_signals()},
            set(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            [resource.getrlimit(limit) for limit in _LIMITS],
            frozenset(thread.ident for thread in threading.enumerate()),
            sys.getrecursionlimit(),
            _count_files(),
        )

    def restore(self) -> bool:
        """Make this process as it was; tell whether that is so, or traces of the trial remain."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        with suppress(OSError):
            os.chdir(self.directory)
        if dict(os.environ) != self.environment:
            os.environ.clear()
            os.environ.update(self.environment)
        sys.path[:] = self.path
        sys.setrecursionlimit(self.recursion_limit)
        sys.stdin, sys.stdout, sys.stderr = self.streams
        self._restore_signals()
        self._restore_torch()
        if _count_files() > self.n_files + _MOST_FILES_LEFT:
            return False
        return not (self._is_closed() or self._are_limits_changed() or self._has_company())

    def _restore_signals(self) -> None:
        for number, handler in self.handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                with suppress(OSError, ValueError):  # SIGKILL and SIGSTOP have no handlers
                    signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    @staticmethod
    def _restore_torch() -> None:
        """Only what changes the numbers of a trial that never asked for it."""
        if torch := sys.modules.get("torch"):
            torch.set_default_dtype(torch.float32)
            torch.set_grad_enabled(True)

    @staticmethod
    def _is_closed() -> bool:
        return any(stream is not None and stream.closed for stream in (sys.stdout, sys.stderr))

    def _are_limits_changed(self) -> bool:
        return [resource.getrlimit(limit) for limit in _LIMITS] != self.limits

    def _has_company(self) -> bool:
        """Tell whether threads or processes of the trial go on."""
        for thread in threading.enumerate():
            if thread.ident not in self.threads and type(thread).__name__ not in _HARMLESS_THREADS:
                return True
        return bool(_children())


def _count_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _children() -> set[int]:
    """Return the children of this process that have not ended, but the one that multiprocessing keeps."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    children: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has ended; or a kernel without that file
            children |= {int(pid) for pid in (task / "children").read_text(encoding="ascii").split()}
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    return children - {tracker._resource_tracker._pid} if tracker else children
