"""The asking side of the analysis process: started by the first question, ended when idle, started anew after a crash.

Fits and figures need numpy, SciPy, Optuna and matplotlib, hundreds of MiB that the API process must never hold, and
seconds of one interpreter's lock that its pollers, and a worker's leases, can't spare. One thread speaks to the one
child; whoever waits for an answer waits without a thread.
"""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from cachetools import LRUCache

from stepsize.asking.questions import Failure, Question, Reply
from stepsize.children.child import Child, thinking_environment
from stepsize.children.correspondent import ChildDiedError, ChildEndedError, ChildSilentError, Correspondent
from stepsize.errors import AnalysisUnavailableError, JobNotFoundError
from stepsize.extras import ANALYSIS, how_to_install, missing_extras
from stepsize.single_flight import SingleFlight

_IDLE_S = 60.0
_LIMIT_S = 300.0
"""A question that takes longer costs the process its life. On a busy machine a second of work may take a minute."""
_MAX_DEATHS = 2
_KEPT_BYTES = 8 << 20
"""Answers remembered: a few jobs' reports and plots."""

Changes = tuple[int, ...]
_Key = tuple[Question, Changes]
_Child = Child[str | Question, Reply | Failure]


class Analyst:
    """Answers questions through one child process; answers are kept by question and changes.

    Args:
        url: the database's.
        idle_s: seconds without a question after which the child is ended.
        limit_s: seconds a question may take.
    """

    def __init__(self, url: str, *, idle_s: float = _IDLE_S, limit_s: float = _LIMIT_S) -> None:
        self._limit_s = limit_s
        self._process = Correspondent(partial(_start, url), name="analysis", idle_s=idle_s, max_deaths=_MAX_DEATHS)
        self._flights: SingleFlight[_Key, Reply] = SingleFlight()
        self._lock = threading.Lock()
        self._kept: LRUCache[_Key, Reply] = LRUCache(_KEPT_BYTES, getsizeof=lambda reply: len(reply.body))

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._process.pid

    async def ask(self, question: Question, changes: Changes = ()) -> Reply:
        """Return the answer, awaited without a thread; see `submit`."""
        answer = asyncio.wrap_future(self.submit(question, changes))
        answer.add_done_callback(_look_at)
        # Shielded: when one client leaves, the others still want the answer.
        return await asyncio.shield(answer)

    def submit(self, question: Question, changes: Changes = ()) -> "Future[Reply]":
        """Return the answer to come; equal questions at the same changes are asked once.

        Args:
            changes: of the jobs it is about, as they are now.

        Raises:
            JobNotFoundError: by the future; a job was deleted meanwhile.
            AnalysisUnavailableError: by the future; the process can't be started, died twice over this question, took
                too long, or is being ended.
        """
        flight, is_first = self._flights.join((question, changes))
        if not is_first:
            return flight
        with self._lock:
            kept = self._kept.get((question, changes))
        if kept is not None:
            flight.set_result(kept)
        elif self._process.pid is None and (missing := missing_extras([ANALYSIS])):
            flight.set_exception(AnalysisUnavailableError(f"reports and plots need: {how_to_install(missing)}"))
        else:
            asked = self._process.ask(partial(_exchange, question, self._limit_s))
            asked.add_done_callback(partial(self._land, question, flight))
        return flight

    def end(self) -> None:
        """End the child; questions under way and later ones are refused, so that nobody waits for them."""
        self._process.end()

    def close(self) -> None:
        """End the child and the thread."""
        self._process.close()

    def _land(self, question: Question, flight: "Future[Reply]", asked: "Future[Reply]") -> None:
        if (error := asked.exception()) is not None:
            flight.set_exception(self._explain(error))
            return
        reply = asked.result()
        # An empty one: a file was written, and the next client wants one of its own.
        if 0 < len(reply.body) <= _KEPT_BYTES:
            with self._lock:
                self._kept[question, reply.changes] = reply
        flight.set_result(reply)

    def _explain(self, error: BaseException) -> BaseException:
        match error:
            case ChildEndedError():
                return AnalysisUnavailableError("the service is stopping")
            case ChildSilentError():
                return AnalysisUnavailableError(f"the analysis took longer than {self._limit_s:g} s")
            case ChildDiedError():
                return AnalysisUnavailableError("the analysis process died; the service's log says why")
        return error


def _start(url: str) -> _Child:
    child: _Child = Child("stepsize.analysis.process", env=thinking_environment())
    with suppress(OSError):  # it died at once: the first question tells
        # Not an argument: a URL holds a password, and arguments are everybody's to see.
        child.send(url)
    return child


def _exchange(question: Question, limit_s: float, child: _Child) -> Reply:
    child.send(question)
    reply = child.receive(limit_s)
    if isinstance(reply, Failure):
        raise _error(reply)
    return reply


def _look_at(answer: "asyncio.Future[Reply]") -> None:
    """Look at an answer: asyncio complains of an error that nobody saw, and whoever asked may be gone."""
    if not answer.cancelled():
        answer.exception()


def _error(failure: Failure) -> Exception:
    if failure.is_missing is not None:
        return JobNotFoundError(failure.is_missing)
    return RuntimeError(f"the analysis failed:\n{failure.error}")
