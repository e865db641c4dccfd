"""Where users' data sets lie, and what identifies their content.

A user's data set is a file or a folder in `datasets/` of the data directory, named after the data set:
`flowers.npz`, `wine.csv`, `wine.parquet`, or `birds/<class>/*.png`. Options stand in a file beside it, `wine.json`.
Uploading one is writing exactly that.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stepsize.datasets.cards import NAME, DatasetFormat, TargetKind, UnreadableDatasetError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_CHUNK_BYTES = 1 << 20


class DatasetOptions(BaseModel):
    """What stands in the JSON file beside a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str | None = None
    target_kind: TargetKind | None = None
    """What the target is, where that isn't to be told from its values."""
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
    options = stored.options
    if options.target is not None:
        digest.update(f"\0target {options.target}".encode())
    if options.target_kind is not None:
        digest.update(f"\0target_kind {options.target_kind}".encode())
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make a rename within a directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
