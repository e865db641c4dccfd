"""Keeps one worker process alive beside the API of `stepsize up`."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

import structlog

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_HEALTHY_AFTER_S = 60.0
"""A worker that ran this long is restarted as quickly as the first time."""


class Supervisor:
    """Runs a command, and runs it again whenever it ends, until asked to stop.

    The process is started by the thread that waits for it: Linux sends a child's `PR_SET_PDEATHSIG` when the *thread*
    that made it ends, not the process.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], first_pause_s: float = _FIRST_PAUSE_S
    ) -> None:
        self._command = list(command)
        self._env = dict(env)
        self._first_pause_s = first_pause_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="supervisor", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process now running, if any."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Start the command."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the process to end (SIGTERM) and don't wait; safe in a signal handler."""
        if self._stopping:  # a second signal must not meet the event's lock half taken by the first
            return
        self._stopping = True
        self._stop.set()
        self._terminate()

    def stop(self, *, timeout_s: float) -> None:
        """Ask the process to end, wait, and kill it if it takes longer than `timeout_s`."""
        self.request_stop()
        if self._thread.ident is None:
            return
        self._thread.join(timeout_s)
        process = self._process
        if self._thread.is_alive() and process is not None:
            log.warning("the worker did not end in time and is killed", pid=process.pid, timeout_s=timeout_s)
            process.kill()
            self._thread.join()

    def _keep_running(self) -> None:
        pause_s = self._first_pause_s
        while not self._stop.is_set():
            started = time.monotonic()
            code = self._run_once()
            if self._stop.is_set():
                return
            if time.monotonic() - started > _HEALTHY_AFTER_S:
                pause_s = self._first_pause_s
            log.warning("the worker ended and is started again", exit_code=code, in_s=pause_s)
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _run_once(self) -> int:
        # Its own session: Ctrl-C in a terminal reaches only us, and we end it in order.
        self._process = subprocess.Popen(self._command, env=self._env, start_new_session=True)
        if self._stop.is_set():  # asked while it was being started
            self._terminate()
        return self._process.wait()

    def _terminate(self) -> None:
        process = self._process
        if process is not None:
            process.terminate()
