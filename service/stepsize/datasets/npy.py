"""Arrays in .npz files, as far as their headers and bytes tell: without numpy, which the API process never loads.

The format is numpy's `numpy.lib.format`. Workers read arrays by numpy itself.
"""

import ast
import struct
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, prod
from typing import IO

from stepsize.datasets.cards import UnreadableDatasetError

NUMBERS = "biuf"
_TEXTS = "US"
"""numpy's codes of types; objects would need unpickling."""
_FLOATS = {"f4": "f", "f8": "d"}
"""numpy's floating types and their codes in `array`."""
_LONGEST_HEADER = 10_000
"""numpy's own limit."""
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class StoredArray:
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


def describe_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> StoredArray:
    """Return what an array's header says.

    Raises:
        UnreadableDatasetError: it is no array of numbers or text.
    """
    with archive.open(member) as file:
        header = _read_header(file)
    match header:
        case {"descr": str(dtype), "shape": tuple(shape)} if all(isinstance(n, int) and n >= 0 for n in shape):
            if dtype[1:2] not in NUMBERS + _TEXTS or not dtype[2:].isdecimal():
                raise UnreadableDatasetError(
                    f"{member.filename} holds neither numbers nor text; Python objects are never unpickled"
                )
            return StoredArray(member, dtype, shape)
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


def read_values(archive: zipfile.ZipFile, values: StoredArray, name: str) -> Iterator[bytes]:
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
    numbers = _as_floats(chunk, dtype)
    if numbers is None:  # whole numbers, text, and floats of other sizes, which workers check
        return True
    return isfinite(sum(numbers))  # one that isn't finite would carry over to the sum


def is_whole(chunk: bytes, dtype: str) -> bool:
    """Tell whether all of an array's bytes stand for whole numbers; floats of other sizes than 4 and 8 are none."""
    if dtype[1] != "f":
        return True
    numbers = _as_floats(chunk, dtype)
    return numbers is not None and all(map(float.is_integer, numbers))


def _as_floats(chunk: bytes, dtype: str) -> "array[float] | None":
    code = _FLOATS.get(dtype[1:])
    if code is None:
        return None
    numbers: array[float] = array(code, chunk)
    if dtype.startswith(">"):
        numbers.byteswap()
    return numbers
