"""What can be said of a data set without numpy: from headers, listings, lines and numbers, never by unpickling or
decoding.

A worker checks the rest when it reads the data.
"""

import ast
import csv
import struct
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, prod
from pathlib import Path
from typing import IO

from stepsize.domain.dataset import (
    MOST_CATEGORIES,
    MOST_CLASSES,
    DatasetCard,
    DatasetFormat,
    DatasetKind,
    StoredDataset,
    UnreadableDatasetError,
    check_amounts,
    choose_target,
    read_csv,
    read_value,
    split_sizes,
)

BROKEN_FILE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # an encrypted archive, a header nested too deeply
    MemoryError,  # likewise: the parser's stack
    SyntaxError,
    csv.Error,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library raises on files that are not what they claim to be."""
_INPUT_NAMES = ("x", "images", "features")
_TARGET_NAMES = ("y", "labels", "target")
_CHANNELS = (1, 3)
_NUMBERS = "biuf"
_TEXTS = "US"
"""numpy's codes of types; objects would need unpickling."""
_FLOATS = {"f4": "f", "f8": "d"}
"""numpy's floating types and their codes in `array`."""
_LONGEST_HEADER = 10_000
"""numpy's own limit."""
_CHUNK_BYTES = 1 << 18
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
    try:
        return _describe(stored, stored.fingerprint(), max_bytes)
    except (OSError, UnreadableDatasetError) as error:
        return DatasetCard(name=stored.name, format=stored.format, problem=str(error))


