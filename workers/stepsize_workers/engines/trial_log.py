"""A trial's log: all that its process writes to standard output and standard error, within a limit."""

import io
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType

LOG_LIMIT_BYTES = 1 << 20


class TrialLog:
    """Sends this process's output, C code's too, to a file while it is open; an empty file is removed afterwards."""

    current: "TrialLog | None" = None
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
        with self._path.open("r+b") as log:
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
