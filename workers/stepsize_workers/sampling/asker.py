"""Asking a sampler that thinks for seconds: in a process of its own, so that leases are renewed meanwhile.

The process holds a replica of the search. What happens to the search is noted here and sent along with the next ask;
an answer that nobody waits for any more is discarded there.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe

import structlog

from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.spec.job import JobSpec
from stepsize.spec.space import Scalar
from stepsize_workers.lifelines import tied_command
from stepsize_workers.warm_start import EarlierTrial

log = structlog.get_logger()

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_MAX_CRASHES = 3
"""Processes lost in a row over one ask, after which it is given up."""
_END_S = 1.0


@dataclass(frozen=True)
class Warmed:
    """What earlier jobs have to say."""

    trials: tuple[EarlierTrial, ...]


@dataclass(frozen=True)
class Restored:
    """The record, as a search is rebuilt from it."""

    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Opened:
    """A trial is part of the search."""

    number: int
    params: Mapping[str, Scalar]
    study_attrs: Mapping[str, object]
    ask: int | None
    """The number it was asked for as; None: the parameters are a client's."""


@dataclass(frozen=True)
class Closed:
    """A trial has ended."""

    number: int
    state: TrialState
    values: tuple[float, ...] | None
    reason: TrialReason | None


@dataclass(frozen=True)
class Discarded:
    """An answer came to nothing."""

    ask: int


@dataclass(frozen=True)
class Ask:
    """What should trial `number` try?"""

    number: int


@dataclass(frozen=True)
class Answer:
    """What trial `number` should try; no params: nothing is left, or (`has_failed`) the process could not say."""

    number: int
    params: dict[str, Scalar] | None
    study_attrs: Mapping[str, object]
    has_failed: bool = False


Note = Warmed | Restored | Opened | Closed | Discarded
Message = Note | Ask


class Asker:
    """The process that asks, and the thread that waits for it; neither exists before the first ask."""

    def __init__(self, job_id: str, spec: JobSpec, on_ready: Callable[[], None] | None) -> None:
        self._job = (job_id, spec)
        self._on_ready = on_ready
        self._notes: list[Note] = []
        self._wanted: int | None = None
        self._answer: Answer | None = None
        self._is_shut = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process: _Process | None = None

    @property
    def is_thinking(self) -> bool:
        """Whether an ask is under way."""
        with self._changed:
            return self._wanted is not None and self._answer is None

    def note(self, note: Note) -> None:
        """Have the replica follow what has happened."""
        with self._changed:
            self._notes.append(note)

    def ask(self, number: int) -> Answer | None:
        """Return the answer for a trial, once; None: it is being thought about."""
        with self._changed:
            if self._wanted == number and self._answer is not None:
                answer, self._answer, self._wanted = self._answer, None, None
                return answer
            if self._wanted != number:
                if self._answer is not None:
                    self._notes.append(Discarded(self._answer.number))
                self._wanted, self._answer = number, None
                self._changed.notify()
            if self._thread is None and not self._is_shut:
                self._thread = threading.Thread(target=self._serve, name=f"asker {self._job[0]}", daemon=True)
                self._thread.start()
        return None

    def shut(self) -> None:
        """End the process, in the middle of an ask if need be."""
        with self._changed:
            self._is_shut = True
            if self._process is not None:
                self._process.kill()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_END_S)

    def _serve(self) -> None:
        n_crashes = 0
        while (number := self._next_ask()) is not None:
            try:
                answer = self._exchange(number)
            except (EOFError, OSError):
                self._replace_process()
                n_crashes += 1
                if n_crashes < _MAX_CRASHES:
                    continue
                answer = Answer(number, None, {}, has_failed=True)
            n_crashes = 0
            self._publish(answer)
        self._replace_process()

    def _next_ask(self) -> int | None:
        """Wait for a number to ask for; None: it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_shut or (self._wanted is not None and self._answer is None))
            return None if self._is_shut else self._wanted

    def _exchange(self, number: int) -> Answer:
        with self._changed:
            if self._is_shut:
                raise EOFError
            if self._process is None:
                self._process = _Process(self._job)
            process = self._process
            unsent = self._notes[process.n_notes :]
        for note in unsent:
            process.connection.send(note)
        process.n_notes += len(unsent)
        process.connection.send(Ask(number))
        answer = process.connection.recv()
        assert isinstance(answer, Answer)
        return answer

    def _publish(self, answer: Answer) -> None:
        with self._changed:
            if self._is_shut:
                return
            if answer.number != self._wanted:
                self._notes.append(Discarded(answer.number))
                return
            self._answer = answer
        if self._on_ready:
            self._on_ready()

    def _replace_process(self) -> None:
        """Bury a process that is gone; the next one is told everything again."""
        with self._changed:
            process, self._process = self._process, None
        if process is not None:
            status = process.end()
            if not self._is_shut:
                log.warning("the sampler's process ended", job_id=self._job[0], exit_status=status)


class _Process:
    """A living `stepsize_workers.sampling.replica` and the pipe to it."""

    def __init__(self, job: tuple[str, JobSpec]) -> None:
        self.connection, theirs = Pipe()
        self.n_notes = 0
        """How many of the notes it has been told."""
        self._process = _spawn(theirs)
        theirs.close()
        self.connection.send(job)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> int:
        self._process.kill()
        status = self._process.wait()
        with suppress(OSError):
            self.connection.close()
        return status


def _spawn(connection: Connection) -> "subprocess.Popen[bytes]":
    """Start the process: one CPU thread, no GPU.

    The kernel kills it when the thread that starts it ends, which is the one that waits for it.
    """
    threads = dict.fromkeys(_THREAD_VARIABLES, "1")
    return subprocess.Popen(
        tied_command("stepsize_workers.sampling.replica", str(connection.fileno())),
        pass_fds=[connection.fileno()],
        env={**os.environ, **threads, "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.DEVNULL,
    )
