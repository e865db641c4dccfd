"""A trial's log: all that its process writes to standard output and standard error, within a limit.

What a group writes is written by all of its trials at once: each has it in its own log, from when it came to when it
ended.
"""

import io
import os
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from stepsize_workers.engines.base import TrialKey

LOG_LIMIT_BYTES = 1 << 20


class TrialLog:
    """Sends this process's output, C code's too, to a file while it is open; an empty file is removed afterwards."""

    current: "TrialLog | GroupLog | None" = None
    """The one that is open."""
    _own = -1
    """Where this process's own output goes, kept while it has none of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    @classmethod
    def keep_own_output(cls) -> None:
        """Remember where output goes between trials; to be called once, before any."""
        cls._own = os.dup(2)

    def __enter__(self) -> "TrialLog":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        _redirect(self._file)
        TrialLog.current = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        TrialLog.current = None
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed by the trial, or no stream at all
                stream.flush()
        with suppress(OSError):
            os.close(self._file)
        _redirect(TrialLog._own)
        with suppress(OSError):
            self.cap()
            if self._path.stat().st_size == 0:
                self._path.unlink()
                self._path.parent.rmdir()  # unless the trial left artifacts or a checkpoint

    def write_traceback(self) -> None:
        """Write the exception being handled, whatever the trial has done to its streams."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        with suppress(Exception):  # a broken exception can't be shown; it is still told to the worker
            text = traceback.format_exc().encode("utf-8", errors="backslashreplace")
            with io.FileIO(self._file, "a", closefd=False) as file:
                file.write(text)

    def cap(self) -> None:
        """Cut a log that has outgrown its limit to its last half."""
        _cap(self._path)


class GroupLog:
    """Sends this process's output to a file while it is open, and from there to the logs of the trials that are in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._n_passed_on = 0
        self._logs: dict[TrialKey, Path] = {}
        self._lock = threading.RLock()
        """The thread that watches the logs passes on what is new while the trainer works."""

    def __enter__(self) -> "GroupLog":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_APPEND, 0o644)
        _redirect(self._file)
        TrialLog.current = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        TrialLog.current = None
        with suppress(OSError):
            os.close(self._file)
        _redirect(TrialLog._own)
        with suppress(OSError):
            self._path.unlink()
            self._path.parent.rmdir()  # unless the first trial left something

    def enter(self, key: TrialKey, trial_dir: Path) -> None:
        """Let a trial's log have what is written from now on."""
        self.cap()
        with self._lock:
            self._logs[key] = trial_dir / "log.txt"

    def leave(self, key: TrialKey, error: BaseException | None) -> None:
        """Bring a trial's log to its end, with the traceback of what ended it."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed by the trainer, or no stream at all
                stream.flush()
        self.cap()
        with self._lock:
            path = self._logs.pop(key, None)
        if path is not None and error is not None:
            with suppress(Exception):  # a broken exception can't be shown; it is still told to the worker
                text = "".join(traceback.format_exception(error)).encode("utf-8", errors="backslashreplace")
                _append(path, text)

    def cap(self) -> None:
        """Pass on what was written since the last time, and keep all logs within their limit."""
        with self._lock, suppress(OSError):
            size = os.fstat(self._file).st_size
            written = os.pread(self._file, size - self._n_passed_on, self._n_passed_on)
            self._n_passed_on = size
            for path in self._logs.values() if written else ():
                with suppress(OSError):
                    _append(path, written[-LOG_LIMIT_BYTES:])
                    _cap(path)
            if size > LOG_LIMIT_BYTES:
                os.ftruncate(self._file, 0)
                self._n_passed_on = 0


def _append(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        log.write(text)


def _cap(path: Path) -> None:
    with path.open("r+b") as log:
        if log.seek(0, os.SEEK_END) <= LOG_LIMIT_BYTES:
            return
        log.seek(-LOG_LIMIT_BYTES // 2, os.SEEK_END)
        tail = log.read()
        log.seek(0)
        log.truncate()
        log.write(b"[... earlier output dropped ...]\n" + tail)


def _redirect(target: int) -> None:
    os.dup2(target, 1)
    os.dup2(target, 2)
