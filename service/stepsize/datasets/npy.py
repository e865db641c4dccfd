"""Arrays in .npz files, as far as their headers and bytes tell: without numpy, which the API process never loads.

The format is numpy's `numpy.lib.format`. Workers read arrays by numpy itself.
"""

import ast
import re
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import IO

from stepsize.datasets.cards import UnreadableDatasetError

NUMBERS = "biuf"
"""numpy's codes of the kinds of numbers."""
_TEXTS = "US"
_PLAIN = re.compile(r"[<>|=](?:b1|[iu][1248]|f(?:2|4|8|12|16)|[US][0-9]{1,5})")
"""The types of numbers and of text that is not endless, as a header names them; objects would need unpickling."""
_TYPE = re.compile(r"[<>|=]?[a-zA-Z][0-9]*(?:\[\w+\])?")
_FLOATS = {"f4": "f", "f8": "d"}
"""numpy's floating types and their codes in `array`."""
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}
"""Version of the format → bytes that hold the length of the header."""
_LONGEST_HEADER = 10_000
"""numpy's own limit."""
_CHUNK_BYTES = 1 << 18
INPUT_NAMES = ("x", "images", "features")
TARGET_NAMES = ("y", "labels", "target")
_HOW_TO_SAVE = "save it by np.savez(path, x=…, y=…)"
_MAGIC = b"\x93NUMPY"


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


def find_array(archive: zipfile.ZipFile, names: Sequence[str]) -> StoredArray:
    """Return the first array there is of these names, as its header describes it.

    Raises:
        UnreadableDatasetError: there is none, or it is no array of numbers or text.
    """
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    member = next((members[name] for name in names if name in members), None)
    if member is None:
        raise UnreadableDatasetError(f"there is no array {names[0]!r} in the file; {_HOW_TO_SAVE}")
    with archive.open(member) as file:
        header = _read_header(file, member.filename)
    match header:
        case {"descr": str(dtype), "shape": tuple(shape), "fortran_order": bool(), **rest} if not rest and all(
            type(n) is int and n >= 0 for n in shape
        ):
            if _PLAIN.fullmatch(dtype):
                return StoredArray(member, dtype, shape)
            if _TYPE.fullmatch(dtype):
                is_long = dtype[1:2] in _TEXTS
                what = "endless text" if is_long else f"neither numbers nor text but {dtype[:20]!r}"
                raise UnreadableDatasetError(f"{member.filename} holds {what}; Python objects are never unpickled")
        case {"descr": list(), "shape": tuple()}:
            raise UnreadableDatasetError(f"{member.filename} holds records; save plain numbers or text")
    raise _unlike_numpys(member.filename)


def explain(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that could not be read as .npz, and what to do."""
    match error:
        case OSError():
            return f"it can't be read: {error.strerror}"
        case zipfile.BadZipFile() if _begins_as_array(path):
            return f"it is a single array, not an .npz file of two; {_HOW_TO_SAVE}"
        case zipfile.BadZipFile() if "zip file" in str(error):
            return f"it is no .npz file, or one that was cut off; {_HOW_TO_SAVE}"
        case RuntimeError() if "encrypted" in str(error):
            return f"it is encrypted; {_HOW_TO_SAVE}"
        case NotImplementedError():
            return f"it is compressed in a way that can't be read here; {_HOW_TO_SAVE}, or by np.savez_compressed"
        case _:
            return f"it can't be read as npz, for a part of it is damaged; {_HOW_TO_SAVE}, and upload it again"


def _begins_as_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _unlike_numpys(name: str) -> UnreadableDatasetError:
    return UnreadableDatasetError(f"the header of {name} is not as numpy writes it; {_HOW_TO_SAVE}")


def _read_header(file: IO[bytes], name: str) -> object:
    """Read a .npy header and leave the file at the values; its format is numpy's `numpy.lib.format`."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise UnreadableDatasetError(f"{name} is not an array of numpy's; {_HOW_TO_SAVE}")
    version = file.read(2)
    n_bytes = _LENGTH_BYTES.get(version[0]) if version[1:] == b"\0" else None
    if n_bytes is None:
        raise _unlike_numpys(name)
    length = int.from_bytes(file.read(n_bytes), "little")
    if length > _LONGEST_HEADER:
        raise UnreadableDatasetError(f"the header of {name} is absurdly long; {_HOW_TO_SAVE}")
    try:
        return ast.literal_eval(file.read(length).decode("latin1"))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise _unlike_numpys(name) from error


def read_values(archive: zipfile.ZipFile, values: StoredArray, name: str) -> Iterator[bytes]:
    """Yield an array's bytes in chunks of whole elements, having seen that all are there and finite."""
    item_bytes, left = values.item_bytes, prod(values.shape) * values.item_bytes
    if left == 0:
        raise UnreadableDatasetError(f"{name} has shape {values.shape}: there is nothing in it")
    with archive.open(values.member) as file:
        _read_header(file, values.member.filename)
        while left:
            chunk = file.read(min(left, max(1, _CHUNK_BYTES // item_bytes) * item_bytes))
            left -= len(chunk)
            if not chunk or len(chunk) % item_bytes:
                raise UnreadableDatasetError(f"{name} holds fewer values than its header says")
            if not _is_finite(chunk, values.dtype):
                raise UnreadableDatasetError(
                    f"{name} has missing or infinite values; fill them in or drop those samples"
                )
            if values.kind == "U" and not _is_text(chunk, values.dtype):
                raise UnreadableDatasetError(f"{name} holds text with characters that there are not")
            yield chunk


def _is_text(chunk: bytes, dtype: str) -> bool:
    try:
        chunk.decode("utf-32-be" if dtype.startswith(">") else "utf-32-le")
    except UnicodeDecodeError:
        return False
    return True


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
