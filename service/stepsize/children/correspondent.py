"""Questions put to a child process, one after another, by a thread that holds the child."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog

from stepsize.children.child import Child, Received, Sent

log = structlog.get_logger(__name__)

T = TypeVar("T")

_JOIN_S = 5.0


class ChildError(Exception):
    """A question has no answer."""


class ChildDiedError(ChildError):
    """The child died over the question, as often as is tried."""


class ChildSilentError(ChildError):
    """The child took too long, and was killed."""


class ChildEndedError(ChildError):
    """Nothing is asked any more."""


class Correspondent(Generic[Sent, Received]):
    """Puts questions to a child. Neither the child nor the thread exists before the first question.

    Args:
        start: makes the child; called in the thread.
        name: of the thread, and of the child in the log.
        idle_s: seconds without a question after which the child is ended; None: it stays.
        max_deaths: children lost over one question after which it is given up. Whatever killed the first may have been
            another's doing.
    """

    def __init__(
        self, start: Callable[[], Child[Sent, Received]], *, name: str, idle_s: float | None, max_deaths: int
    ) -> None:
        self._start = start
        self._name = name
        self._idle_s = idle_s
        self._max_deaths = max_deaths
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._child: Child[Sent, Received] | None = None
        self._is_ended = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def ask(self, exchange: Callable[[Child[Sent, Received]], T]) -> "Future[T]":
        """Return the answer to come.

        Args:
            exchange: speaks with the child, in the thread, and returns the answer; called again with another child
                when this one died. Whatever else it raises, the future raises.

        Raises:
            ChildError: by the future; see its kinds.
        """
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()  # not to be cancelled: who shares it still wants it
        with self._lock:
            if not self._is_ended:
                self._queue.put(lambda: self._answer(exchange, answer))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
                return answer
        answer.set_exception(ChildEndedError())
        return answer

    def end(self) -> None:
        """Kill the child; questions under way and later ones are refused, so that nobody waits for them."""
        with self._lock:
            self._is_ended = True
            self._queue.put(None)
            child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child and the thread."""
        self.end()
        thread = self._thread
        if thread is not None:
            thread.join(_JOIN_S)

    def _run(self) -> None:
        """Answer until nothing was asked for a while."""
        while True:
            try:
                task = self._queue.get(timeout=self._idle_s)
            except Empty:
                with self._lock:
                    if not self._queue.empty():
                        continue
                    self._end_child()
                    self._thread = None
                    return
            if task is None:
                self._end_child()
                return
            task()

    def _answer(self, exchange: Callable[[Child[Sent, Received]], T], answer: "Future[T]") -> None:
        try:
            found = self._put(exchange)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def _put(self, exchange: Callable[[Child[Sent, Received]], T]) -> T:
        for death in range(1, self._max_deaths + 1):
            child = self._living_child()
            try:
                return exchange(child)
            except TimeoutError:
                self._end_child()
                raise ChildSilentError from None
            except (EOFError, OSError):
                status = self._end_child()
                if self._is_ended:
                    raise ChildEndedError from None
                log.warning("a process died over a question", process=self._name, exit_status=status, death=death)
        raise ChildDiedError

    def _living_child(self) -> Child[Sent, Received]:
        if self._is_ended:
            raise ChildEndedError
        child = self._child
        if child is None or not child.is_alive:
            self._end_child()
            child = self._child = self._start()
        if self._is_ended:  # looked at after the child is there: either `end` sees the child, or this sees `end`
            raise ChildEndedError
        return child

    def _end_child(self) -> int | None:
        child, self._child = self._child, None
        return None if child is None else child.end()
