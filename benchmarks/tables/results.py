"""What the tables' jobs taught, as docs/guide/tables.json keeps it: all numbers on the page come from here."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from pydantic import JsonValue, TypeAdapter

from benchmarks.tables.spending import Spent

Answer = dict[str, JsonValue]
"""A report as the service sent it."""


@dataclass(frozen=True)
class Measured:
    """One table's jobs and what they teach together.

    Attributes:
        specs: the jobs by file, as they were posted: other job files want another run.
        jobs: the report of all of them, `GET /v1/reports`, without the bands of each row.
        first: the parts of the first job's own report that the page shows.
    """

    specs: Mapping[str, Mapping[str, JsonValue]]
    jobs: Answer
    first: Answer


@dataclass
class Results:
    """Everything measured, by table."""

    tables: dict[str, Measured] = field(default_factory=dict)
    spent: dict[str, Spent] = field(default_factory=dict)

    def add_spent(self, name: str, spent: Spent) -> None:
        """Count what a run took towards what its table takes.

        What other jobs took is forgotten, and what the same jobs took in a run that this one does not go on with: it
        found none of their trainings.
        """
        before = self.spent.get(name)
        goes_on = before is not None and before.jobs == spent.jobs and spent.n_found > 0
        self.spent[name] = before + spent if before is not None and goes_on else spent

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what a file holds; nothing if there is none."""
        return TypeAdapter(cls).validate_json(path.read_bytes()) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def without_bands(value: JsonValue) -> JsonValue:
    """Return a report without what happens at which rate: most of its size, and shown of one job only."""
    if isinstance(value, dict):
        return {
            name: _no_bands(part) if name == "by_learning_rate" else without_bands(part) for name, part in value.items()
        }
    return [without_bands(part) for part in value] if isinstance(value, list) else value


def _no_bands(part: JsonValue) -> JsonValue:
    return [] if isinstance(part, list) else {"bands": []}


def key_of(spec: object) -> str:
    """Return what is the same for the same job: submitted again, the service answers with the job that it has."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
