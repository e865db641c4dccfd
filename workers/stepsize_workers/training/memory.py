"""Will a batch fit into memory? Foretold from two small updates, so that trials which run out of it are rare.

A fresh process (probe.py) makes one update at an eighth and at a quarter of the batch size. Activations grow in
proportion to the batch and everything else stays, so the line through the two peaks, read off at the whole batch, says
what a trial takes. The line is kept in the data directory: it is measured once for a network, not once a trial.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from stepsize.children.ties import tied_command
from stepsize_workers.out_of_memory import control_group
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.task import Extent, Task

_WORTH_A_PROBE = 2000
"""A batch is looked into once this many times its inputs would not fit: layers as wide as that are rare, and a probe
takes seconds."""
_PARTS = (8, 4)
"""The probed batch sizes are these parts of the one in question."""
_PROBE_TIMEOUT_S = 120.0


class OutOfMemoryForeseenError(MemoryError):
    """A batch that would not fit; nothing of the trial has run."""

    def __init__(self, batch_size: int, predicted: int, limit: int) -> None:
        super().__init__(
            f"a batch of {batch_size} would take {_gib(predicted)}, and there is room for {_gib(limit)} "
            "(foretold from two smaller batches; the trial was not run)"
        )


@dataclass(frozen=True)
class MemoryLine:
    """Peak memory of a training process as a function of its batch size: `fixed + per_sample · batch_size`."""

    fixed: float
    per_sample: float

    def at(self, batch_size: int) -> int:
        """Return the bytes a batch size takes."""
        return round(self.fixed + self.per_sample * batch_size)

    @classmethod
    def through(cls, sizes: tuple[int, int], peaks: tuple[int, int]) -> "MemoryLine":
        """Return the line through two measurements; memory never shrinks as the batch grows."""
        slope = max(0.0, (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]))
        return cls(peaks[0] - slope * sizes[0], slope)


def check_memory(
    task: type[Task[Any, Any]],
    params: TrainingParams,
    *,
    extent: Extent,
    device: torch.device,
    data_dir: Path,
    n_members: int = 1,
) -> None:
    """Return if a batch fits into memory, or is so small that there is no doubt.

    Args:
        n_members: trials that train as one: their batches are in memory together.

    Raises:
        OutOfMemoryForeseenError: it would not fit.
    """
    batch_size = min(params.batch_size, extent.n_samples)
    limit = available_bytes(device)
    if batch_size < 2 * _PARTS[0] or n_members * batch_size * extent.sample_bytes * _WORTH_A_PROBE < limit:
        return
    line = _remembered(Probe.of(task, params, device, data_dir, batch_size=batch_size))
    if line is not None and (predicted := line.at(n_members * batch_size)) > limit:
        raise OutOfMemoryForeseenError(n_members * batch_size, predicted, limit)


def available_bytes(device: torch.device) -> int:
    """Return how much memory this process may come to use in all.

    On the CPU that is what it has and what is free, of the machine and of its control group; on CUDA what its
    allocator holds and what is free. `STEPSIZE_MEMORY_LIMIT_BYTES` says less.
    """
    if device.type == "cuda":
        available = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    else:
        available = psutil.Process().memory_info().rss + min(psutil.virtual_memory().available, _left_in_group())
    return min(available, int(os.environ.get("STEPSIZE_MEMORY_LIMIT_BYTES") or available))


@dataclass(frozen=True)
class Probe:
    """What to measure, as it goes to the fresh process."""

    task: str
    """`module:Class`"""
    version: str
    params: str
    """JSON."""
    sizes: tuple[int, int]
    device: str
    data_dir: str

    @classmethod
    def of(
        cls,
        task: type[Task[Any, Any]],
        params: TrainingParams,
        device: torch.device,
        data_dir: Path,
        *,
        batch_size: int,
    ) -> "Probe":
        """Return what to measure for a batch size."""
        sizes = (batch_size // _PARTS[0], batch_size // _PARTS[1])
        path = f"{task.__module__}:{task.__qualname__}"
        return cls(path, task.version, json.dumps(params.shaping()), sizes, str(device), str(data_dir))

    @property
    def memory(self) -> Path:
        """Where its result is kept."""
        key = hashlib.sha256(json.dumps([asdict(self), torch.__version__]).encode()).hexdigest()
        return Path(self.data_dir) / "cache" / "memory" / f"{key[:32]}.json"


def _remembered(probe: Probe) -> MemoryLine | None:
    """Return what was measured before, or measure it; None: that can't be done here."""
    if not probe.memory.exists():
        line = measure(probe)
        if line is None:
            return None
        probe.memory.parent.mkdir(parents=True, exist_ok=True)
        partial = probe.memory.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(line)), encoding="utf-8")
        partial.replace(probe.memory)
    return MemoryLine(**json.loads(probe.memory.read_text(encoding="utf-8")))


def measure(probe: Probe) -> MemoryLine | None:
    """Measure in a fresh process; None: it failed or took too long, and the trial itself will show why."""
    # Freed memory goes back at once, so that peaks are of what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    try:
        result = subprocess.run(
            tied_command("stepsize_workers.training.probe"),
            input=json.dumps(asdict(probe)),
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if result.returncode != 0:
        return None
    first, second = json.loads(result.stdout)
    return MemoryLine.through(probe.sizes, (first, second))


def forget_peak(device: torch.device) -> None:
    """Let `peak_bytes` count from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets the peak resident size


def peak_bytes(device: torch.device) -> int:
    """Return the most memory this process has used: resident on the CPU, allocated on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _left_in_group() -> int:
    """Return what the control group of this process has left: its limit is a container's memory.

    Files that were read count as its own until the memory is wanted; those not in use are given up then.
    """
    group = control_group()
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return sys.maxsize
    if limit == "max":
        return sys.maxsize
    given_up = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(0, int(limit) - used + given_up)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB"
