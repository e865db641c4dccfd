"""What comes of a file that was written for another tool: a job, a program's description, and what is not as it was."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class Note:
    """Something of the file that is not as it was, or not carried over at all."""

    place: str
    """Where it stands in the file: `parameters.lr.probabilities`."""
    said: str

    def __str__(self) -> str:
        return f"{self.place}: {self.said}"


@dataclass(frozen=True)
class Converted:
    """A job made of another tool's file."""

    source: str
    """What the file is: `a W&B sweep`."""
    job: dict[str, JsonValue]
    command: dict[str, JsonValue] | None
    """The program as a file of `STEPSIZE_COMMANDS` describes it; null: the file runs none that can be described."""
    notes: tuple[Note, ...]


class ConversionError(ValueError):
    """The file, or a part of it, can't be carried over: says where and what to do, for each slip that is known."""

    def __init__(self, place: str, said: str) -> None:
        super().__init__(f"{place}: {said}" if place else said)
        self.slips: tuple[str, ...] = (str(self),)

    @classmethod
    def of(cls, errors: Iterable["ConversionError"]) -> "ConversionError":
        """Return several as one, which says all of them, each once."""
        slips = tuple(dict.fromkeys(slip for error in errors for slip in error.slips))
        together = cls("", slips[0] if len(slips) == 1 else "\n" + "\n".join(f"  {slip}" for slip in slips))
        together.slips = slips
        return together
