"""What an engine is: it runs groups of trials in slots and says what happens to each, in order.

Obligations of an engine (kept by tests/contracts/test_engines.py):
  * for every trial it was given, exactly one `Ended`, after all of the trial's other events;
  * `stop` makes a trial end soon: politely first, by force after a grace;
  * a trial over its time limits, or whose process dies, ends with an `Ended` that says so;
  * whatever a trial does or says can end that trial only: events are checked (stepsize_workers/engines/wire.py), and
    what it leaves behind in its process reaches no other trial;
  * no process outlives `close`, nor the engine's own process, by more than a second.
A group shares one slot; a group of one is the normal case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from stepsize.domain.trial import TrialError
from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord


@dataclass(frozen=True, slots=True)
class TrialKey:
    """One attempt of one trial."""

    job_id: str
    number: int
    attempt: int


class Mode(StrEnum):
    """What a trial's trainer is asked to do; follows the kind of the job."""

    TRAIN = "tune"
    SWEEP = "range_test"
    REFIT = "refit"


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a slot needs to run one attempt of a trial."""

    key: TrialKey
    trainer: str
    params: Mapping[str, Scalar]
    """Fixed and searched parameters together."""
    seed: int
    trial_dir: Path
    """Log, checkpoint and artifacts of this trial."""
    data_dir: Path
    waits_for_verdict: bool
    """A pruner judges this trial: `report` returns its answer."""
    mode: Mode = Mode.TRAIN
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the mode needs besides: nothing for training."""
    checkpoint_step: int | None = None
    trial_timeout_s: float | None = None
    stall_timeout_s: float | None = None


class Outcome(StrEnum):
    """How an attempt ended, as far as its engine can tell."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    OOM = "oom"
    ERROR = "error"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Reported:
    """The trial measured something; it waits for `answer` if its assignment says so."""

    key: TrialKey
    step: int
    values: dict[str, float]
    elapsed_s: float
    waits: bool = True
    """The trial does nothing until it is answered, if its assignment says that it waits for verdicts at all."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The trial can be resumed after `step`."""

    key: TrialKey
    step: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt is over; its slot is free again."""

    key: TrialKey
    outcome: Outcome
    error: TrialError | None = None
    artifacts: tuple[str, ...] = ()
    duration_s: float = 0.0
    data_hash: str | None = None
    """Identifies the data the trial was trained on, if its trainer said so."""
    leaves_traces: bool = False
    """Something of it goes on in its process, which is of no more use."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The trainer is imported and starts: the trial's clocks run from here."""

    key: TrialKey


Event = Reported | CheckpointSaved | Ended
"""What an engine tells its user; `Begun` stays between a slot and its engine."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on the last report of a trial that waits for it."""

    key: TrialKey
    stop: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask a trial to end at its next report or `should_stop`."""

    key: TrialKey


class Engine(Protocol):
    """Where trials run."""

    @property
    def slots(self) -> Sequence[SlotRecord]:
        """All places a trial can run, fixed at start."""

    def free_slots(self) -> list[SlotRecord]:
        """Return the slots that would start a trial at once."""

    def start(self, slot: SlotRecord, group: Sequence[Assignment]) -> None:
        """Run a group of trials in a free slot."""

    def answer(self, key: TrialKey, *, stop: bool) -> None:
        """Give a waiting trial its verdict."""

    def stop(self, key: TrialKey, *, grace_s: float) -> None:
        """Ask a trial to end, and end its process if it has not within `grace_s` seconds; with 0, end it unasked."""

    def poll(self, timeout_s: float) -> list[Event]:
        """Wait up to `timeout_s` for events; return all there are, each trial's in order."""

    def wake(self) -> None:
        """Make a `poll` in another thread return now."""

    def close(self) -> None:
        """End every process."""
