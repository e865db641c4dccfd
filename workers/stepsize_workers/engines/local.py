"""The local engine: slots are warm processes on this machine, one device each."""

import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from multiprocessing.connection import Connection, wait

from stepsize.children.child import Child, thread_limits
from stepsize.domain.trial import TrialError
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import (
    Answer,
    Assignment,
    Begun,
    CheckpointSaved,
    Ended,
    Event,
    Outcome,
    Reported,
    Stop,
    TrialKey,
)
from stepsize_workers.out_of_memory import KernelWatch

_CLOSE_GRACE_S = 2.0
_LIMIT_CHECK_S = 0.05
_START_ALLOWANCE_S = 60.0
"""Time a slot may take to import a trainer before the trial's own clocks are started for it."""
_VERDICT_GRACE_S = 60.0
_RESPAWN_PAUSE_S = 0.2
"""A process that dies without any work is replaced no faster than this."""

_Message = Assignment | Answer | Stop


@dataclass
class _Run:
    """A group being run by a slot: what has not ended yet, and the clocks of each trial."""

    assignments: dict[TrialKey, Assignment]
    assigned: float
    begun: dict[TrialKey, float]
    last_heard: dict[TrialKey, float]
    """Infinite while the trial waits for its verdict: that silence is not its own."""
    kill_at: dict[TrialKey, float] = field(default_factory=dict)
    kernel: KernelWatch = field(default_factory=KernelWatch)

    @classmethod
    def of(cls, group: Sequence[Assignment]) -> "_Run":
        now = time.monotonic()
        allowed = dict.fromkeys((item.key for item in group), now + _START_ALLOWANCE_S)
        return cls({item.key: item for item in group}, now, allowed, dict(allowed))

    def begin(self, key: TrialKey) -> None:
        """Start a trial's clocks."""
        self.begun[key] = self.last_heard[key] = time.monotonic()

    def hear(self, key: TrialKey) -> None:
        """Note that a trial reported: it now waits for a verdict, or goes on."""
        assignment = self.assignments.get(key)
        waits = assignment is not None and assignment.waits_for_verdict
        self.last_heard[key] = math.inf if waits else time.monotonic()

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


class _Slot:
    """One slot and its current process."""

    def __init__(self, record: SlotRecord, preload: Preload) -> None:
        self.record = record
        self.run: _Run | None = None
        self._preload = preload
        self._child, self._lifeline = self._spawn()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def connection(self) -> "Connection[_Message, Event | Begun]":
        return self._child.connection

    def _spawn(self) -> "tuple[Child[_Message, Event | Begun], int]":
        lifeline_read, lifeline_write = os.pipe()
        child: Child[_Message, Event | Begun] = Child(
            "stepsize_workers.engines.slot",
            str(lifeline_read),
            _torch_device(self.record.device),
            ",".join(self._preload.modules),
            ",".join(self._preload.trainers),
            env=_slot_environment(os.environ, self.record),
            pass_fds=[lifeline_read],
        )
        os.close(lifeline_read)
        return child, lifeline_write

    def send(self, message: _Message) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # a dead process is noticed by its closed pipe
            self._child.send(message)

    def receive(self) -> Iterator[Event | Begun]:
        """Yield all events there are, then raise EOFError if the process is gone."""
        while self.connection.poll(0):
            try:
                yield self._child.receive()
            except OSError as error:  # reset, or killed in the middle of a message
                raise EOFError from error

    def end(self) -> int:
        """Kill the process with all it has started and return its exit status."""
        os.close(self._lifeline)
        return self._child.end()

    def retire(self) -> None:
        """Let an idle process end by itself."""
        self.connection.close()
        os.close(self._lifeline)

    def wait_for_end(self, timeout_s: float) -> None:
        self._child.wait_for_end(timeout_s)

    def recycle(self) -> int:
        """Replace the process by a fresh one; return the old one's exit status."""
        status = self.end()
        self.run = None
        self._child, self._lifeline = self._spawn()
        return status


