"""One slot of the local engine: its process, the wire to it, and the clocks of what it runs."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from stepsize.children.child import TiedProcess
from stepsize.domain.trial import TrialError
from stepsize.spec.provenance import Provenance
from stepsize.store.workers import SlotRecord
from stepsize_workers.deaths import describe_death, is_own_crash
from stepsize_workers.engines.base import (
    Answer,
    Assignment,
    Begun,
    CheckpointSaved,
    Ended,
    Grouped,
    Measured,
    Outcome,
    Reported,
    TrialKey,
    Vacant,
)
from stepsize_workers.engines.devices import slot_environment, torch_device
from stepsize_workers.engines.wire import WIRE_CLOSED, NonsenseError, Order, Word, WorkerEnd, open_wire
from stepsize_workers.out_of_memory import KernelWatch

log = structlog.get_logger()

_START_ALLOWANCE_S = 60.0
"""Time a slot may take to import a trainer before the trial's own clocks are started for it."""
_VERDICT_GRACE_S = 60.0
_COMPANY_GRACE_S = 10.0
"""More time for a trial to end before its process is killed, where that would take others of its group down."""
_MOST_AT_ONCE = 256
"""Words taken of one slot before the others are heard: a trial that never stops talking drowns nobody out."""
_LAST_BREATH_S = 0.5
"""For a process whose wire is closed to be gone; one that lives on has closed the wire itself."""


@dataclass
class Run:
    """A group being run by a slot: what has not ended yet, and the clocks of each trial."""

    assignments: dict[TrialKey, Assignment]
    assigned: float
    begun: dict[TrialKey, float]
    last_heard: dict[TrialKey, float]
    """Infinite while the trial waits for its verdict: that silence is not its own."""
    kill_at: dict[TrialKey, float] = field(default_factory=dict)
    asked_to_stop: dict[TrialKey, Outcome] = field(default_factory=dict)
    """Members of a group that have run into a limit of theirs, and are to end alone."""
    awaited: dict[TrialKey, bool | None] = field(default_factory=dict)
    """The verdicts on what a group has reported at once, None while they are not there."""
    is_spoilt: bool = False
    """The process is of no more use once its trials have ended."""
    kernel: KernelWatch = field(default_factory=KernelWatch)
    provenance: Provenance | None = None
    """What its trials run with, once they have begun."""

    @classmethod
    def of(cls, group: Sequence[Assignment]) -> "Run":
        run = cls({}, time.monotonic(), {}, {})
        run.join(group)
        return run

    def join(self, group: Sequence[Assignment]) -> None:
        """Add trials; their clocks run from when they begin, or from a minute on."""
        allowed = time.monotonic() + _START_ALLOWANCE_S
        for item in group:
            self.assignments[item.key] = item
            self.begun[item.key] = self.last_heard[item.key] = allowed

    def hear(self, word: Word) -> None:
        """Note what a slot says of one of these trials."""
        assignment = self.assignments[word.key]
        now = time.monotonic()
        match word:
            case Begun(key=key):
                self.begun[key] = self.last_heard[key] = now
            case Reported(key=key):
                self.last_heard[key] = math.inf if assignment.waits_for_verdict and word.waits else now
            case Ended(key=key):
                del self.assignments[key]
            case Measured(key=key):  # it has not begun: what it now loads may take as long as it might from the start
                self.begun[key] = self.last_heard[key] = now + _START_ALLOWANCE_S
            case CheckpointSaved() | Grouped() | Vacant():
                pass

    def expect_answers(self, words: Sequence[Word]) -> None:
        """Note what a group has reported at once: its verdicts go back at once."""
        if reported := [word for word in words if isinstance(word, Reported)]:
            self.awaited = {word.key: None for word in reported if word.waits}

    def collect(self, answer: Answer) -> tuple[Answer, ...] | None:
        """Add a verdict on what a group reported at once; return all of them when the last has come, None before."""
        self.awaited[answer.key] = answer.stop
        if None in self.awaited.values():
            return None
        verdicts = tuple(Answer(key, bool(stop)) for key, stop in self.awaited.items())
        self.awaited = {}
        return verdicts

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

    def overdue(self, now: float) -> tuple[TrialKey, Outcome] | None:
        """Return a trial that must end now, and why, if there is one."""
        unheeded = [key for key in self.assignments if now >= self.kill_at.get(key, math.inf)]
        grace_s = 0.0 if len(unheeded) == len(self.assignments) else _COMPANY_GRACE_S
        for key in unheeded:
            if now >= self.kill_at[key] + grace_s:
                return key, self.asked_to_stop.get(key, Outcome.STOPPED)
        for key, assignment in self.assignments.items():
            if key in self.asked_to_stop:
                continue
            if assignment.trial_timeout_s and now - self.begun[key] > assignment.trial_timeout_s:
                return key, Outcome.TIMEOUT
            if assignment.stall_timeout_s and now - self.last_heard[key] > assignment.stall_timeout_s:
                return key, Outcome.STALLED
        return None

    def ask_to_stop(self, key: TrialKey, why: Outcome) -> None:
        """Give a member of a group that ran into its limit the time to leave the others."""
        self.asked_to_stop[key] = why
        self.kill_at.setdefault(key, time.monotonic())


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

    def words(self) -> Iterator[tuple[Word, ...]]:
        """Yield what the process has said, some of it where it says a lot; of a group together what it said at once.

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
            words = self._living.wire.receive()
            if words is not None:
                yield words
            elif has_ended:
                raise EOFError
            else:
                return

    def note_provenance(self, begun: Begun) -> None:
        """Note what the trials that begin run with."""
        if self.run is not None:
            self.run.provenance = begun.provenance

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
    stack = "; its log ends with the stack" if is_own_crash(-status) else ""
    return describe_death(-status) + stack