@lru_cache(maxsize=256)  # a changed file has another fingerprint
def _describe(stored: StoredDataset, _fingerprint: str, max_bytes: int) -> DatasetCard:
    facts, problem = _Facts(), None
    try:
        facts = inspect(stored, max_bytes=max_bytes)
    except UnreadableDatasetError as error:
        problem = str(error)
    return DatasetCard(
        name=stored.name,
        help=stored.options.help,
        format=stored.format,
        kind=facts.kind,
        n=facts.n,
        shape=None if facts.shape is None else list(facts.shape),
        n_classes=facts.n_classes,
        target=stored.options.target,
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
    except UnreadableDatasetError:
        raise
    except BROKEN_FILE as error:
        raise UnreadableDatasetError(f"it can't be read as {stored.format}: {error}") from error
    if facts.n is not None and facts.n_classes is not None:
        check_amounts(facts.n, facts.n_classes)
    return facts


@dataclass(frozen=True)
class _Array:
    """An array in a .npz file, as its header describes it."""

    member: zipfile.ZipInfo
    dtype: str
    shape: tuple[int, ...]

    @property
    def kind(self) -> str:
        """numpy's code of the type of its elements."""
        return self.dtype[1]

    @property
    def item_bytes(self) -> int:
        """Of one element; numpy counts those of text in characters of four bytes."""
        return int(self.dtype[2:]) * (4 if self.kind == "U" else 1)


def _inspect_npz(stored: StoredDataset, max_bytes: int) -> _Facts:
    with zipfile.ZipFile(stored.path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if sum(info.file_size for info in members.values()) > max_bytes:
            raise UnreadableDatasetError(f"it unpacks to more than {max_bytes} bytes")
        inputs = _describe_array(archive, _choose(members, _INPUT_NAMES))
        labels = _describe_array(archive, _choose(members, _TARGET_NAMES))
        if len(labels.shape) != 1 or inputs.shape[:1] != labels.shape:
            raise UnreadableDatasetError(f"x has shape {inputs.shape} and y {labels.shape}; give one label a sample")
        kind, shape = _sample_shape(inputs.shape)
        if inputs.kind not in _NUMBERS:
            raise UnreadableDatasetError("x holds text; save numbers")
        for _ in _read_values(archive, inputs, "x"):
            pass
        classes: set[bytes] = set()
        for chunk in _read_values(archive, labels, "y"):
            classes.update(chunk[at : at + labels.item_bytes] for at in range(0, len(chunk), labels.item_bytes))
            if len(classes) > MOST_CLASSES:
                break
    return _Facts(kind, labels.shape[0], shape, len(classes))


def _choose(members: Mapping[str, zipfile.ZipInfo], names: tuple[str, ...]) -> zipfile.ZipInfo:
    for name in names:
        if name in members:
            return members[name]
    raise UnreadableDatasetError(f"there is no array {names[0]!r} in the file; save it by np.savez(path, x=…, y=…)")


def _describe_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Array:
    with archive.open(member) as file:
        header = _read_header(file)
    match header:
        case {"descr": str(dtype), "shape": tuple(shape)} if all(isinstance(n, int) and n >= 0 for n in shape):
            if dtype[1:2] not in _NUMBERS + _TEXTS or not dtype[2:].isdecimal():
                raise UnreadableDatasetError(
                    f"{member.filename} holds neither numbers nor text; Python objects are never unpickled"
                )
            return _Array(member, dtype, shape)
        case {"descr": list(), "shape": tuple()}:
            raise UnreadableDatasetError(f"{member.filename} holds records; save plain numbers or text")
    raise UnreadableDatasetError(f"the header of {member.filename} is not as numpy writes it")


def _read_header(file: IO[bytes]) -> object:
    """Read a .npy header and leave the file at the values; its format is numpy's `numpy.lib.format`."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY":
        raise UnreadableDatasetError("a member of the file is not an array of numpy's")
    length = struct.unpack("<H", file.read(2))[0] if magic[6] == 1 else struct.unpack("<I", file.read(4))[0]
    if length > _LONGEST_HEADER:
        raise UnreadableDatasetError("an array's header is absurdly long")
    return ast.literal_eval(file.read(length).decode("latin1"))


def _read_values(archive: zipfile.ZipFile, values: _Array, name: str) -> Iterator[bytes]:
    """Yield an array's bytes in chunks of whole elements, having seen that all are there and finite."""
    item_bytes, left = values.item_bytes, prod(values.shape) * values.item_bytes
    if left == 0:
        raise UnreadableDatasetError(f"{name} has shape {values.shape}: there is nothing in it")
    with archive.open(values.member) as file:
        _read_header(file)
        while left:
            chunk = file.read(min(left, max(1, _CHUNK_BYTES // item_bytes) * item_bytes))
            left -= len(chunk)
            if not chunk or len(chunk) % item_bytes:
                raise UnreadableDatasetError(f"{name} holds fewer values than its header says")
            if not _is_finite(chunk, values.dtype):
                raise UnreadableDatasetError(
                    f"{name} has missing or infinite values; fill them in or drop those samples"
                )
            yield chunk


def _is_finite(chunk: bytes, dtype: str) -> bool:
    code = _FLOATS.get(dtype[1:])
    if code is None:  # whole numbers, text, and floats of other sizes, which workers check
        return True
    numbers = array(code, chunk)
    if dtype.startswith(">"):
        numbers.byteswap()
    return isfinite(sum(numbers))  # one that isn't finite would carry over to the sum


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
    lines = read_csv(stored.path)
    _, header = next(lines)
    target = choose_target(header, stored.options.target)
    columns = {name: _Column(name) for name in header}
    n = 0
    for line, row in lines:
        n += 1
        for column, text in zip(columns.values(), row, strict=True):
            column.take(text, line=line, is_target=column.name == target)
    n_classes = len(columns.pop(target).values)
    if not columns:
        raise UnreadableDatasetError("there is no column beside the target")
    width = sum(1 if column.text is None else len(column.values) for column in columns.values())
    return _Facts(DatasetKind.TABULAR, n, (width,), n_classes)


class _Column:
    """A column of a CSV file, as far as it was read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text: str | None = None
        """The first value that is no number."""
        self.values: set[str] = set()

    def take(self, value: str, *, line: int, is_target: bool) -> None:
        """Take in the value of a line."""
        if read_value(value, name=self.name, line=line) is None and self.text is None:
            self.text = value
        # Not all are remembered until a text shows that they are categories: there may be millions.
        most = MOST_CLASSES if is_target else MOST_CATEGORIES
        if len(self.values) <= most:
            self.values.add(value)
        if self.text is not None and not is_target and len(self.values) > most:
            raise UnreadableDatasetError(
                f"{self.name} has more than {most} different values, and {self.text!r} is no number: "
                "neither a column of numbers nor one of categories"
            )


def _inspect_parquet(stored: StoredDataset, max_bytes: int) -> _Facts:
    content = stored.path.stat().st_size
    with stored.path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, content - 4))
        if start != b"PAR1" or file.read(4) != b"PAR1":
            raise UnreadableDatasetError("it is not a Parquet file")
    return _Facts(DatasetKind.TABULAR)


def _inspect_images(stored: StoredDataset, max_bytes: int) -> _Facts:
    paths = list(stored.files())
    if not paths:
        raise UnreadableDatasetError("there are no images in it; lay them out as <class>/<image>.png")
    shapes = [(path, _image_shape(path)) for path in paths]
    pngs = [(path, shape) for path, shape in shapes if shape is not None]
    for path, (_, height, width) in pngs:
        first, (_, first_height, first_width) = pngs[0]
        if (height, width) != (first_height, first_width):
            raise UnreadableDatasetError(
                f"{_called(path)} has {width}×{height} pixels, {_called(first)} {first_width}×{first_height}; "
                "make all images the same size"
            )
    channels = max((shape[0] for _, shape in pngs), default=0)
    shape = (channels, *pngs[0][1][1:]) if len(pngs) == len(paths) else None
    return _Facts(DatasetKind.IMAGE, len(paths), shape, len(stored.class_names()))


def _image_shape(path: Path) -> tuple[int, int, int] | None:
    """Return a PNG's channels, height and width; None for a JPEG, whose size only decoding tells.

    Raises:
        UnreadableDatasetError: it is neither, or absurdly large.
    """
    with path.open("rb") as file:
        start = file.read(33)
    if start.startswith(_JPEG):
        return None
    if not start.startswith(_PNG) or len(start) < 33:
        raise UnreadableDatasetError(f"{_called(path)} is neither a PNG nor a JPEG image")
    width, height, _depth, colour = struct.unpack(">IIBB", start[16:26])
    if width * height > _MOST_PIXELS:
        raise UnreadableDatasetError(f"{_called(path)} has {width}×{height} pixels; too many to train on")
    return _PNG_CHANNELS.get(colour, 3), height, width


def _called(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


_INSPECTORS: dict[DatasetFormat, Callable[[StoredDataset, int], _Facts]] = {
    DatasetFormat.NPZ: _inspect_npz,
    DatasetFormat.CSV: _inspect_csv,
    DatasetFormat.PARQUET: _inspect_parquet,
    DatasetFormat.IMAGES: _inspect_images,
}
