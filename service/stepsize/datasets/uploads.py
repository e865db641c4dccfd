"""How data sets come and go: an upload is written to a hidden folder, checked there, and renamed into place.

Nobody sees half of one, and nothing gets out of its folder.
"""

import fcntl
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stepsize.datasets.cards import DatasetFormat, TargetKind, UnreadableDatasetError, is_built_in
from stepsize.datasets.files import (
    IMAGE_SUFFIXES,
    DatasetOptions,
    StoredDataset,
    datasets_dir,
    find_stored,
    sync_directory,
)
from stepsize.datasets.inspection import BROKEN_FILE, inspect
from stepsize.errors import DatasetConflictError

_MOST_FILES = 1_000_000
_CHUNK_BYTES = 1 << 20
_INCOMING = ".incoming-"
_LEFT_BEHIND_S = 24 * 3600.0
_IGNORED = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db"})
"""What archivers add of their own."""


@dataclass(frozen=True)
class NewDataset:
    """An upload: what it shall be called, and how to read it."""

    name: str
    format: DatasetFormat
    target: str | None = None
    target_kind: TargetKind | None = None
    help: str = ""


@contextmanager
def incoming(data_dir: Path) -> Iterator[Path]:
    """Give a path to write an upload to; whatever is left of it afterwards is removed."""
    directory = datasets_dir(data_dir)
    directory.mkdir(parents=True, exist_ok=True)
    for folder in directory.glob(f"{_INCOMING}*"):  # a process that died in the middle left it
        if time.time() - folder.stat().st_mtime > _LEFT_BEHIND_S:
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=_INCOMING) as own:
        yield Path(own) / "upload"


def accept(data_dir: Path, new: NewDataset, upload: Path, *, max_bytes: int) -> None:
    """Check an upload and put it into place; accepting the same again changes nothing.

    Args:
        upload: the path that `incoming` gave, written.
        max_bytes: the most it may unpack or decode to.

    Raises:
        UnreadableDatasetError: trials could not use it.
        DatasetConflictError: another data set has the name.
    """
    path = _unpack(upload, max_bytes=max_bytes) if new.format is DatasetFormat.IMAGES else upload
    candidate = StoredDataset(new.name, new.format, path)
    _write_options(candidate.options_path, new)
    inspect(candidate, max_bytes=max_bytes)
    with _locked(data_dir):
        _place(data_dir, candidate, new)


def remove(data_dir: Path, name: str) -> bool:
    """Remove a user's data set; False: there is none.

    Raises:
        DatasetConflictError: it is built in, or several files bear the name.
    """
    if is_built_in(name):
        raise DatasetConflictError(name, "it is built in and can't be removed")
    with _locked(data_dir), incoming(data_dir) as grave:
        stored = _find(data_dir, name)
        if stored is None:
            return False
        stored.path.rename(grave)  # at once for those who look; the folder around the grave is then removed
        stored.options_path.unlink(missing_ok=True)
    return True


def _find(data_dir: Path, name: str) -> StoredDataset | None:
    """Return a user's data set, or None.

    Raises:
        DatasetConflictError: several files bear the name.
    """
    try:
        return find_stored(data_dir, name)
    except UnreadableDatasetError as error:
        raise DatasetConflictError(name, str(error)) from error


def _place(data_dir: Path, candidate: StoredDataset, new: NewDataset) -> None:
    if is_built_in(new.name):
        raise DatasetConflictError(new.name, "a built-in data set has this name; choose another")
    directory = datasets_dir(data_dir)
    if (there := _find(data_dir, new.name)) is not None:
        if (there.format, there.content_hash()) == (candidate.format, candidate.content_hash()):
            return
        raise DatasetConflictError(new.name, "another data set has this name; choose another, or delete that one first")
    suffix = "" if new.format is DatasetFormat.IMAGES else f".{new.format}"
    placed = StoredDataset(new.name, new.format, directory / (new.name + suffix))
    placed.options_path.unlink(missing_ok=True)  # of a data set that is gone
    if candidate.options_path.exists():
        candidate.options_path.rename(placed.options_path)
    candidate.path.rename(placed.path)
    sync_directory(directory)


def _write_options(path: Path, new: NewDataset) -> None:
    """Write what stands beside the data, if there is anything to say."""
    options = DatasetOptions(target=new.target, target_kind=new.target_kind, help=new.help)
    if options != DatasetOptions():
        path.write_text(options.model_dump_json(exclude_defaults=True) + "\n", encoding="utf-8")


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Let one process at a time give and take names."""
    directory = datasets_dir(data_dir)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(upload: Path, *, max_bytes: int) -> Path:
    """Unpack an archive of images into a folder of classes, and return it."""
    folder = upload.with_name("unpacked")
    folder.mkdir()
    try:
        with zipfile.ZipFile(upload) as archive:
            members = [info for info in archive.infolist() if not info.is_dir() and not _is_ignored(info)]
            if len(members) > _MOST_FILES:
                raise UnreadableDatasetError(f"{len(members)} files are too many; at most {_MOST_FILES}")
            left = max_bytes
            n_leading = _n_leading([_safe_path(info) for info in members])
            for info in members:
                class_name, name = _class_and_name(_safe_path(info), n_leading)
                path = folder / class_name / name
                path.parent.mkdir(exist_ok=True)
                if path.exists():
                    raise UnreadableDatasetError(f"{class_name}/{name} is in it twice")
                left -= _unpack_member(archive, info, path, left=left)
    except UnreadableDatasetError:
        raise
    except BROKEN_FILE as error:
        raise UnreadableDatasetError(f"it can't be unpacked: {error}") from error
    return folder


def _is_ignored(info: zipfile.ZipInfo) -> bool:
    return bool(_IGNORED & set(PurePosixPath(info.filename).parts))


def _safe_path(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return the parts of a member's path, refusing whatever could lead out of the folder."""
    parts = PurePosixPath(info.filename).parts
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    if is_link or info.filename.startswith("/") or any(not _is_plain(part) for part in parts):
        raise UnreadableDatasetError(f"{info.filename!r} is not a plain path below the folder")
    return parts


def _is_plain(part: str) -> bool:
    return part.isprintable() and not part.startswith(".") and not set(part) & set('\\/:*?"<>|') and len(part) <= 100


def _n_leading(paths: list[tuple[str, ...]]) -> int:
    """Return 1 if everything lies in one folder around the classes, else 0."""
    return int(len({parts[0] for parts in paths}) == 1 and all(len(parts) == 3 for parts in paths))


def _class_and_name(parts: tuple[str, ...], n_leading: int) -> tuple[str, str]:
    rest = parts[n_leading:]
    if len(rest) != 2 or PurePosixPath(rest[1]).suffix.lower() not in IMAGE_SUFFIXES:
        raise UnreadableDatasetError(f"{'/'.join(parts)!r} is not <class>/<image>.png or .jpg")
    return rest[0], rest[1]


def _unpack_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, *, left: int) -> int:
    """Write a member to a new file and return its size; what the archive claims about sizes is not believed."""
    size = 0
    with archive.open(info) as source, path.open("xb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > left:
                raise UnreadableDatasetError("it unpacks to more than is accepted")
            file.write(chunk)
    return size
