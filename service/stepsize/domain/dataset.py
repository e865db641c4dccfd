"""Data sets: what they are called, where a user's own lie, what identifies their content, how they are split.

A user's data set is a file or a folder in `datasets/` of the data directory, named after the data set:
`flowers.npz`, `wine.csv`, `wine.parquet`, or `birds/<class>/*.png`. Options stand in a file beside it, `wine.json`.
Uploading one is writing exactly that. Standard library only: the API must not import numpy.
"""

import csv
import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

SNAPSHOT = Path(__file__).with_name("dataset_cards.json")
"""The built-in data sets' cards, generated from workers/."""

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What a data set may be called: it becomes a file name, so nothing that means something to a shell or a path."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
FEWEST_SAMPLES = 10
MOST_CLASSES = 1000
MOST_CATEGORIES = 64
"""Different texts in a column of a table: each becomes a feature."""

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
    content_hash: str | None = None
    """SHA-256 of its content: drives the split, and stands on every trial. Null: it can't be read."""
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


class DatasetOptions(BaseModel):
    """What stands in the JSON file beside a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str | None = None
    help: str = ""


@dataclass(frozen=True)
class StoredDataset:
    """A user's own data set on disk."""

    name: str
    format: DatasetFormat
    path: Path

    @property
    def options(self) -> DatasetOptions:
        """What the file beside it says, if there is one.

        Raises:
            UnreadableDatasetError: it holds something else.
        """
        if not self.options_path.exists():
            return DatasetOptions()
        try:
            return DatasetOptions.model_validate_json(self.options_path.read_bytes())
        except ValidationError as error:
            raise UnreadableDatasetError(
                f'{self.options_path.name} must hold an object such as {{"target": "…", "help": "…"}}'
            ) from error

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


def check_amounts(n: int, n_classes: int) -> None:
    """Check that there is something to split and to tell apart.

    Raises:
        UnreadableDatasetError: there is not.
    """
    if n < FEWEST_SAMPLES:
        raise UnreadableDatasetError(
            f"{n} samples can't be split into train, validation and test; have at least {FEWEST_SAMPLES}"
        )
    if n_classes < 2:
        raise UnreadableDatasetError("all samples are of one class; there is nothing to tell apart")
    if n_classes > MOST_CLASSES:
        raise UnreadableDatasetError(
            f"there are more than {MOST_CLASSES} classes: is the target a number to predict? Only classes can be"
        )


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file, each with its number; the first names the columns, and empty ones are left out.

    Raises:
        UnreadableDatasetError: a line has more or fewer values than there are columns, or two columns have one name.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        for name, n_columns in Counter(header).items():
            if n_columns > 1:
                raise UnreadableDatasetError(f"{n_columns} columns are called {name!r}; rename them")
        if len(header) == 1 and ";" in header[0]:
            raise UnreadableDatasetError("there is no column beside the target; separate them by commas, not by ;")
        yield 1, header
        for row in rows:
            if row and len(row) != len(header):
                raise UnreadableDatasetError(
                    f"line {rows.line_num} has {len(row)} values, the first line names {len(header)}"
                )
            if row:
                yield rows.line_num, row


def read_value(text: str, *, name: str, line: int) -> float | None:
    """Return a value of a table as a number; None: it is text.

    Raises:
        UnreadableDatasetError: it is missing, or not finite.
    """
    if not text.strip():
        raise UnreadableDatasetError(f"line {line} has no {name}; fill it in or drop the line")
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        raise UnreadableDatasetError(f"line {line} has {name} {text.strip()}; fill it in or drop the line")
    return number


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
    if (target := stored.options.target) is not None:
        digest.update(f"\0target {target}".encode())
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make a rename within a directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
