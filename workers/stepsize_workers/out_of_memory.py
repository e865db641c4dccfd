"""How running out of memory shows: in exceptions, in what programs print, and in the kernel's count of its victims.

On the CPU an allocation seldom fails: Linux promises more memory than there is, and kills a process that takes it.
"""

import errno
import re
import signal
from functools import cache
from pathlib import Path

_WORDS = (
    "MemoryError",
    "OutOfMemoryError",
    "can't allocate memory",  # torch's allocator on the CPU
    "CUDA out of memory",  # torch's allocator on CUDA
    "CUDA error: out of memory",  # CUDA itself
    "_ALLOC_FAILED",  # cuBLAS, and cuDNN before version 9
    "ALLOCATION_FAILED",  # cuDNN since
    "RESOURCE_EXHAUSTED: Out of memory",  # XLA: JAX and TensorFlow
    "std::bad_alloc",
)
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""How a process that the kernel killed ends, itself or as the last command of a shell."""
_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


def says_so(text: str) -> bool:
    """Tell whether a message, or what a program wrote to standard error, says that memory ran out."""
    return any(words in text for words in _WORDS)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an exception says so; torch need not be imported for its sake."""
    match error:
        case MemoryError():  # numpy's own derives from it
            return True
        case OSError(errno=errno.ENOMEM):
            return True
        case RuntimeError():  # torch's own derive from it, and CUDA's libraries raise nothing better
            return says_so(f"{type(error).__name__}: {error}")
        case _:
            return type(error).__name__ == "OutOfMemoryError"


class KernelWatch:
    """Tells of a process whether the kernel killed it for want of memory; make it before the process has work."""

    def __init__(self) -> None:
        self._kills_before = _count_kills()

    def killed(self, status: int | None) -> bool:
        """Return whether a process that ended with this status (negative: by that signal) was such a victim."""
        return status in _KILLED and _count_kills() > self._kills_before


def _count_kills() -> int:
    """Return how many processes the kernel has killed for want of memory, in this control group or on this machine."""
    for path in (control_group() / "memory.events", Path("/proc/vmstat")):
        try:
            count = _COUNT.search(path.read_bytes())
        except OSError:
            continue
        if count:
            return int(count[1])
    return 0


@cache
def control_group() -> Path:
    """Return the directory of this process's control group (version 2; see cgroups(7)); there may be none."""
    root = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            return root / line.removeprefix("0::").lstrip("/")
    return root
