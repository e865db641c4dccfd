"""One slot of the local engine: its process, the wire to it, and the clocks of what it runs."""

import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from stepsize.children.child import TiedProcess
from stepsize.domain.trial import TrialError
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Assignment, Begun, CheckpointSaved, Ended, Outcome, Reported, TrialKey
from stepsize_workers.engines.devices import slot_environment, torch_device
from stepsize_workers.engines.wire import WIRE_CLOSED, NonsenseError, Order, Word, WorkerEnd, open_wire
from stepsize_workers.out_of_memory import KernelWatch

log = structlog.get_logger()

_START_ALLOWANCE_S = 60.0
"""Time a slot may take to import a trainer before the trial's own clocks are started for it."""
_VERDICT_GRACE_S = 60.0
_MOST_AT_ONCE = 256
"""Words taken of one slot before the others are heard: a trial that never stops talking drowns nobody out."""
_LAST_BREATH_S = 0.5
"""For a process whose wire is closed to be gone; one that lives on has closed the wire itself."""
_OWN_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS})


@dataclass
class Run:
    """A group being run by a slot: what has not ended yet, and the clocks of each trial."""

    assignments: dict[TrialKey, Assignment]
    assigned: float
    begun: dict[TrialKey, float]
    last_heard: dict[TrialKey, float]
    """Infinite while the trial waits for its verdict: that silence is not its own."""
    kill_at: dict[TrialKey, float] = field(default_factory=dict)
    kernel: KernelWatch = field(default_factory=KernelWatch)

    @classmethod
    def of(cls, group: Sequence[Assignment]) -> "Run":
        now = time.monotonic()
        allowed = dict.fromkeys((item.key for item in group), now + _START_ALLOWANCE_S)
        return cls({item.key: item for item in group}, now, allowed, dict(allowed))

    def hear(self, word: Word) -> bool:
        """Note what a slot says; False: it is about none of these trials."""
        assignment = self.assignments.get(word.key)
        if assignment is None:
            return False
        now = time.monotonic()
        match word:
            case Begun(key=key):
                self.begun[key] = self.last_heard[key] = now
            case Reported(key=key):
                self.last_heard[key] = math.inf if assignment.waits_for_verdict and word.waits else now
            case Ended(key=key):
                del self.assignments[key]
            case CheckpointSaved():
                pass
        return True

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        """Note that a trial got its verdict; one told to stop must do so within a grace."""
        self.last_heard[key] = time.monotonic()
        if stop:
            self.kill_at.setdefault(key, time.monotonic() + _VERDICT_GRACE_S)

    @property
    def has_limits(self) -> bool:
        return bool(self.kill_at) or any(
            item.trial_timeout_s or item.stall_timeout_s for item in self.assignments.values()
        )

    def overdue(self, now: float) -> Outcome | None:
        """Return why the slot must be killed now, if it must."""
        for key, assignment in self.assignments.items():
            if now >= self.kill_at.get(key, float("inf")):
                return Outcome.STOPPED
            if assignment.trial_timeout_s and now - self.begun[key] > assignment.trial_timeout_s:
                return Outcome.TIMEOUT
            if assignment.stall_timeout_s and now - self.last_heard[key] > assignment.stall_timeout_s:
                return Outcome.STALLED
        return None


@dataclass(frozen=True)
class Preload:
    """Which trainers a slot process imports while idle, and the modules that define more of them."""

    trainers: Sequence[str] = ()
    modules: Sequence[str] = ()


@dataclass(frozen=True)
class _Living:
    """A process, and what ties it to this one."""

    process: TiedProcess
    wire: WorkerEnd
    lifeline: int


