"""A real worker process for tests: started, stopped, killed and frozen as in life."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


class WorkerProcess:
    """`python -m stepsize_workers` in a process of its own; use as a context manager."""

    def __init__(self, url: str, data_dir: Path, *, slots: int = 2, lease_s: float = 1.0, trainers: str = "") -> None:
        environment = {
            **os.environ,
            "STEPSIZE_DATABASE_URL": url,
            "STEPSIZE_DATA_DIR": str(data_dir),
            "STEPSIZE_LEASE_S": str(lease_s),
            "STEPSIZE_TRAINERS": trainers,
        }
        self._log_path = data_dir / f"worker-{time.monotonic_ns()}.txt"
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stepsize_workers", "--slots", str(slots)],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """What the worker has printed so far."""
        return self._log_path.read_text()

    def slots(self) -> list[psutil.Process]:
        """The worker's slot processes, without what they start: a slot asks git where its trainer comes from."""
        return psutil.Process(self.pid).children()

    def kill(self) -> None:
        """kill -9, of the worker's own pid alone."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self, timeout_s: float = 15.0) -> int:
        """SIGTERM; return the exit status."""
        self._process.terminate()
        return self._process.wait(timeout_s)


def wait_until_gone(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait for processes to end; return those that live on."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    return [process for process in alive if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it has ended just now
        return False
