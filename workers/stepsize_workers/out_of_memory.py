"""How running out of memory shows in the kernel's count of its victims; what exceptions say: `stepsize.infeasibility`.

On the CPU an allocation seldom fails: Linux promises more memory than there is, and kills a process that takes it.
"""

import re
import signal
from functools import cache
from pathlib import Path

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""How a process that the kernel killed ends, itself or as the last command of a shell."""
_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


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
