"""What an engine is: it runs groups of trials in slots and says what happens to each, in order.

Obligations of an engine (kept by tests/contracts/test_engines.py):
  * for every trial it was given, exactly one `Ended`, after all of the trial's other events;
  * `stop` makes a trial end soon: politely first, by force after a grace;
  * a trial over its time limits, or whose process dies, ends with an `Ended` that says so;
  * whatever a trial does or says can end that trial only: events are checked (stepsize_workers/engines/wire.py), and
    what it leaves behind in its process reaches no other trial;
  * no process outlives `close`, nor the engine's own process, by more than a second.
A group shares one slot and is trained as one; a group of one is the normal case. Of a group beside that:
  * its members report together, once a round, and are heard of in one `poll`; what waits is answered member by member;
  * so are their checkpoints and ends after a round: all of them are in the record, or none;
  * a member that ends leaves its place free. Then, and not before it is answered by `join`, the group goes on: what is
    proposed for the place follows from all that had been said until then, whatever the worker was busy with;
  * a slot that can't train the trials as one says why (`Grouped`), runs the first and hands the others back;
  * where nobody can say whose fault it was (memory, a dead process), `Ended` says that it was the group's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from stepsize.domain.trial import TrialError
from stepsize.spec.provenance import Provenance
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
    RETURNED = "returned"
    """Handed back by a slot that can't train it together with the others of its group."""


class Fault(StrEnum):
    """Through whom an attempt ended that did not end by itself."""

    OWN = "own"
    GROUP = "group"
    """Through a trial of its group, and nobody can say which: each must be tried without the others."""
    OTHER = "other"
    """Through another trial of its group, or because the slot took no more of them."""


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
    remark: str | None = None
    """What its trainer had to say about how it went."""
    provenance: Provenance | None = None
    """What it ran with; None: it never began."""
    leaves_traces: bool = False
    """Something of it goes on in its process, which is of no more use."""
    fault: Fault = Fault.OWN


@dataclass(frozen=True, slots=True)
class Begun:
    """The trainer is imported and starts: the trial's clocks run from here."""

    key: TrialKey
    provenance: Provenance | None = None
    """What it runs with."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """How a slot trains the group that it was given."""

    key: TrialKey
    """Of its first trial."""
    is_fused: bool
    why: str
    """In words, for the trials' pages."""


@dataclass(frozen=True, slots=True)
class Vacant:
    """A group has free places, and waits until `join` says who comes."""

    key: TrialKey
    """Of a trial that is under way in it."""
    n_places: int


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast trials like this one train together; it waits until `join` says how many it is to be, and who comes."""

    key: TrialKey
    rates: tuple[float, ...]
    """Updates a second of 1, 2, 4, … trials, all together, as far as was worth trying; empty: it can't be said."""


Event = Reported | CheckpointSaved | Ended | Grouped | Vacant | Measured
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


@dataclass(frozen=True, slots=True)
class Places:
    """Those of a slot, in which a group of trials is trained."""

    n: int = 1
    """How many may be trained at once, if more than there are trials now."""
    is_open: bool = False
    """Whether places that are free from the beginning are to be asked for at once; if not, the group asks when the
    first of its trials has ended."""
    measures: bool = False
    """Whether the slot, given one trial, is first to measure how many like it train fastest together, of up to `n`. It
    says `Measured`; or `Grouped`, and goes on, where they can't be trained as one."""


ONE_PLACE = Places()


class Engine(Protocol):
    """Where trials run."""

    @property
    def slots(self) -> Sequence[SlotRecord]:
        """All places a trial can run, fixed at start."""

    def free_slots(self) -> list[SlotRecord]:
        """Return the slots that would start a trial at once."""

    def start(self, slot: SlotRecord, group: Sequence[Assignment], places: Places = ONE_PLACE) -> None:
        """Run a group of trials in a free slot."""

    def join(
        self, key: TrialKey, group: Sequence[Assignment], *, ask_again: bool = False, n_places: int | None = None
    ) -> None:
        """Say who comes to the free places of a trial's group, that has asked for them; nobody is an answer too.

        Args:
            n_places: of a trial that has measured, how many may be trained at once; with 1 it trains alone.
            ask_again: whether the group is to ask again after its next round; if not, it does when a further one ends.
        """

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
