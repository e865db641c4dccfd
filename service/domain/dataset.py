"""Data sets: what they are called, where a user's own lie, what identifies their content, how they are split.

A user's data set is a file or a folder in `datasets/` of the data directory, named after the data set:
`flowers.npz`, `wine.csv`, `wine.parquet`, or `birds/<class>/*.png`. Options stand in a file beside it, `wine.json`.
Uploading one is writing exactly that. Standard library only: the API must not import numpy.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

SNAPSHOT = Path(__file__).with_name("dataset_cards.json")
"""The built-in data sets' cards, generated from workers/."""

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What a data set may be called: it becomes a file name, so nothing that means something to a shell or a path."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

_VALIDATION_FRAC = 0.15
_TEST_FRAC = 0.15
_CHUNK_BYTES = 1 << 20
_TARGET_NAMES = ("target", "label", "class")


class DatasetKind(StrEnum):
    """What one sample is."""

    IMAGE = "image"
    TABULAR = "tabular"


class DatasetFormat(StrEnum):
    """How a data set is stored."""

    BUILT_IN = "built_in"
    NPZ = "npz"
    CSV = "csv"
    PARQUET = "parquet"
    IMAGES = "images"


class Split(BaseModel):
    """How many samples each part has."""

    model_config = ConfigDict(frozen=True)

    train: int
    validation: int
    test: int


class DatasetCard(BaseModel):
    """A data set described. What can't be known without reading all of it is null."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    help: str = ""
    format: DatasetFormat
    kind: DatasetKind | None = None
    n: int | None = None
    """Samples in all."""
    shape: list[int] | None = None
    """Of one sample: [channels, height, width], or [features]."""
    n_classes: int | None = None
    target: str | None = None
    """The column to predict, where one was named."""
    content_hash: str
    """SHA-256 of its content: drives the split, and stands on every trial."""
    split: Split | None = None
    size_bytes: int | None = None
    problem: str | None = None
    """Why trials can't use it; null: nothing is known to be wrong."""


class UnreadableDatasetError(ValueError):
    """A data set that can't be used; the message says why, and what to do."""


class UnknownDatasetError(LookupError):
    """No data set has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"there is no data set {name!r}; known: {', '.join(known)}")
        self.name = name


@dataclass(frozen=True)
class StoredDataset:
    """A user's own data set on disk."""

    name: str
    format: DatasetFormat
    path: Path

    @property
    def target(self) -> str | None:
        """The column to predict, where the file beside it names one."""
        return self._options().get("target")

    @property
    def help(self) -> str:
        """One line for the catalogue."""
        return str(self._options().get("help", ""))

    @property
    def options_path(self) -> Path:
        """Where its options stand, if it has any."""
        return self.path.with_name(f"{self.name}.json")

    def files(self) -> Iterator[Path]:
        """Yield the files it consists of, sorted; links are not followed out of the data directory."""
        if self.format is not DatasetFormat.IMAGES:
            yield self.path
            return
        for folder in _class_folders(self.path):
            yield from sorted(path for path in folder.iterdir() if _is_image(path))

    def size_bytes(self) -> int:
        """Return the size of all its files."""
        return sum(path.stat().st_size for path in self.files())

    def fingerprint(self) -> str:
        """Return what changes whenever a file of it is written: cheap, unlike the content hash."""
        digest = hashlib.sha256()
        for path in (*self.files(), self.options_path):
            if path.exists():
                stat = path.stat()
                digest.update(f"{path.parent.name}/{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def content_hash(self) -> str:
        """Return the SHA-256 of its content and target: what identifies it, and drives its split."""
        return _hash_stored(self, self.fingerprint())

    def class_names(self) -> list[str]:
        """Return a folder's classes, in the order of their numbers."""
        return [folder.name for folder in _class_folders(self.path)]

    def _options(self) -> dict[str, Any]:
        if not self.options_path.exists():
            return {}
        options = json.loads(self.options_path.read_text(encoding="utf-8"))
        if not isinstance(options, dict):
            raise UnreadableDatasetError(f'{self.options_path.name} must hold an object such as {{"target": "…"}}')
        return options


@lru_cache(maxsize=1)
def built_in_cards() -> tuple[DatasetCard, ...]:
    """Return the cards of the data sets that come along."""
    return tuple(TypeAdapter(list[DatasetCard]).validate_json(SNAPSHOT.read_bytes()))


def choose_target(names: Sequence[str], wanted: str | None) -> str:
    """Return which column is to be predicted: the one named, else `target`, `label` or `class`, else the last.

    Raises:
        UnreadableDatasetError: there is no such column, or none at all.
    """
    if wanted is not None:
        if wanted not in names:
            raise UnreadableDatasetError(f"there is no column {wanted!r} to predict; there are {', '.join(names)}")
        return wanted
    if not names:
        raise UnreadableDatasetError("the first line must name the columns")
    return next((name for name in _TARGET_NAMES if name in names), names[-1])


def datasets_dir(data_dir: Path) -> Path:
    """Return where users' data sets lie."""
    return data_dir / "datasets"


def list_stored(data_dir: Path) -> list[StoredDataset]:
    """Return all of the users' data sets, sorted by name; what has another form or name is not one."""
    directory = datasets_dir(data_dir)
    if not directory.is_dir():
        return []
    found = (_stored(path) for path in sorted(directory.iterdir()))
    return [stored for stored in found if stored is not None]


def find_stored(data_dir: Path, name: str) -> StoredDataset | None:
    """Return a user's data set by name, or None.

    Raises:
        UnreadableDatasetError: several files bear the name.
    """
    if not re.match(NAME, name):
        return None
    found = [stored for stored in list_stored(data_dir) if stored.name == name]
    if len(found) > 1:
        paths = " and ".join(stored.path.name for stored in found)
        raise UnreadableDatasetError(f"{paths} are both called {name!r}; rename one")
    return found[0] if found else None


def split_sizes(n: int) -> Split:
    """Return how many of `n` samples are for training (70 %), validation (15 %) and test (15 %)."""
    n_validation, n_test = round(_VALIDATION_FRAC * n), round(_TEST_FRAC * n)
    return Split(train=n - n_validation - n_test, validation=n_validation, test=n_test)


def _stored(path: Path) -> StoredDataset | None:
    if path.is_symlink() or not re.match(NAME, path.stem):
        return None
    if path.is_dir():
        return StoredDataset(path.name, DatasetFormat.IMAGES, path) if re.match(NAME, path.name) else None
    suffix = path.suffix.removeprefix(".")
    if suffix not in (DatasetFormat.NPZ, DatasetFormat.CSV, DatasetFormat.PARQUET):
        return None
    return StoredDataset(path.stem, DatasetFormat(suffix), path)


def _class_folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.is_symlink())


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.is_symlink()


@lru_cache(maxsize=256)  # reading gigabytes once is enough; a changed file has another fingerprint
def _hash_stored(stored: StoredDataset, _fingerprint: str) -> str:
    digest = hashlib.sha256()
    for path in stored.files():
        if stored.format is DatasetFormat.IMAGES:
            digest.update(f"{path.parent.name}/{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    if stored.target is not None:
        digest.update(f"\0target {stored.target}".encode())
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make a rename within a directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
