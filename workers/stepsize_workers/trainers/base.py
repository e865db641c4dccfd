"""What a trainer is: the one file to read before writing your own.

A trainer is a class with a `Params` model, a few descriptive attributes and `train(context)`. A trainer whose work is
"a model, a loss and batches" should derive from `stepsize_workers.training.trainer.TaskTrainer` instead and inherit
schedules, optimisers, checkpoints and exact resume.

Obligations of `train(context)`:
  * report at increasing steps with finite numbers; a non-finite number ends the trial as `infeasible, diverged`;
  * return soon after `report` or `should_stop` answers True; what was reported is kept;
  * take every random number from `context.seed`: same seed and device, same reports;
  * raise `Diverged` when training has exploded (`ExplosionWatch` in divergence.py tells); let `MemoryError` and CUDA's
    out-of-memory error through; any other exception fails the trial and its traceback goes to the trial's log;
  * never write outside `context.artifact(...)`, `context.figure(...)` and `context.save_checkpoint(...)`.

A trainer with the capability `fuse` also trains groups of trials as one, by `train_group(group)`; what is said above
holds for each member of a group.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from stepsize.domain.trainer import Capabilities, Metric, TrainerCard, TrainsAlone
from stepsize.infeasibility import Diverged as Diverged
from stepsize.spec.objective import Objective
from stepsize.spec.space import Scalar, SearchSpace


class Params(BaseModel):
    """A trainer's parameters: flat, scalars only, each with a default, bounds and a help text (its docstring)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


P_co = TypeVar("P_co", bound=Params, covariant=True)
P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Checkpoint:
    """What an interrupted attempt left behind: `path` as its `save_checkpoint` wrote it, after `step`."""

    step: int
    path: Path


TRAINING_UPDATES = "training_updates"
"""What a sweep may report beside its losses: how many updates a whole training makes."""
UNTRAINED_LOSS = "untrained_loss"
"""And what the untrained model's loss would be on each update's batch: easy batches are told from learning by it."""


@dataclass(frozen=True)
class Sweep:
    """A learning-rate range test: one update at each of `steps` rates, evenly spread per decade from low to high."""

    low: float
    high: float
    steps: int

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 1 (`low`) to `steps` (`high`)."""
        if step == self.steps:
            return self.high
        return self.low * math.pow(self.high / self.low, (step - 1) / (self.steps - 1))

    def extended(self, n: int) -> "Sweep":
        """Return the sweep begun `n` times two decades lower, with as many updates a decade."""
        spacing = math.log10(self.high / self.low) / (self.steps - 1)
        more = n * self.steps_of_an_extension
        return Sweep(self.low * math.pow(10, -more * spacing), self.high, self.steps + more)

    @property
    def steps_of_an_extension(self) -> int:
        """Updates over about two decades."""
        return max(1, round(2 * (self.steps - 1) / math.log10(self.high / self.low)))


class TrialContext(Protocol[P_co]):
    """What a running trial may know and say."""

    @property
    def params(self) -> P_co:
        """The validated parameters, fixed and searched together."""

    @property
    def seed(self) -> int:
        """The training seed: drives initialisation and data order."""

    @property
    def attempt(self) -> int:
        """Which start of this trial this is, from 1; it must not change what is reported."""

    @property
    def device(self) -> str:
        """A torch device string: `cpu` or `cuda:0`."""

    @property
    def data_dir(self) -> Path:
        """Where data sets and their caches live; shared by all trials of the machine."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint to resume from, or None to start at step 0."""

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        """Record one measurement and return whether the trial should stop now.

        With a pruner this waits for its verdict; without one it returns at once.

        Args:
            step: in the trainer's `step_unit`, greater than every step reported before.
            values: metric name → number. A non-finite number raises `Diverged`.
        """

    def should_stop(self) -> bool:
        """Return whether the trial was asked to stop; cheap enough to call at every update."""

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        """Keep what is needed to go on after `step`; `write` gets a path to fill, replaced atomically."""

    def artifact(self, name: str) -> Path:
        """Return the path at which to write a file that is kept with the trial."""

    def figure(self, name: str, picture: str | bytes) -> None:
        """Keep a picture with the trial, to be shown on its page; one of the same name is replaced.

        Args:
            name: letters, digits, `_` and `-`; what the page calls it.
            picture: SVG as text, or PNG as bytes; at most 1 MiB.

        Raises:
            TypeError, ValueError: it is neither, too large, or the name can't be one.
        """

    def note_data(self, content_hash: str) -> None:
        """Say what identifies the data the trial is trained on: it stands on the trial, for people who compare."""

    def remark(self, text: str) -> None:
        """Say in a sentence how the training went, where its metrics alone don't: it stands first on the trial's page.

        Such as that nothing was learned. The last remark counts; the search doesn't hear of it.
        """