class LocalEngine:
    """Runs trials in slot processes of this machine. Not thread-safe but for `wake`."""

    def __init__(self, slots: Sequence[SlotRecord], preload: Preload | None = None) -> None:
        self._slots = [_Slot(record, preload or Preload()) for record in slots]
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._closed = False

    @property
    def slots(self) -> Sequence[SlotRecord]:
        return [slot.record for slot in self._slots]

    @property
    def slot_pids(self) -> list[int]:
        """Process ids of the slots, by slot index."""
        return [slot.pid for slot in self._slots]

    def free_slots(self) -> list[SlotRecord]:
        return [slot.record for slot in self._slots if slot.run is None]

    def start(self, slot: SlotRecord, group: Sequence[Assignment]) -> None:
        place = self._slots[slot.index]
        assert place.run is None, "a slot runs one group at a time"
        place.run = _Run.of(group)
        for assignment in group:
            place.send(assignment)

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        place = self._place_of(key)
        if place and place.run:
            place.run.answer(key, stop=stop)
            place.send(Answer(key, stop))

    def stop(self, key: TrialKey, *, grace_s: float) -> None:
        place = self._place_of(key)
        if place is None or place.run is None:
            return
        if grace_s > 0:
            place.send(Stop(key))
        deadline = time.monotonic() + grace_s
        place.run.kill_at[key] = min(deadline, place.run.kill_at.get(key, deadline))

    def poll(self, timeout_s: float) -> list[Event]:
        waiting: list[Connection | socket.socket] = [self._wake_reader, *(slot.connection for slot in self._slots)]
        wait(waiting, self._until_next_deadline(timeout_s))
        with suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass
        events: list[Event] = []
        for slot in self._slots:
            events += self._drain(slot)
        return events

    def wake(self) -> None:
        with suppress(OSError):  # closed, or full: a wake-up is waiting already
            self._wake_writer.send(b".")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for slot in self._slots:
            if slot.run is None:
                slot.retire()
            else:
                slot.end()
        for slot in self._slots:
            slot.wait_for_end(_CLOSE_GRACE_S)
        self._wake_reader.close()
        self._wake_writer.close()

    def _drain(self, slot: _Slot) -> list[Event]:
        events: list[Event] = []
        try:
            for event in slot.receive():
                self._note(slot, event)
                if not isinstance(event, Begun):
                    events.append(event)
        except EOFError:
            return events + self._replace(slot, Outcome.LOST)
        if any(isinstance(event, Ended) and _spoils(event.outcome, slot.record) for event in events):
            events += self._replace(slot, Outcome.LOST)  # a group's others start anew
        if slot.run and (why := slot.run.overdue(time.monotonic())):
            events += self._replace(slot, why)
        return events

    def _note(self, slot: _Slot, event: Event | Begun) -> None:
        if slot.run is None:
            return
        match event:
            case Ended(key=key):
                slot.run.assignments.pop(key, None)
                if not slot.run.assignments:
                    slot.run = None
            case Begun(key=key):
                slot.run.begin(key)
            case Reported(key=key):
                slot.run.hear(key)
            case CheckpointSaved():
                pass

    def _replace(self, slot: _Slot, why: Outcome) -> list[Event]:
        """Kill and renew a slot's process; its trials end for the reason given."""
        run = slot.run
        if run is None and why is Outcome.LOST:
            time.sleep(_RESPAWN_PAUSE_S)
        status = slot.recycle()
        if run is None:
            return []
        if why is Outcome.LOST and run.kernel.killed(status):
            why = Outcome.OOM
        duration = time.monotonic() - run.assigned
        return [Ended(key, why, _error(why, status, item), (), duration) for key, item in run.assignments.items()]

    def _until_next_deadline(self, timeout_s: float) -> float:
        """Return how long to wait so that no time limit is overrun by much."""
        has_limits = any(slot.run and slot.run.has_limits for slot in self._slots)
        return min(timeout_s, _LIMIT_CHECK_S) if has_limits else timeout_s

    def _place_of(self, key: TrialKey) -> _Slot | None:
        return next((slot for slot in self._slots if slot.run and key in slot.run.assignments), None)


