"""The asking side of the analysis process: started by the first question, ended when idle, started anew after a crash.

Fits and figures need numpy, SciPy, Optuna and matplotlib, hundreds of MiB that the API process must never hold, and
seconds of one interpreter's lock that its pollers, and a worker's leases, can't spare. One thread speaks to the one
child; whoever waits for an answer waits without a thread.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue

import structlog

from stepsize.asking.questions import Failure, Question, Reply
from stepsize.errors import AnalysisUnavailableError, JobNotFoundError
from stepsize.extras import ANALYSIS, how_to_install, missing_extras

log = structlog.get_logger(__name__)

_IDLE_S = 60.0
_LIMIT_S = 60.0
"""A question that takes longer costs the process its life."""
_KEPT_BYTES = 8 << 20
"""Answers remembered: a few jobs' reports and plots."""
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
"""The matrices are small; a pool of threads would only take cores from pollers and workers."""
_STOPPING = "the service is stopping"

Changes = tuple[int, ...]
_Job = tuple[Question, "Future[Reply]"]


class Analyst:
    """Answers questions through one child process; answers are kept by question and changes.

    Args:
        url: the database's.
        idle_s: seconds without a question after which the child is ended.
        limit_s: seconds a question may take.
    """

    def __init__(self, url: str, *, idle_s: float = _IDLE_S, limit_s: float = _LIMIT_S) -> None:
        self._url = url
        self._idle_s = idle_s
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._child: _Child | None = None
        self._closing = False
        self._asked: dict[tuple[Question, Changes], Future[Reply]] = {}
        self._kept: OrderedDict[tuple[Question, Changes], Reply] = OrderedDict()

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        child = self._child
        return None if child is None else child.pid

    async def ask(self, question: Question, changes: Changes = ()) -> Reply:
        """Return the answer, awaited without a thread; see `submit`."""
        answer = asyncio.wrap_future(self.submit(question, changes))
        answer.add_done_callback(_look_at)
        # Shielded: when one client leaves, the others still want the answer.
        return await asyncio.shield(answer)

    def submit(self, question: Question, changes: Changes = ()) -> "Future[Reply]":
        """Return the answer to come; equal questions at the same changes are asked once, so it isn't to be cancelled.

        Args:
            changes: of the jobs it is about, as they are now.

        Raises:
            AnalysisUnavailableError: the process is being ended. The future raises it too: the process can't be
                started, or died twice over this question.
            JobNotFoundError: raised by the future; a job was deleted meanwhile.
        """
        with self._lock:
            if self._closing:
                raise AnalysisUnavailableError(_STOPPING)
            if (kept := self._kept.get((question, changes))) is not None:
                self._kept.move_to_end((question, changes))
                return _answered(kept)
            return self._asked.get((question, changes)) or self._enqueue(question, changes)

    def end(self) -> None:
        """End the child; questions under way and later ones are refused, so that nobody waits for them."""
        with self._lock:
            self._closing = True
        self._queue.put(None)
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child and the thread."""
        self.end()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=5)

    def _enqueue(self, question: Question, changes: Changes) -> "Future[Reply]":
        future: Future[Reply] = Future()
        self._asked[question, changes] = future
        future.add_done_callback(lambda done: self._keep(question, changes, done))
        self._queue.put((question, future))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="analyst", daemon=True)
            self._thread.start()
        return future

    def _keep(self, question: Question, asked: Changes, done: "Future[Reply]") -> None:
        with self._lock:
            self._asked.pop((question, asked), None)
            if done.cancelled() or done.exception() is not None:
                return
            reply = done.result()
            if not reply.body:  # a file was written; the next client wants one of its own
                return
            self._kept[question, reply.changes] = reply
            size = sum(len(kept.body) for kept in self._kept.values())
            while size > _KEPT_BYTES and self._kept:
                _, dropped = self._kept.popitem(last=False)
                size -= len(dropped.body)

    def _run(self) -> None:
        """Serve questions until none has come for a while."""
        while True:
            try:
                job = self._queue.get(timeout=self._idle_s)
            except Empty:
                with self._lock:
                    if not self._queue.empty():
                        continue
                    self._end_child()
                    self._thread = None
                    return
            if job is None:
                self._end_child()
                return
            question, future = job
            if future.set_running_or_notify_cancel():
                self._answer(question, future)

    def _answer(self, question: Question, future: "Future[Reply]") -> None:
        try:
            future.set_result(self._serve(question))
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            future.set_exception(error)

    def _serve(self, question: Question) -> Reply:
        for attempt in (1, 2):  # whatever killed the child may have been another's doing; twice, it was this question
            if self._child is None or not self._child.is_alive:
                self._end_child()
                _require_libraries()
                self._child = _Child(self._url)
            if self._closing:  # looked at after the child is there: either `end` sees the child, or this sees `end`
                raise AnalysisUnavailableError(_STOPPING)
            try:
                reply = self._child.ask(question, limit_s=self._limit_s)
            except TimeoutError:
                self._end_child()
                raise AnalysisUnavailableError(f"the analysis took longer than {self._limit_s:g} s") from None
            except (EOFError, OSError):
                if self._closing:
                    raise AnalysisUnavailableError(_STOPPING) from None
                log.warning("the analysis process died", question=type(question).__name__, attempt=attempt)
                self._end_child()
                continue
            if isinstance(reply, Failure):
                raise _error(reply)
            return reply
        raise AnalysisUnavailableError("the analysis process died twice; the service's log says of what")

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.close()


class _Child:
    """The child process and the pipe to it."""

    def __init__(self, url: str) -> None:
        here, there = Pipe()
        self._connection: Connection[str | Question, Reply | Failure] = here
        command = [sys.executable, "-m", "stepsize.analysis.process", str(there.fileno())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(there.fileno(),),
            env=os.environ | _ONE_THREAD,
            process_group=0,  # a Ctrl-C in the terminal is for who asks, which ends this process itself
        )
        there.close()
        with suppress(OSError):  # it died at once: the first question tells
            # Not an argument: a URL holds a password, and arguments are everybody's to see.
            here.send(url)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: Question, *, limit_s: float) -> Reply | Failure:
        self._connection.send(question)
        if not self._connection.poll(limit_s):
            raise TimeoutError
        return self._connection.recv()

    def kill(self) -> None:
        """End the process; it holds nothing that could be lost."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self._connection.close()


def _answered(reply: Reply) -> "Future[Reply]":
    future: Future[Reply] = Future()
    future.set_result(reply)
    return future


def _require_libraries() -> None:
    if missing := missing_extras([ANALYSIS]):
        raise AnalysisUnavailableError(f"reports and plots need: {how_to_install(missing)}")


def _look_at(answer: "asyncio.Future[Reply]") -> None:
    """Look at an answer: asyncio complains of an error that nobody saw, and whoever asked may be gone."""
    if not answer.cancelled():
        answer.exception()


def _error(failure: Failure) -> Exception:
    if failure.is_missing is not None:
        return JobNotFoundError(failure.is_missing)
    return RuntimeError(f"the analysis failed:\n{failure.error}")
