"""Asking a sampler that thinks for seconds: in a process of its own, so that leases are renewed meanwhile.

The process holds a replica of the search. What happens to the search is noted here and sent along with the next ask;
an answer that nobody waits for any more is discarded there.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from stepsize.children.child import Child, thinking_environment
from stepsize.children.correspondent import ChildEndedError, Correspondent
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize_workers.warm_start import EarlierTrial

log = structlog.get_logger()

_MAX_DEATHS = 3
"""Processes lost in a row over one ask, after which it is given up."""


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
_Job = tuple[str, ResolvedJobSpec]
_Child = Child[_Job | Message, Answer]


class Asker:
    """Notes what happens to a search, and asks its replica."""

    def __init__(self, job_id: str, spec: ResolvedJobSpec, on_ready: Callable[[], None] | None) -> None:
        self._job_id = job_id
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._notes: list[Note] = []
        self._wanted: int | None = None
        self._answer: Answer | None = None
        start = partial(_start, (job_id, spec))
        self._replica = Correspondent(start, name=f"asker {job_id}", idle_s=None, max_deaths=_MAX_DEATHS)
        self._informed: tuple[_Child, int] | None = None
        """The process that was spoken to last, and how many of the notes it has been told."""

    @property
    def is_thinking(self) -> bool:
        """Whether an ask is under way."""
        with self._lock:
            return self._wanted is not None and self._answer is None

    def note(self, note: Note) -> None:
        """Have the replica follow what has happened."""
        with self._lock:
            self._notes.append(note)

    def ask(self, number: int) -> Answer | None:
        """Return the answer for a trial, once; None: it is being thought about."""
        with self._lock:
            if self._wanted == number:
                answer = self._answer
                if answer is not None:
                    self._wanted = self._answer = None
                return answer
            if self._answer is not None:
                self._notes.append(Discarded(self._answer.number))
            self._wanted, self._answer = number, None
        self._replica.ask(partial(self._exchange, number)).add_done_callback(partial(self._take_in, number))
        return None

    def shut(self) -> None:
        """End the process, in the middle of an ask if need be."""
        self._replica.close()

    def _exchange(self, number: int, child: _Child) -> Answer | None:
        """Tell the process what is new, and ask; None: another trial is wanted by now."""
        informed, n_told = self._informed or (None, 0)
        if informed is not child:
            n_told = 0
        with self._lock:
            if number != self._wanted or self._answer is not None:
                return None
            unsent = self._notes[n_told:]
        for note in unsent:
            child.send(note)
        self._informed = child, n_told + len(unsent)
        child.send(Ask(number))
        return child.receive()

    def _take_in(self, number: int, asked: "Future[Answer | None]") -> None:
        error = asked.exception()
        if isinstance(error, ChildEndedError):
            return
        if error is not None:
            log.warning("the sampler's process could not say", job_id=self._job_id, error=repr(error))
        answer = asked.result() if error is None else Answer(number, None, {}, has_failed=True)
        if answer is None:
            return
        with self._lock:
            if number != self._wanted:
                self._notes.append(Discarded(number))
                return
            self._answer = answer
        if self._on_ready:
            self._on_ready()


def _start(job: _Job) -> _Child:
    child: _Child = Child("stepsize_workers.sampling.replica", env=thinking_environment())
    with suppress(OSError):  # it died at once: the first ask tells
        child.send(job)
    return child
