"""What it takes to measure a table: time by the clock, time of processors, and how busy the machine was otherwise."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Spent:
    """What it took to measure a table, in however many runs.

    Attributes:
        jobs: which jobs it was, as `key_of` says it.
        n_found: trainings that were there before the first of these runs, so that their time is not known.
        wall_s: seconds by the clock.
        cpu_s: seconds of one core, of all processes of the service together.
        others_cpu_s: seconds of one core that everything else on the machine took meanwhile.
        n_cores: cores of the machine.
    """

    jobs: str
    n_found: int
    wall_s: float
    cpu_s: float
    others_cpu_s: float
    n_cores: int

    def __add__(self, later: "Spent") -> "Spent":
        """Return what both took together."""
        return Spent(
            self.jobs,
            self.n_found,
            round(self.wall_s + later.wall_s, 1),
            round(self.cpu_s + later.cpu_s, 1),
            round(self.others_cpu_s + later.others_cpu_s, 1),
            later.n_cores,
        )


@dataclass
class Meter:
    """What `metered` reads.

    Attributes:
        n_found: trainings that were there before.
        is_needed: whether any was still missing.
    """

    n_found: int = 0
    is_needed: bool = False
    wall_s: float = 0.0
    cpu_s: float = 0.0
    others_cpu_s: float = 0.0

    def spent(self, jobs: str) -> Spent:
        """Return what was read, as that of some jobs."""
        wall_s, cpu_s, others_cpu_s = (round(one, 1) for one in (self.wall_s, self.cpu_s, self.others_cpu_s))
        return Spent(jobs, self.n_found, wall_s, cpu_s, others_cpu_s, os.cpu_count() or 1)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Read what this process's children take while the body runs, however it ends."""
    started, mine, everybody = time.monotonic(), _seconds_of_children(), _busy_seconds()
    try:
        yield
    finally:
        meter.wall_s = time.monotonic() - started
        meter.cpu_s = _seconds_of_children() - mine
        meter.others_cpu_s = max(_busy_seconds() - everybody - meter.cpu_s, 0.0)


def _seconds_of_children() -> float:
    """Return the processor time of all processes below this one, ended ones that were waited for included."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _busy_seconds() -> float:
    """Return for how long the machine's cores have been busy."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