class Place:
    """One slot and its current process."""

    def __init__(self, record: SlotRecord, preload: Preload) -> None:
        self.record = record
        self.run: Run | None = None
        self._preload = preload
        self._fault: NonsenseError | None = None
        """Why the process is of no more use, found out while speaking to it."""
        self._living: _Living | None = self._spawn()

    @property
    def is_free(self) -> bool:
        return self.run is None and self._living is not None

    @property
    def pid(self) -> int:
        assert self._living is not None, "asked of a slot that has a process"
        return self._living.process.pid

    @property
    def wires(self) -> list[WorkerEnd]:
        """What to wait for: the wire, if there is a process."""
        return [self._living.wire] if self._living else []

    def revive(self) -> None:
        """Give the slot a process again, where there was none to be had."""
        if self._living is None:
            self._living = self._try_to_spawn()

    def send(self, order: Order) -> None:
        """Tell the process something; one that is dead is noticed by its closed wire."""
        try:
            if self._living:
                self._living.wire.send(order)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except BlockingIOError:
            self._fault = NonsenseError("it asks and doesn't read the answers")
        except OSError as error:
            self._fault = NonsenseError(f"it can't be spoken to: {error}")

    def words(self) -> Iterator[Word]:
        """Yield what the process has said, some of it where it says a lot.

        Raises:
            EOFError: it is gone, and has said nothing more.
            NonsenseError: no slot says that.
        """
        if self._living is None:
            return
        if self._fault is not None:
            raise self._fault
        has_ended = self._living.process.exit_status is not None  # asked first: all that it said is there then
        if has_ended:
            self._living.process.kill()  # a fork may hold the wire open
        for _ in range(_MOST_AT_ONCE):
            word = self._living.wire.receive()
            if word is not None:
                yield word
            elif has_ended:
                raise EOFError
            else:
                return

    def why_ended(self) -> tuple[Outcome, TrialError | None]:
        """Return what the end of the process, or of its wire, means for the trials it ran."""
        assert self._living is not None, "it has ended just now"
        status = self._living.process.await_end(_LAST_BREATH_S)
        if self.run is None:
            return Outcome.LOST, None
        if status in (None, WIRE_CLOSED):
            words = "the trial closed the connection between its process and the worker"
            return Outcome.ERROR, TrialError("ConnectionClosed", words)
        if self.run.kernel.killed(status):
            return Outcome.OOM, None
        return Outcome.LOST, TrialError("ProcessLost", f"the trial's process ended: {describe_end(status)}")

    def retire(self) -> None:
        """Let an idle process end by itself."""
        if self._living:
            self._living.wire.close()
            os.close(self._living.lifeline)

    def wait_for_end(self, timeout_s: float) -> None:
        if self._living:
            self._living.process.wait_for_end(timeout_s)

    def end(self) -> None:
        """Kill the process with all it has started."""
        if self._living:
            self.retire()
            self._living.process.end()

    def recycle(self) -> None:
        """Replace the process by a fresh one."""
        self.end()
        self.run, self._fault = None, None
        self._living = self._try_to_spawn()

    def _try_to_spawn(self) -> _Living | None:
        try:
            return self._spawn()
        except OSError as error:  # too many processes or files just now, or no memory
            log.warning("a slot has no process, trying again", slot=self.record.index, error=str(error))
            return None

    def _spawn(self) -> _Living:
        ours, theirs = open_wire()
        with theirs:
            lifeline_read, lifeline_write = os.pipe()
            try:
                process = TiedProcess(
                    "stepsize_workers.engines.slot",
                    str(theirs.fileno()),
                    str(lifeline_read),
                    torch_device(self.record.device),
                    ",".join(self._preload.modules),
                    ",".join(self._preload.trainers),
                    env=slot_environment(os.environ, self.record),
                    pass_fds=[theirs.fileno(), lifeline_read],
                )
            except OSError:
                os.close(lifeline_write)
                ours.close()
                raise
            finally:
                os.close(lifeline_read)
        return _Living(process, ours, lifeline_write)


def describe_end(status: int) -> str:
    """Return how a process ended, for people: its exit code, or the signal and who may have sent it."""
    if status >= 0:
        return f"exit code {status}, chosen by its own code: os._exit, or a library's exit"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # a real-time signal
        return f"killed by signal {-status}"
    if -status in _OWN_CRASHES:
        return f"killed by signal {-status} ({name}): its own code crashed; its log ends with the stack"
    sender = "neither this worker nor the kernel for want of memory sent it: the trainer itself, or someone else"
    return f"killed by signal {-status} ({name}): {sender}"
