"""The local engine: slots are warm processes on this machine, one device each."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait

import structlog

from stepsize.domain.said import LONGEST_NAME, clean_text
from stepsize.domain.trial import TrialError
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Answer, Assignment, Begun, Ended, Event, Outcome, Stop, TrialKey
from stepsize_workers.engines.place import Place, Preload, Run
from stepsize_workers.engines.wire import NonsenseError

__all__ = ["LocalEngine", "Preload"]

log = structlog.get_logger()

_CLOSE_GRACE_S = 2.0
_LIMIT_CHECK_S = 0.05
_RESPAWN_PAUSE_S = 0.2
"""A process that dies without any work is replaced no faster than this."""


class LocalEngine:
    """Runs trials in slot processes of this machine. Not thread-safe but for `wake`."""

    def __init__(self, slots: Sequence[SlotRecord], preload: Preload | None = None) -> None:
        self._slots = [Place(record, preload or Preload()) for record in slots]
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
        return [slot.record for slot in self._slots if slot.is_free]

    def start(self, slot: SlotRecord, group: Sequence[Assignment]) -> None:
        place = self._slots[slot.index]
        assert place.is_free, "a slot runs one group at a time"
        place.run = Run.of(group)
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
        wires = [wire.fileno() for slot in self._slots for wire in slot.wires]
        wait([self._wake_reader, *wires], self._until_next_deadline(timeout_s))
        with suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass
        events: list[Event] = []
        for slot in self._slots:
            try:
                slot.revive()
                self._hear(slot, events)
            except Exception as error:  # one slot must not take the others down
                log.exception("a slot is renewed", slot=slot.record.index)
                name = clean_text(type(error).__name__, LONGEST_NAME)
                events += self._replace(slot, Outcome.ERROR, TrialError(name, clean_text(error)))
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

    def _hear(self, slot: Place, events: list[Event]) -> None:
        """Add what a slot says, and what its silence or its end says."""
        try:
            for word in slot.words():
                if slot.run is None or not slot.run.hear(word):
                    continue  # said by what an earlier trial left behind
                if isinstance(word, Begun):
                    continue
                events.append(word)
                if isinstance(word, Ended):
                    self._settle(slot, word, events)
        except EOFError:
            if slot.run is None:
                time.sleep(_RESPAWN_PAUSE_S)
            events += self._replace(slot, *slot.why_ended())
        except NonsenseError as nonsense:
            events += self._replace(slot, Outcome.ERROR, TrialError("NonsenseError", _nonsense(nonsense)))
        if slot.run and (why := slot.run.overdue(time.monotonic())):
            events += self._replace(slot, why)

    def _settle(self, slot: Place, ended: Ended, events: list[Event]) -> None:
        """Free a slot whose trials have all ended; renew a process that is of no more use."""
        assert slot.run is not None, "one of its trials has ended just now"
        if _spoils(ended, slot.record):
            events += self._replace(slot, Outcome.LOST)  # a group's others start anew
        elif not slot.run.assignments:
            slot.run = None

    def _replace(self, slot: Place, why: Outcome, error: TrialError | None = None) -> list[Event]:
        """Kill and renew a slot's process; its trials end for the reason given."""
        run = slot.run
        slot.recycle()
        if run is None:
            return []
        duration = time.monotonic() - run.assigned
        return [Ended(key, why, error or _error(why, item), (), duration) for key, item in run.assignments.items()]

    def _until_next_deadline(self, timeout_s: float) -> float:
        """Return how long to wait so that no time limit is overrun by much."""
        has_limits = any(slot.run and slot.run.has_limits for slot in self._slots)
        return min(timeout_s, _LIMIT_CHECK_S) if has_limits else timeout_s

    def _place_of(self, key: TrialKey) -> Place | None:
        return next((slot for slot in self._slots if slot.run and key in slot.run.assignments), None)


def _spoils(ended: Ended, slot: SlotRecord) -> bool:
    """Tell whether a process may be of no more use after a trial that ended like this.

    What an allocator holds after running out of memory is anybody's guess; and after some errors on a GPU (an assertion
    on the device, an illegal address) every further call fails.
    """
    if ended.outcome is Outcome.OOM or ended.leaves_traces:
        return True
    return ended.outcome is Outcome.ERROR and slot.device.startswith("cuda")


def _nonsense(nonsense: NonsenseError) -> str:
    return clean_text(f"what the trial's process told the worker is nothing that a trial says: {nonsense}")


def _error(why: Outcome, assignment: Assignment) -> TrialError | None:
    match why:
        case Outcome.OOM:
            return TrialError("KilledForMemory", "memory ran out, and the kernel killed the trial's process")
        case Outcome.TIMEOUT:
            return TrialError("TrialTimeout", f"ran longer than trial_timeout_s = {assignment.trial_timeout_s}")
        case Outcome.STALLED:
            return TrialError("TrialStalled", f"reported nothing for stall_timeout_s = {assignment.stall_timeout_s}")
        case _:
            return None
