"""The slot process: one device, kept warm, runs one group of trials after another and never touches the database.

Started as `stepsize_workers.engines.slot COMMAND_FD LIFELINE_FD …`, tied to its worker: the kernel kills it when the
worker dies (PR_SET_PDEATHSIG), and a thread ends it when the lifeline pipe closes.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from operator import index
from pathlib import Path
from typing import Any

from stepsize.domain.trial import TrialError
from stepsize.spec.space import Scalar
from stepsize_workers.engines.base import (
    Answer,
    Assignment,
    Begun,
    CheckpointSaved,
    Ended,
    Mode,
    Outcome,
    Reported,
    Stop,
)
from stepsize_workers.out_of_memory import is_out_of_memory
from stepsize_workers.trainers.base import Checkpoint, Diverged, Params, Sweep, Trainer
from stepsize_workers.trainers.registry import load_trainer

LOG_LIMIT_BYTES = 1 << 20
_LOG_CHECK_S = 0.5
_PRELOAD_AFTER_IDLE_S = 0.5
_KILL_FIRST = "500"
"""Added, of 1000, to what the kernel holds against this process when memory runs out: the service must not be it."""

Message = Assignment | Answer | Stop


class SlotContext:
    """A `TrialContext` that speaks to the worker over the slot's pipe."""

    def __init__(self, connection: Connection, assignment: Assignment, params: Params, device: str) -> None:
        self._connection = connection
        self._assignment = assignment
        self._stop = False
        self._started = time.monotonic()
        self.params = params
        self.seed = assignment.seed
        self.device = device
        self.data_dir = assignment.data_dir
        self.attempt = assignment.key.attempt
        self.checkpoint = self._find_checkpoint()
        self.data_hash: str | None = None
        self._last: tuple[int, dict[str, float]] | None = None
        """The last report."""

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        step = index(step)
        numbers = {name: _as_number(name, value) for name, value in values.items()}
        for name, number in numbers.items():
            if not -1e308 < number < 1e308:  # false for NaN too
                raise Diverged(f"{name} became {number} at step {step}", step=step)
        if self._last is not None and step <= self._last[0]:
            if (step, numbers) == self._last:  # frameworks like to evaluate once more at the end
                return self.should_stop()
            raise ValueError(f"step {step} was reported after step {self._last[0]}; steps must rise")
        self._last = (step, numbers)
        self._connection.send(Reported(self._assignment.key, step, numbers, time.monotonic() - self._started))
        if not self._assignment.waits_for_verdict:
            return self.should_stop()
        while not self._heed(self._connection.recv()):
            pass
        return self._stop

    def should_stop(self) -> bool:
        while not self._stop and self._connection.poll(0):
            self._heed(self._connection.recv())
        return self._stop

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        path = self._checkpoint_path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        write(partial)
        partial.replace(path)
        self._connection.send(CheckpointSaved(self._assignment.key, step))

    def artifact(self, name: str) -> Path:
        directory = self._artifact_dir.resolve()
        path = (directory / name).resolve()
        if not path.is_relative_to(directory):
            raise ValueError(f"an artifact's name can't lead out of its directory: {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def note_data(self, content_hash: str) -> None:
        self.data_hash = content_hash

    def artifacts(self) -> tuple[str, ...]:
        """Return the names of the files written so far."""
        directory = self._artifact_dir
        return tuple(sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()))

    def _heed(self, message: Message) -> bool:
        """Take in a message about this trial; True: it was the verdict that `report` waits for."""
        if isinstance(message, Assignment) or message.key != self._assignment.key:
            return False
        if isinstance(message, Stop):
            self._stop = True
            return False
        self._stop |= message.stop
        return True

    def _find_checkpoint(self) -> Checkpoint | None:
        step = self._assignment.checkpoint_step
        if step is None or not self._checkpoint_path.exists():
            return None
        return Checkpoint(step, self._checkpoint_path)

    @property
    def _checkpoint_path(self) -> Path:
        return self._assignment.trial_dir / "checkpoint"

    @property
    def _artifact_dir(self) -> Path:
        return self._assignment.trial_dir / "artifacts"


