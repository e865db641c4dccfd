"""Images, as far as their headers tell: PNG (RFC 2083) and JPEG (ITU-T T.81), and whether they are all there."""

import os
import struct
from pathlib import Path
from typing import IO

from stepsize.datasets.cards import UnreadableDatasetError

_MOST_PIXELS = 1 << 24
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 4: 1}
"""PNG colour types of grey images; all others become red, green and blue."""
_JPEG = b"\xff\xd8"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
_CHUNK_BYTES = 1 << 18

ImageShape = tuple[int, int, int]
"""Channels (1 or 3), height, width."""


def image_shape(path: Path) -> ImageShape:
    """Return an image's shape.

    Raises:
        UnreadableDatasetError: it is neither a PNG nor a JPEG, absurdly large, or its end is missing.
    """
    with path.open("rb") as file:
        start = file.read(len(_PNG))
        file.seek(0)
        if start == _PNG:
            shape = _png_shape(file)
        elif start.startswith(_JPEG):
            shape = _jpeg_shape(file)
        else:
            raise UnreadableDatasetError(f"{called(path)} is neither a PNG nor a JPEG image")
    if shape is None:
        raise UnreadableDatasetError(f"{called(path)} is broken or cut off; save it anew")
    _, height, width = shape
    if width * height > _MOST_PIXELS:
        raise UnreadableDatasetError(f"{called(path)} has {width}×{height} pixels; too many to train on")
    return shape


def called(path: Path) -> str:
    """Return what an image is called in messages: with its class."""
    return f"{path.parent.name}/{path.name}"


def _png_shape(file: IO[bytes]) -> ImageShape | None:
    """Return what the first chunk says; None: that isn't it, or a chunk before the last is not all there."""
    size = file.seek(0, os.SEEK_END)
    at, shape = len(_PNG), None
    while at + 12 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if shape is None:
            if kind != b"IHDR" or length != 13 or at + 25 > size:
                return None
            width, height, _depth, colour = struct.unpack(">IIBB", file.read(10))
            shape = _PNG_CHANNELS.get(colour, 3), height, width
        at += 12 + length
        if kind == b"IEND":
            return shape if at <= size else None
    return None


def _jpeg_shape(file: IO[bytes]) -> ImageShape | None:
    """Return what the frame's header says; None: there is none, or the image doesn't end."""
    file.seek(len(_JPEG))
    shape = None
    while len(marker := file.read(4)) == 4 and marker[0] == 0xFF:
        if marker[1] == 0xFF:  # a byte of padding
            file.seek(-3, os.SEEK_CUR)
            continue
        if marker[1] in _JPEG_FRAMES:
            header = file.read(6)
            if len(header) < 6:
                return None
            _precision, height, width, channels = struct.unpack(">BHHB", header)
            shape = 1 if channels == 1 else 3, height, width
            file.seek(-6, os.SEEK_CUR)
        if marker[1] == _JPEG_SCAN:
            return shape if _has_end(file) else None
        file.seek(int.from_bytes(marker[2:], "big") - 2, os.SEEK_CUR)
    return None


def _has_end(file: IO[bytes]) -> bool:
    """Tell whether the end's marker follows; in what is coded, a byte 255 is never followed by its second byte."""
    last = b""
    while chunk := file.read(_CHUNK_BYTES):
        if _JPEG_END in last + chunk:
            return True
        last = chunk[-1:]
    return False
