"""An engine without processes: trials are lists of what they will say. It keeps the promises of every engine."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stepsize.domain.trial import TrialError
from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import (
    ONE_PLACE,
    Assignment,
    CheckpointSaved,
    Ended,
    Event,
    Fault,
    Grouped,
    Measured,
    Outcome,
    Places,
    Reported,
    TrialKey,
    Vacant,
)

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
    is_asked_to_end: bool = False
    ahead: float | Outcome | None = None
    """What the script says next, where that was looked at."""
    saves_until: int = 0
    saved: int = 0

    def __post_init__(self) -> None:
        for _ in range(self.assignment.checkpoint_step or 0):
            next(self.script)
            self.step += 1
        self.saved = self.step

    def end_of_round(self) -> Ended | None:
        """Return its end, if it is over after the round that all of its group have just made."""
        if self.ahead is None:
            self.ahead = next(self.script, Outcome.COMPLETED)
        if self.stopped:
            return self._end(Outcome.STOPPED)
        return self._end(Outcome.COMPLETED) if self.ahead is Outcome.COMPLETED else None

    def checkpoint(self) -> list[Event]:
        """Return what it says of the checkpoint it saves after each report; one that is pruned saves none."""
        if self.saved == self.step or self.step > self.saves_until or (self.stopped and not self.is_asked_to_end):
            return []
        self.saved = self.step
        return [CheckpointSaved(self.assignment.key, self.step)]

    def next_event(self) -> Event | None:
        """Return what happens next, or None if nothing does."""
        if outcome := self._overdue(time.monotonic()):
            return self._end(outcome)
        if self.awaits_answer:
            return None
        if self.stopped and not self.is_silent:
            return self._end(Outcome.STOPPED)
        said = next(self.script, Outcome.COMPLETED) if self.ahead is None else self.ahead
        self.ahead = None
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
class _Group:
    """Trials of one slot: they take their steps together, and wait for each other's verdicts."""

    trials: list[_Trial]
    n_places: int = 1
    asks: bool = False
    is_announced: bool = False
    is_waiting: bool = False
    asks_after_round: bool = False
    rates: tuple[float, ...] | None = None
    """What is measured before anything else."""

    def next_events(self, why_not: str | None) -> list[Event]:
        """Return what happens next: who has ended with the last round, who may come, or a round."""
        events: list[Event] = []
        if self.rates is not None and why_not is None and not self.is_waiting:
            self.is_waiting = True
            return self._measured(self.rates)
        if self.n_places > 1 and not self.is_announced:
            self.is_announced = True
            events += self._announce(why_not)
        is_group = self.n_places > 1
        if self.is_waiting or (is_group and any(trial.awaits_answer for trial in self.trials)):
            return events
        if words := self._end_of_round(is_group=is_group):
            return events + words
        free = self.n_places - len(self.trials)
        if self.asks and free and self.trials:
            self.is_waiting = True
            return [*events, Vacant(self.trials[0].assignment.key, free)]
        said = [trial.next_event() for trial in self.trials]
        self.asks |= self.asks_after_round
        return events + self._without_ended([event for event in said if event is not None])

    def _measured(self, rates: tuple[float, ...]) -> list[Event]:
        (first,) = self.trials
        if first.stopped:
            return self._without_ended([Ended(first.assignment.key, Outcome.STOPPED)])
        return [Measured(first.assignment.key, rates)]

    def _end_of_round(self, *, is_group: bool) -> list[Event]:
        """Return what is so after a round: it is heard of at once."""
        heard = [trial for trial in self.trials if trial.step and not trial.awaits_answer]
        saved = [event for trial in heard for event in trial.checkpoint()]
        ends = [trial.end_of_round() for trial in heard] if is_group else []
        return self._without_ended([*saved, *(end for end in ends if end is not None)])

    def _without_ended(self, events: list[Event]) -> list[Event]:
        ended = {event.key for event in events if isinstance(event, Ended)}
        self.asks |= bool(ended)
        self.trials = [trial for trial in self.trials if trial.assignment.key not in ended]
        return events

    def _announce(self, why_not: str | None) -> list[Event]:
        first, *others = self.trials
        words = Grouped(first.assignment.key, is_fused=why_not is None, why=why_not or "scripts run together")
        if why_not is None:
            return [words]
        self.trials, self.n_places = [first], 1
        return [words, *(Ended(one.assignment.key, Outcome.RETURNED, fault=Fault.OTHER) for one in others)]


@dataclass
class FakeEngine:
    """Runs `script` in each of `n_slots` slots; one event a trial and poll."""

    script: Script
    n_slots: int = 1
    why_not_fused: str | None = None
    rates_of: Callable[[Mapping[str, Scalar]], tuple[float, ...]] = lambda params: (100.0, 150.0, 240.0, 400.0)
    """What trials with some parameters measure, where they are asked to."""
    saves_until: int = 0
    """The last step after whose report trials save a checkpoint, from which they go on."""
    running: dict[int, _Group] = field(default_factory=dict)
    woken: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def trials(self) -> list[_Trial]:
        """All that are under way."""
        return [trial for group in self.running.values() for trial in group.trials]

    @property
    def slots(self) -> Sequence[SlotRecord]:
        return [SlotRecord(index, "cpu", 0.0, 1) for index in range(self.n_slots)]

    def free_slots(self) -> list[SlotRecord]:
        return [slot for slot in self.slots if slot.index not in self.running]

    def start(self, slot: SlotRecord, group: Sequence[Assignment], places: Places = ONE_PLACE) -> None:
        trials = [self._new(assignment) for assignment in group]
        rates = self.rates_of(group[0].params) if places.measures else None
        self.running[slot.index] = _Group(trials, max(places.n, len(group)), places.is_open, rates=rates)

    def join(
        self, key: TrialKey, group: Sequence[Assignment], *, ask_again: bool = False, n_places: int | None = None
    ) -> None:
        found = next(one for one in self.running.values() if any(each.assignment.key == key for each in one.trials))
        found.trials += [self._new(assignment) for assignment in group]
        found.trials.sort(key=lambda trial: trial.assignment.key.number)
        found.is_waiting, found.asks, found.asks_after_round = False, False, ask_again
        if n_places is not None:
            found.n_places, found.rates = n_places, None

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        if trial := self._trial(key):
            trial.answer(stop=stop)

    def stop(self, key: TrialKey, *, grace_s: float) -> None:
        if trial := self._trial(key):
            trial.answer(stop=True)
            trial.is_asked_to_end = True
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
        for index, group in list(self.running.items()):
            events += group.next_events(self.why_not_fused)
            if not group.trials:
                del self.running[index]
        return events

    def _new(self, assignment: Assignment) -> _Trial:
        return _Trial(assignment, self.script(assignment.params), saves_until=self.saves_until)

    def _trial(self, key: TrialKey) -> _Trial | None:
        return next((trial for trial in self.trials if trial.assignment.key == key), None)