GroupReports = Mapping[TrialContext[P], tuple[int, Mapping[str, float]]]
"""For each member that has something to report: its step, and its values."""


class GroupContext(Protocol[P]):
    """What a group of trials that train as one may know and say. Contexts are told apart by identity.

    All members have the same parameters but for those that the trainer's card calls free (`capabilities.fuse.free`).
    A member's own context still gives its parameters, seed and checkpoint, and takes its files; only reports go through
    the group.
    """

    @property
    def members(self) -> Sequence[TrialContext[P]]:
        """Those the group begins with."""

    def joined(self) -> Sequence[TrialContext[P]]:
        """Return those that have come to take free places since the last call; asked between two epochs.

        Each begins with its own first epoch, or after its checkpoint, while the others go on.
        """

    def report(self, values: GroupReports[P]) -> AbstractSet[TrialContext[P]]:
        """Record one measurement of each member, as one message, and return those that should stop now.

        With a pruner this waits for the verdicts. Numbers are finite: a member without ends as `Diverged`.

        Args:
            values: a step is in the trainer's `step_unit`, greater than every step that this member reported before.
        """

    def ended(self, member: TrialContext[P], error: BaseException | None = None) -> None:
        """Say that a member is done and its place is free.

        Args:
            error: what ended it, `Diverged` among it; None: it is complete, or was told to stop.
        """


class NotFusedError(Exception):
    """A group can't be trained as one, which showed only when it was tried; nothing was reported of any member.

    The members are trained one by one instead, and the message stands on each as the reason.
    """


