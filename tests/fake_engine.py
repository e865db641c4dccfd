"""An engine without processes: trials are lists of what they will say. It keeps the promises of every engine."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stepsize.domain.trial import TrialError
from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Assignment, Ended, Event, Outcome, Reported, TrialKey

Script = Callable[[Mapping[str, Scalar]], Iterator[float | Outcome | None]]
"""From a trial's parameters to the losses it reports, one a step; an `Outcome` ends it early in that way, and while it
yields None it neither says nor hears anything."""

_ERRORS = {
    Outcome.DIVERGED: TrialError("Diverged", "the loss exploded"),
    Outcome.OOM: TrialError("OutOfMemory", "memory ran out"),
    Outcome.ERROR: TrialError("ScriptedError", "the script says so"),
    Outcome.LOST: TrialError("ProcessLost", "the trial's process ended: killed by signal 9"),
    Outcome.TIMEOUT: TrialError("TrialTimeout", "ran longer than trial_timeout_s"),
    Outcome.STALLED: TrialError("TrialStalled", "reported nothing for stall_timeout_s"),
}


@dataclass
class _Trial:
    assignment: Assignment
    script: Iterator[float | Outcome | None]
    begun: float = field(default_factory=time.monotonic)
    last_heard: float = field(default_factory=time.monotonic)
    kill_at: float = math.inf
    step: int = 0
    awaits_answer: bool = False
    is_silent: bool = False
    stopped: bool = False

    def next_event(self) -> Event | None:
        """Return what happens next, or None if nothing does."""
        if outcome := self._overdue(time.monotonic()):
            return self._end(outcome)
        if self.awaits_answer:
            return None
        if self.stopped and not self.is_silent:
            return self._end(Outcome.STOPPED)
        said = next(self.script, Outcome.COMPLETED)
        self.is_silent = said is None
        if said is None:
            return None
        if isinstance(said, Outcome):
            return self._end(said)
        self.step += 1
        self.last_heard = time.monotonic()
        self.awaits_answer = self.assignment.waits_for_verdict
        return Reported(self.assignment.key, self.step, {"loss": said}, float(self.step))

    def answer(self, *, stop: bool) -> None:
        """Give it its verdict, or a reason to end without waiting for one."""
        self.awaits_answer = False
        self.last_heard = time.monotonic()
        self.stopped |= stop

    def _overdue(self, now: float) -> Outcome | None:
        limit_s, silence_s = self.assignment.trial_timeout_s, self.assignment.stall_timeout_s
        if now >= self.kill_at:
            return Outcome.STOPPED
        if limit_s is not None and now - self.begun > limit_s:
            return Outcome.TIMEOUT
        if silence_s is not None and not self.awaits_answer and now - self.last_heard > silence_s:
            return Outcome.STALLED
        return None

    def _end(self, outcome: Outcome) -> Ended:
        return Ended(self.assignment.key, outcome, _ERRORS.get(outcome))


@dataclass
class FakeEngine:
    """Runs `script` in each of `n_slots` slots; one event a trial and poll."""

    script: Script
    n_slots: int = 1
    running: dict[int, _Trial] = field(default_factory=dict)
    woken: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def slots(self) -> Sequence[SlotRecord]:
        return [SlotRecord(index, "cpu", 0.0, 1) for index in range(self.n_slots)]

    def free_slots(self) -> list[SlotRecord]:
        return [slot for slot in self.slots if slot.index not in self.running]

    def start(self, slot: SlotRecord, group: Sequence[Assignment]) -> None:
        (assignment,) = group
        self.running[slot.index] = _Trial(assignment, self.script(assignment.params))

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        if trial := self._trial(key):
            trial.answer(stop=stop)

    def stop(self, key: TrialKey, *, grace_s: float) -> None:
        if trial := self._trial(key):
            trial.answer(stop=True)
            trial.kill_at = min(trial.kill_at, time.monotonic() + grace_s)

    def poll(self, timeout_s: float) -> list[Event]:
        events = self._next_events()
        if not events and timeout_s > 0:
            self.woken.wait(timeout_s)
            events = self._next_events()
        self.woken.clear()
        return events

    def wake(self) -> None:
        self.woken.set()

    def close(self) -> None:
        self.running.clear()

    def _next_events(self) -> list[Event]:
        events = []
        for index, trial in list(self.running.items()):
            event = trial.next_event()
            if event is not None:
                events.append(event)
            if isinstance(event, Ended):
                del self.running[index]
        return events

    def _trial(self, key: TrialKey) -> _Trial | None:
        return next((trial for trial in self.running.values() if trial.assignment.key == key), None)