def run_assignment(connection: Connection, assignment: Assignment, device: str, modules: Iterable[str]) -> Ended:
    """Run one attempt of a trial to its end, whatever that end is."""
    started = time.monotonic()
    context: SlotContext | None = None
    outcome, error = Outcome.COMPLETED, None
    try:
        trainer = load_trainer(assignment.trainer, modules)
        context = SlotContext(connection, assignment, trainer.Params(**_as_keywords(assignment.params)), device)
        connection.send(Begun(assignment.key))
        _train(trainer(), context, assignment)
        if context.should_stop():
            outcome = Outcome.STOPPED
    except Exception as exception:  # noqa: BLE001 - a trial's failure is a result, told to the worker
        traceback.print_exc()
        outcome = _outcome_of(exception)
        error = TrialError(type(exception).__name__, str(exception)[:2000])
    artifacts, data_hash = (context.artifacts(), context.data_hash) if context else ((), None)
    return Ended(assignment.key, outcome, error, artifacts, time.monotonic() - started, data_hash)


def _train(trainer: Trainer[Params], context: SlotContext, assignment: Assignment) -> None:
    match assignment.mode:
        case Mode.TRAIN:
            trainer.train(context)
        case Mode.SWEEP:
            trainer.sweep(context, Sweep(**{name: assignment.details[name] for name in ("low", "high", "steps")}))
        case Mode.REFIT:
            trainer.refit(context)


def _outcome_of(exception: Exception) -> Outcome:
    if isinstance(exception, Diverged):
        return Outcome.DIVERGED
    return Outcome.OOM if is_out_of_memory(exception) else Outcome.ERROR


def _as_number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type] # also numpy's and torch's scalars
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is {value!r}, not a number") from error


def _as_keywords(params: Mapping[str, Scalar]) -> dict[str, Any]:
    return dict(params)


@contextmanager
def _log_to(path: Path) -> Any:
    """Send this process's stdout and stderr, C code's too, to a file; an empty file is removed afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    _redirect(log)
    os.close(log)
    _Log.path = path
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        _Log.path = None
        _redirect(_Log.own)
        _cap_log(path)
        if path.stat().st_size == 0:
            path.unlink()
            with suppress(OSError):  # not empty: the trial left artifacts or a checkpoint
                path.parent.rmdir()


class _Log:
    """Which log is being written; the lifeline thread keeps it within its limit."""

    path: Path | None = None
    own: int = -1


def _redirect(target: int) -> None:
    os.dup2(target, 1)
    os.dup2(target, 2)


def _cap_log(path: Path) -> None:
    """Cut a log that has outgrown its limit to its last half."""
    with path.open("r+b") as log:
        if log.seek(0, os.SEEK_END) <= LOG_LIMIT_BYTES:
            return
        log.seek(-LOG_LIMIT_BYTES // 2, os.SEEK_END)
        tail = log.read()
        log.seek(0)
        log.truncate()
        log.write(b"[... earlier output dropped ...]\n" + tail)


def _watch(lifeline: int) -> None:
    """End this process when the worker is gone; meanwhile keep the log within its limit."""
    with os.fdopen(lifeline, "rb", buffering=0) as pipe:
        os.set_blocking(lifeline, False)
        while True:
            if pipe.read(1) == b"":
                os._exit(1)
            with suppress(OSError):
                if _Log.path is not None:
                    _cap_log(_Log.path)
            time.sleep(_LOG_CHECK_S)


def _preload(names: Iterable[str], modules: Iterable[str]) -> None:
    """Import trainers while there is nothing else to do: torch alone costs about a second."""
    for name in names:
        with suppress(Exception):  # it will be raised again, and reported, when a trial wants it
            load_trainer(name, modules)


def main(command_fd: int, lifeline_fd: int, device: str, modules: str, preload: str) -> None:
    """Serve assignments until the worker closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which ends its slots in order
    with suppress(OSError):  # where the system doesn't offer it
        Path("/proc/self/oom_score_adj").write_text(_KILL_FIRST, encoding="ascii")
    threading.Thread(target=_watch, args=(lifeline_fd,), daemon=True).start()
    _Log.own = os.dup(2)
    extra = [module for module in modules.split(",") if module]
    connection: Connection = Connection(command_fd)
    if not connection.poll(_PRELOAD_AFTER_IDLE_S):
        _preload([name for name in preload.split(",") if name], extra)
    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        if isinstance(message, Assignment):
            with _log_to(message.trial_dir / "log.txt"):
                ended = run_assignment(connection, message, device, extra)
            connection.send(ended)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]), int(arguments[1]), *arguments[2:])
