"""What a trial came from besides its parameters: code, packages, machine. Two of them with one id are alike."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from stepsize.spec.base import Spec

LONGEST_WORD = 300
MOST_PACKAGES = 100

Word = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_WORD, pattern=r"^[^\x00]*$")]


class Provenance(Spec):
    """The code, the packages and the machine that a trial ran with; what isn't known is null."""

    trainer: Word | None = None
    """The trainer's name, or the function's."""
    trainer_version: Word | None = None
    source_hash: Word | None = None
    """SHA-256 of the file that defines it, or of the function's text, its first 16 digits."""
    git_commit: Word | None = None
    """The commit that its file was at, where a repository tracks it."""
    git_dirty: bool | None = None
    """Whether any tracked file of that repository was changed since the commit."""
    packages: dict[Word, Word] = Field(default_factory=dict, max_length=MOST_PACKAGES)
    """Version by package: stepsize, torch, numpy and optuna, and what the trainer's file imports."""
    device: Word | None = None
    """The GPU's name, or the processor's."""
    driver: Word | None = None
    """The GPU's driver, and the CUDA that torch was built for."""
    python: Word | None = None
    platform: Word | None = None

    @cached_property
    def id(self) -> str:
        """The same for all that are alike, whoever collected them."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def differences(found: Sequence[BaseModel]) -> dict[str, list[str]]:
    """Return where provenances differ: field (a package as `packages.NAME`) → its values, as they came up.

    Args:
        found: as they are, or as a client has them.
    """
    rows = [dict(_flat(one.model_dump(mode="json"))) for one in found]
    values = {name: list(dict.fromkeys(row.get(name, "none") for row in rows)) for name in dict.fromkeys(_names(rows))}
    return {name: told for name, told in values.items() if len(told) > 1}


def _names(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for row in rows:
        yield from row


def _flat(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{entry}", str(each)) for entry, each in value.items())
        elif value is not None:
            yield name, {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