def _spoils(outcome: Outcome, slot: SlotRecord) -> bool:
    """Tell whether a process may be of no more use after a trial that ended like this.

    What an allocator holds after running out of memory is anybody's guess; and after some errors on a GPU (an assertion
    on the device, an illegal address) every further call fails.
    """
    return outcome is Outcome.OOM or (outcome is Outcome.ERROR and slot.device.startswith("cuda"))


def _error(why: Outcome, status: int, assignment: Assignment) -> TrialError | None:
    match why:
        case Outcome.LOST:
            ended = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
            return TrialError("ProcessLost", f"the trial's process ended: {ended}")
        case Outcome.OOM:
            return TrialError("KilledForMemory", "memory ran out, and the kernel killed the trial's process")
        case Outcome.TIMEOUT:
            return TrialError("TrialTimeout", f"ran longer than trial_timeout_s = {assignment.trial_timeout_s}")
        case Outcome.STALLED:
            return TrialError("TrialStalled", f"reported nothing for stall_timeout_s = {assignment.stall_timeout_s}")
        case _:
            return None


def _torch_device(device: str) -> str:
    # CUDA_VISIBLE_DEVICES leaves the slot's process a single GPU, which is its number 0.
    return "cuda:0" if device.startswith("cuda") else device


def _slot_environment(environment: Mapping[str, str], slot: SlotRecord) -> dict[str, str]:
    """Return the environment of a slot's process: its own device, and no more CPU threads than its share.

    Without the pinning two slots with default threads on two cores ran 10 times slower. Threads that wait for others
    sleep: with other work on the machine, a small net on two threads that spun took 10 to 20 times as long.
    """
    waiting = {"OMP_WAIT_POLICY": environment.get("OMP_WAIT_POLICY", "PASSIVE")}
    gpu = ""
    if slot.device.startswith("cuda:"):
        index = slot.device.removeprefix("cuda:")
        allowed = _allowed_gpus(environment)
        gpu = index if allowed is None else allowed[int(index)]
    return {**environment, **thread_limits(slot.cpus), **waiting, "CUDA_VISIBLE_DEVICES": gpu, "PYTHONUNBUFFERED": "1"}


def _allowed_gpus(environment: Mapping[str, str]) -> list[str] | None:
    """Return the GPUs that a worker was given by `CUDA_VISIBLE_DEVICES` (numbers or ids); None: all there are."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return None
    gpus = [gpu.strip() for gpu in given.split(",")]
    return list(takewhile(lambda gpu: gpu not in ("", "-1"), gpus))  # CUDA itself stops there


def detect_slots(n_slots: int | None) -> list[SlotRecord]:
    """Return this machine's slots: one per GPU, or one per CPU core up to two and one per four beyond.

    Args:
        n_slots: how many instead; several slots share a GPU in equal parts.
    """
    cores = len(os.sched_getaffinity(0))
    allowed = _allowed_gpus(os.environ)
    n_gpus = _count_gpus() if allowed is None else min(len(allowed), _count_gpus())
    n = n_slots or n_gpus or max(min(cores, 2), cores // 4)
    cpus = max(1, cores // n)
    if not n_gpus:
        return [SlotRecord(index, "cpu", 0.0, cpus) for index in range(n)]
    per_gpu = -(-n // n_gpus)
    return [SlotRecord(index, f"cuda:{index % n_gpus}", 1 / per_gpu, cpus) for index in range(n)]


def _count_gpus() -> int:
    try:
        import pynvml  # noqa: PLC0415 - absent from machines that will never have a GPU
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    return int(pynvml.nvmlDeviceGetCount())