class Trainer(ABC, Generic[P]):
    """Code that trains one trial. One class a trainer; an instance is made for each trial."""

    name: ClassVar[str]
    version: ClassVar[str]
    """Raise it whenever the same parameters would give different results."""
    help: ClassVar[str]
    """One line for the catalogue."""
    Params: ClassVar[type[Params]]
    metrics: ClassVar[tuple[Metric, ...]]
    step_unit: ClassVar[str]
    max_step_param: ClassVar[str | None] = None
    default_search_space: ClassVar[SearchSpace]
    default_objectives: ClassVar[tuple[Objective, ...]]
    capabilities: ClassVar[Capabilities] = Capabilities()

    @abstractmethod
    def train(self, context: TrialContext[P]) -> None:
        """Train one trial, reporting as it goes; see the obligations above."""

    def sweep(self, context: TrialContext[P], sweep: Sweep) -> None:
        """Train with a learning rate that rises at every update, and report `learning_rate` and `loss` after each.

        The reports' steps count the updates from 1. Return early once the loss has exploded: `SweepWatch` in
        divergence.py tells. Only asked of a trainer with the capability `range_test`; `params.learning_rate` and the
        schedule play no part.
        """
        raise NotImplementedError(f"{self.name} has no range test")

    def refit(self, context: TrialContext[P]) -> None:
        """Train on training and validation data, and report metrics named `test_…` once, with the last report.

        Only asked of a trainer with the capability `refit`. There is no validation data left to choose or to stop by.
        """
        raise NotImplementedError(f"{self.name} can't be refitted")

    @classmethod
    def why_not_fused(cls, params: P) -> str | None:
        """Return why trials with such parameters can't train as one, e.g. "dropout > 0"; None: they can.

        All members of a group agree in what this may depend on.
        """
        return None if cls.capabilities.fuse else f"{cls.name} trains each trial alone"

    def train_group(self, group: GroupContext[P]) -> None:
        """Train the members of a group as one, and those that join it, until all have ended.

        Only asked of a trainer with the capability `fuse`, for members of whose parameters `why_not_fused` has nothing
        to say. Every member is handed to `group.ended` exactly once, unless this raises: then whoever has not ended
        ends with the exception.

        Raises:
            NotFusedError: it can't be done; nothing was reported.
            MemoryError: the group does not fit; a smaller one may. CUDA's own error comes through as it is.
        """
        raise NotImplementedError(f"{self.name} trains each trial alone")

    def measure_together(self, context: TrialContext[P], *, most: int) -> Sequence[float]:
        """Return how fast 1, 2, 4, … trials like this one would train as one: updates a second, of all together.

        Only asked of a trainer with the capability `fuse`, before a trial is trained. Try no more than `most`, no more
        than fit into memory, and no more than is a small share of the trial; what comes of it is no part of the trial.
        Empty: that can't be said, and each trains alone.

        Raises:
            NotFusedError: they can't be trained as one.
        """
        return ()

    @classmethod
    def card(cls) -> TrainerCard:
        """Return the description the service works with.

        Raises:
            ValueError: it names what is not there, or has parameters that jobs can't give.
        """
        card = TrainerCard(
            name=cls.name,
            version=cls.version,
            help=cls.help,
            params_schema=cls.Params.model_json_schema(),
            metrics=list(cls.metrics),
            step_unit=cls.step_unit,
            max_step_param=cls.max_step_param,
            default_search_space=cls.default_search_space,
            default_objectives=list(cls.default_objectives),
            capabilities=cls.capabilities,
        )
        _check(card)
        return card


def _check(card: TrainerCard) -> None:
    params = card.params_schema.get("properties", {})
    for name, schema in params.items():
        if schema.get("type") not in _SCALAR_TYPES or "default" not in schema:
            raise ValueError(f"parameter {name!r} must be a float, int, bool, str or Literal, with a default")
    for name in [*card.default_search_space, card.max_step_param]:
        if name is not None and name not in params:
            raise ValueError(f"there is no parameter {name!r}")
    for objective in card.default_objectives:
        if objective.metric not in {metric.name for metric in card.metrics}:
            raise ValueError(f"there is no metric {objective.metric!r}")


_SCALAR_TYPES = frozenset({"number", "integer", "boolean", "string"})
"""Of JSON Schema."""

ONE_FOR_ALL: dict[str, Any] = {"x-searchable": False}
"""The `json_schema_extra` of a parameter that is the same for all trials of a job: searching it is refused."""


def trains_alone(*values: str, above: float | None = None, why: str) -> dict[str, Any]:
    """Return the `json_schema_extra` of a parameter with some of whose values trials can't train as one, and why.

    A task refuses to have them trained so; a job that can only have such values says so when it is submitted.
    """
    return {"x-trains-alone": TrainsAlone(above=above, values=[*values], why=why).model_dump(exclude_defaults=True)}


def applies_when(**parents: Scalar | list[Scalar]) -> dict[str, Any]:
    """Return the `json_schema_extra` of a parameter that applies only under some values of another.

    Example: `momentum: float = Field(0.9, ge=0, lt=1, json_schema_extra=applies_when(optimizer=["sgd", "rmsprop"]))`.
    """
    return {"x-when": {name: values if isinstance(values, list) else [values] for name, values in parents.items()}}
