"""Processes that must not outlive the one that started them.

`python -m stepsize.children.ties PARENT MODULE …` runs a module of ours that way; see `tied_command`.
"""

import ctypes
import os
import runpy
import signal
import sys

ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask a process to end; a worker holds them back, its children must not."""

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def tied_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module which ends with this process.

    It is tied before the module's first import: imports take a second, in which this process may die.
    """
    # -P: a directory called `workers` where the user happens to stand is not ours.
    return [sys.executable, "-P", "-m", "stepsize.children.ties", str(os.getpid()), module, *arguments]


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
