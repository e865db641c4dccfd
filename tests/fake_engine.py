"""An engine without processes: trials are lists of what they will say, and time passes only in `poll`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Assignment, Ended, Event, Outcome, Reported, TrialKey

Script = Callable[[Mapping[str, Scalar]], Iterator[float | Outcome]]
"""From a trial's parameters to the losses it reports, one a step; an `Outcome` ends it early in that way."""


@dataclass
class _Trial:
    assignment: Assignment
    script: Iterator[float | Outcome]
    step: int = 0
    awaits_answer: bool = False
    stopped: bool = False

    def next_event(self) -> Event:
        key = self.assignment.key
        if self.stopped:
            return Ended(key, Outcome.STOPPED)
        said = next(self.script, Outcome.COMPLETED)
        if isinstance(said, Outcome):
            return Ended(key, said)
        self.step += 1
        self.awaits_answer = self.assignment.waits_for_verdict
        return Reported(key, self.step, {"loss": said}, float(self.step))


@dataclass
class FakeEngine:
    """Runs `script` in each of `n_slots` slots; one event a trial and poll."""

    script: Script
    n_slots: int = 1
    running: dict[int, _Trial] = field(default_factory=dict)

    @property
    def slots(self) -> Sequence[SlotRecord]:
        return [SlotRecord(index, "cpu", 0.0, 1) for index in range(self.n_slots)]

    def free_slots(self) -> list[SlotRecord]:
        return [slot for slot in self.slots if slot.index not in self.running]

    def start(self, slot: SlotRecord, group: Sequence[Assignment]) -> None:
        (assignment,) = group
        self.running[slot.index] = _Trial(assignment, self.script(assignment.params))

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        trial = self._trial(key)
        trial.awaits_answer = False
        trial.stopped |= stop

    def stop(self, key: TrialKey, *, grace_s: float) -> None:
        trial = self._trial(key)
        trial.awaits_answer = False
        trial.stopped = True

    def poll(self, timeout_s: float) -> list[Event]:
        events = []
        for index, trial in list(self.running.items()):
            if trial.awaits_answer:
                continue
            event = trial.next_event()
            events.append(event)
            if isinstance(event, Ended):
                del self.running[index]
        return events

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self.running.clear()

    def _trial(self, key: TrialKey) -> _Trial:
        return next(trial for trial in self.running.values() if trial.assignment.key == key)
