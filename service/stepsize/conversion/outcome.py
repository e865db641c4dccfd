"""What comes of a file that was written for another tool: a job, a program's description, and what is not as it was."""

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
    """The file, or a part of it, can't be carried over: says where and what to do."""

    def __init__(self, place: str, said: str) -> None:
        super().__init__(f"{place}: {said}" if place else said)
        self.place = place
