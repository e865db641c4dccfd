"""What can be said of a data set without numpy: from headers, listings and lines, never by unpickling or decoding.

A worker checks the rest when it reads the data.
"""

import ast
import csv
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import IO, Any

from service.domain.dataset import (
    DatasetCard,
    DatasetFormat,
    DatasetKind,
    StoredDataset,
    UnreadableDatasetError,
    choose_target,
    split_sizes,
)

_INPUT_NAMES = ("x", "images", "features")
_TARGET_NAMES = ("y", "labels", "target")
_CHANNELS = (1, 3)
_PLAIN_KINDS = "biufUS"
"""numpy's codes for numbers and text; objects would need unpickling."""
_FEWEST = 10
_MOST_CATEGORIES = 64
_MOST_PIXELS = 1 << 24
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_CHANNELS = {0: 1, 4: 1}
"""PNG colour types of grey images; all others become red, green and blue."""


@dataclass(frozen=True)
class _Facts:
    kind: DatasetKind | None = None
    n: int | None = None
    shape: tuple[int, ...] | None = None
    n_classes: int | None = None


def describe(stored: StoredDataset, *, max_bytes: int) -> DatasetCard:
    """Return a data set's card; what is wrong with it stands in `problem`.

    Args:
        max_bytes: the most its content may unpack to.
    """
    return _describe(stored, stored.fingerprint(), max_bytes)


@lru_cache(maxsize=256)  # a changed file has another fingerprint
def _describe(stored: StoredDataset, _fingerprint: str, max_bytes: int) -> DatasetCard:
    facts, problem = _Facts(), None
    try:
        facts = inspect(stored, max_bytes=max_bytes)
    except UnreadableDatasetError as error:
        problem = str(error)
    return DatasetCard(
        name=stored.name,
        help=stored.help,
        format=stored.format,
        kind=facts.kind,
        n=facts.n,
        shape=None if facts.shape is None else list(facts.shape),
        n_classes=facts.n_classes,
        target=stored.target,
        content_hash=stored.content_hash(),
        split=None if facts.n is None else split_sizes(facts.n),
        size_bytes=stored.size_bytes(),
        problem=problem,
    )


def inspect(stored: StoredDataset, *, max_bytes: int) -> _Facts:
    """Look at a data set.

    Raises:
        UnreadableDatasetError: trials could not use it; the message says why.
    """
    try:
        facts = _INSPECTORS[stored.format](stored, max_bytes)
    except (OSError, ValueError, SyntaxError, struct.error, csv.Error, zipfile.BadZipFile) as error:
        if isinstance(error, UnreadableDatasetError):
            raise
        raise UnreadableDatasetError(f"it can't be read as {stored.format}: {error}") from error
    if facts.n is not None and facts.n < _FEWEST:
        raise UnreadableDatasetError(f"{facts.n} samples can't be split into three parts; have at least {_FEWEST}")
    if facts.n_classes is not None and facts.n_classes < 2:
        raise UnreadableDatasetError("all samples are of one class; there is nothing to tell apart")
    return facts


@dataclass(frozen=True)
class _Header:
    """The header of an array in a .npz file."""

    dtype: str
    shape: tuple[int, ...]


