"""The local engine: slots are warm processes on this machine, one device each."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait

import structlog

from stepsize.domain.said import LONGEST_NAME, clean_text
from stepsize.domain.trial import TrialError
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import (
    ONE_PLACE,
    Answer,
    Assignment,
    Begun,
    Ended,
    Event,
    Fault,
    Outcome,
    Places,
    Stop,
    TrialKey,
)
from stepsize_workers.engines.place import Place, Preload, Run
from stepsize_workers.engines.wire import Answers, Group, Joiners, NonsenseError, Word

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

    def start(self, slot: SlotRecord, group: Sequence[Assignment], places: Places = ONE_PLACE) -> None:
        place = self._slots[slot.index]
        assert place.is_free, "a slot runs one group at a time"
        place.run = Run.of(group)
        n_places = max(places.n, len(group))
        if n_places == 1:
            place.send(group[0])
        else:
            place.send(Group(tuple(group), replace(places, n=n_places)))

    def join(
        self, key: TrialKey, group: Sequence[Assignment], *, ask_again: bool = False, n_places: int | None = None
    ) -> None:
        place = self._place_of(key)
        assert place is not None, "who asked is under way: it waits"
        assert place.run is not None, "its place runs it"
        place.run.join(group)
        place.send(Joiners(tuple(group), ask_again, n_places))

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        place = self._place_of(key)
        if place is None or place.run is None:
            return
        place.run.answer(key, stop=stop)
        if key not in place.run.awaited:
            place.send(Answer(key, stop))
        elif verdicts := place.run.collect(Answer(key, stop)):
            place.send(Answers(verdicts))

    def stop(self, key: TrialKey, *, grace_s: float) -> None:
        place = self._place_of(key)
        if place is None or place.run is None:
            return
        if grace_s > 0 or len(place.run.assignments) > 1:
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
            for words in slot.words():
                if len(words) > 1 and slot.run:
                    slot.run.expect_answers(words)
                for word in words:
                    self._take_in(slot, word, events)
        except EOFError:
            if slot.run is None:
                time.sleep(_RESPAWN_PAUSE_S)
            events += self._replace(slot, *slot.why_ended())
        except NonsenseError as nonsense:
            events += self._replace(slot, Outcome.ERROR, TrialError("NonsenseError", _nonsense(nonsense)))
        if slot.run and (overdue := slot.run.overdue(time.monotonic())):
            events += self._end_overdue(slot, slot.run, *overdue)

    def _take_in(self, slot: Place, word: Word, events: list[Event]) -> None:
        run = slot.run
        assignment = run.assignments.get(word.key) if run else None
        if run is None or assignment is None:
            return  # said by what an earlier trial left behind
        run.hear(word)
        if isinstance(word, Begun):
            slot.note_provenance(word)
            return
        if isinstance(word, Ended):
            run.is_spoilt |= _spoils(word, slot.record)
            word = replace(word, provenance=run.provenance)
            why = run.asked_to_stop.get(word.key)
            if why is not None and word.outcome is Outcome.STOPPED:
                word = replace(word, outcome=why, error=_error(why, assignment))
        events.append(word)
        if isinstance(word, Ended) and not run.assignments:
            if run.is_spoilt:
                slot.recycle()
            slot.run = None

    def _end_overdue(self, slot: Place, run: Run, key: TrialKey, why: Outcome) -> list[Event]:
        """End a trial that is over a limit of its own: alone, if it is in company and does as it is told."""
        if why is Outcome.TIMEOUT and len(run.assignments) > 1 and key not in run.asked_to_stop:
            run.ask_to_stop(key, why)
            slot.send(Stop(key))
            return []
        # Reports of a group come together: that none come is nobody's own fault.
        return self._replace(slot, why, guilty=None if why is Outcome.STALLED else key)

    def _replace(
        self, slot: Place, why: Outcome, error: TrialError | None = None, *, guilty: TrialKey | None = None
    ) -> list[Event]:
        """Kill and renew a slot's process; its trials end for the reason given.

        Args:
            guilty: the trial of a group that it is about, if that is known; the others are lost with it.
        """
        run = slot.run
        slot.recycle()
        if run is None:
            return []
        duration = time.monotonic() - run.assigned
        is_group = len(run.assignments) > 1
        ends: list[Ended] = []
        for key, item in run.assignments.items():
            its_own = run.asked_to_stop.get(key, why if guilty in (None, key) else None)
            if its_own is None and key in run.kill_at:
                its_own = Outcome.STOPPED
            fault = Fault.OWN if not is_group or guilty == key else Fault.GROUP if guilty is None else Fault.OTHER
            if its_own is None:
                lost = TrialError("ProcessLost", "its process was ended for another trial of its group")
                ends.append(Ended(key, Outcome.LOST, lost, (), duration, fault=fault))
            else:
                fault = Fault.OWN if key in run.kill_at else fault
                ends.append(Ended(key, its_own, error or _error(its_own, item), (), duration, fault=fault))
        return [replace(end, provenance=run.provenance) for end in ends]

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
