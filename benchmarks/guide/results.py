"""What the jobs measured, as docs/guide/results.json keeps it: all numbers on the pages come from here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from pydantic import JsonValue, TypeAdapter

from stepsize.spec.space import Scalar

_DIGITS = 5


@dataclass(frozen=True)
class Run:
    """One trial.

    Attributes:
        params: those that were searched.
        outcome: completed, or why not: diverged.
        losses, accuracies: validation loss and accuracy after each epoch, or after the last one only.
    """

    seed: int
    number: int
    params: Mapping[str, Scalar]
    outcome: str
    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        return float(self.params["learning_rate"])

    @property
    def loss(self) -> float | None:
        """The last epoch's; None: the training diverged."""
        return self.losses[-1] if self.losses and self.outcome == "completed" else None

    @property
    def accuracy(self) -> float | None:
        """The last epoch's; None: the training diverged."""
        return self.accuracies[-1] if self.accuracies and self.outcome == "completed" else None


@dataclass(frozen=True)
class Sweep:
    """What range tests said at one batch size; each triple is value, low and high of a 95 % interval."""

    batch_size: int
    low: tuple[float | None, float | None, float | None]
    suggestion: tuple[float | None, float | None, float | None]
    high: tuple[float | None, float | None, float | None]
    inconclusive: str | None


@dataclass
class Results:
    """Everything measured, by experiment."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    specs: dict[str, JsonValue] = field(default_factory=dict)
    """The job of the first seed as it was posted."""
    sweeps: list[Sweep] = field(default_factory=list)
    importances: dict[str, float] = field(default_factory=dict)
    """Parameter → the service's importance in the search over many parameters."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what a file holds; nothing if there is none."""
        return TypeAdapter(cls).validate_json(path.read_bytes()) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Write the file, a line for each trial, so that a diff shows which ones changed."""
        path.write_text(_dump(asdict(self)) + "\n")


def rounded(values: Sequence[float]) -> tuple[float, ...]:
    """Return values with as many digits as the pages can need."""
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)


def shortened(value: Scalar) -> Scalar:
    """Return a parameter with as many digits as the pages can need."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _dump(value: JsonValue, depth: int = 0) -> str:
    """Return JSON that is indented for the first two levels only, and for lists on the third."""
    pad = " " * (depth + 1)
    if isinstance(value, dict) and depth < 2 and value:
        items = [f"{pad}{json.dumps(key)}: {_dump(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{' ' * depth}}}"
    if isinstance(value, list) and depth <= 2 and value:
        return "[\n" + ",\n".join(f"{pad}{json.dumps(item)}" for item in value) + f"\n{' ' * depth}]"
    return json.dumps(value)