def _inspect_npz(stored: StoredDataset, max_bytes: int) -> _Facts:
    with zipfile.ZipFile(stored.path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if sum(info.file_size for info in members.values()) > max_bytes:
            raise UnreadableDatasetError(f"it unpacks to more than {max_bytes} bytes")
        inputs = _read_header(archive, _choose(members, _INPUT_NAMES))
        target = _choose(members, _TARGET_NAMES)
        labels = _read_header(archive, target)
        if len(labels.shape) != 1 or inputs.shape[:1] != labels.shape:
            raise UnreadableDatasetError(f"x has shape {inputs.shape} and y {labels.shape}; give one label a sample")
        kind, shape = _sample_shape(inputs.shape)
        with archive.open(target) as file:
            _skip_header(file)
            values = file.read()
    size = len(values) // max(1, labels.shape[0])
    n_classes = len({values[start : start + size] for start in range(0, len(values), size)}) if size else 0
    return _Facts(kind, labels.shape[0], shape, n_classes)


def _choose(members: Mapping[str, zipfile.ZipInfo], names: tuple[str, ...]) -> zipfile.ZipInfo:
    for name in names:
        if name in members:
            return members[name]
    raise UnreadableDatasetError(f"there is no array {names[0]!r} in the file; save it by np.savez(path, x=…, y=…)")


def _read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Header:
    with archive.open(member) as file:
        fields = _skip_header(file)
    dtype, shape = fields["descr"], fields["shape"]
    if not isinstance(dtype, str) or dtype.lstrip("<>|=")[:1] not in _PLAIN_KINDS:
        raise UnreadableDatasetError(f"{member.filename} holds Python objects; save plain numbers or text")
    return _Header(dtype, tuple(shape))


def _skip_header(file: IO[bytes]) -> dict[str, Any]:
    """Read a .npy header and leave the file at the values; its format is numpy's `numpy.lib.format`."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY":
        raise UnreadableDatasetError("a member of the file is not an array of numpy's")
    length = struct.unpack("<H", file.read(2))[0] if magic[6] == 1 else struct.unpack("<I", file.read(4))[0]
    if length > 1 << 16:
        raise UnreadableDatasetError("an array's header is absurdly long")
    fields: dict[str, Any] = ast.literal_eval(file.read(length).decode("latin1"))
    return fields


def _sample_shape(shape: tuple[int, ...]) -> tuple[DatasetKind, tuple[int, ...]]:
    match shape:
        case (_, features):
            return DatasetKind.TABULAR, (features,)
        case (_, height, width):
            return DatasetKind.IMAGE, (1, height, width)
        case (_, channels, height, width) if channels in _CHANNELS:
            return DatasetKind.IMAGE, (channels, height, width)
        case (_, height, width, channels) if channels in _CHANNELS:
            return DatasetKind.IMAGE, (channels, height, width)
    raise UnreadableDatasetError(
        f"x has shape {shape}; give (N, features), (N, height, width), or images with 1 or 3 channels"
    )


def _inspect_csv(stored: StoredDataset, max_bytes: int) -> _Facts:
    with stored.path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        target = header.index(choose_target(header, stored.target))
        columns = [_Column() for _ in header]
        n = 0
        for n, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise UnreadableDatasetError(f"line {n + 1} has {len(row)} values, the first line names {len(header)}")
            for name, column, value in zip(header, columns, row, strict=True):
                column.take(name, value, line=n + 1, is_target=column is columns[target])
    features = [column for column in columns if column is not columns[target]]
    if not features:
        raise UnreadableDatasetError("there is no column beside the target")
    width = sum(1 if column.is_numeric else len(column.values) for column in features)
    return _Facts(DatasetKind.TABULAR, n, (width,), len(columns[target].values))


class _Column:
    """A column of a CSV file, as far as it was read."""

    def __init__(self) -> None:
        self.is_numeric = True
        self.values: set[str] = set()

    def take(self, name: str, value: str, *, line: int, is_target: bool) -> None:
        """Take in the value of a line."""
        if value.strip() == "" and not is_target:
            raise UnreadableDatasetError(f"line {line} has no {name}; fill it in or drop the line")
        self.is_numeric = self.is_numeric and _is_number(value)
        # Numbers are not remembered until a text shows that they were categories: there may be millions.
        if is_target or len(self.values) <= _MOST_CATEGORIES:
            self.values.add(value)
        if not is_target and not self.is_numeric and len(self.values) > _MOST_CATEGORIES:
            raise UnreadableDatasetError(f"{name} has more than {_MOST_CATEGORIES} different texts")


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _inspect_parquet(stored: StoredDataset, max_bytes: int) -> _Facts:
    with stored.path.open("rb") as file:
        start = file.read(4)
        file.seek(-4, 2)
        if start != b"PAR1" or file.read(4) != b"PAR1":
            raise UnreadableDatasetError("it is not a Parquet file")
    return _Facts(DatasetKind.TABULAR)


def _inspect_images(stored: StoredDataset, max_bytes: int) -> _Facts:
    paths = list(stored.files())
    if not paths:
        raise UnreadableDatasetError("there are no images in it; lay them out as <class>/<image>.png")
    shape = image_shape(paths[0])
    return _Facts(DatasetKind.IMAGE, len(paths), shape, len(stored.class_names()))


def image_shape(path: Path) -> tuple[int, int, int] | None:
    """Return a PNG's channels, height and width; None for a JPEG, whose size only decoding tells.

    Raises:
        UnreadableDatasetError: it is neither, or absurdly large.
    """
    with path.open("rb") as file:
        start = file.read(33)
    if start.startswith(_JPEG):
        return None
    if not start.startswith(_PNG) or len(start) < 33:
        raise UnreadableDatasetError(f"{path.parent.name}/{path.name} is neither a PNG nor a JPEG image")
    width, height, _depth, colour = struct.unpack(">IIBB", start[16:26])
    if width * height > _MOST_PIXELS:
        raise UnreadableDatasetError(
            f"{path.parent.name}/{path.name} has {width}×{height} pixels; too many to train on"
        )
    return _PNG_CHANNELS.get(colour, 3), height, width


_INSPECTORS: dict[DatasetFormat, Callable[[StoredDataset, int], _Facts]] = {
    DatasetFormat.NPZ: _inspect_npz,
    DatasetFormat.CSV: _inspect_csv,
    DatasetFormat.PARQUET: _inspect_parquet,
    DatasetFormat.IMAGES: _inspect_images,
}
