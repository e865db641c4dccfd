"""Files of data sets, good and bad, as bytes."""

import csv
import io
import zipfile
from typing import Any

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

N = 20
"""Samples in each."""


def npz_bytes(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def images_npz(n: int = N) -> bytes:
    rng = np.random.default_rng(0)
    return npz_bytes(x=rng.integers(0, 256, (n, 6, 5), dtype=np.uint8), y=np.arange(n) % 2)


def csv_bytes(rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def wine_row(index: int) -> list[object]:
    return [index / 10, "good" if index % 3 else "bad", "red" if index % 2 else "white"]


WINE: list[list[object]] = [["acid", "quality", "colour"], *map(wine_row, range(N))]


def png_bytes(value: int = 0, size: tuple[int, int] = (4, 3), mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, value).save(file, "PNG")
    return file.getvalue()


def jpeg_bytes(value: int = 0, size: tuple[int, int] = (4, 3)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "JPEG")
    return file.getvalue()


def parquet_bytes() -> bytes:
    file = io.BytesIO()
    columns = zip(*WINE[1:], strict=True)
    parquet.write_table(pyarrow.table(dict(zip(map(str, WINE[0]), map(list, columns), strict=True))), file)
    return file.getvalue()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def birds() -> dict[str, bytes]:
    return {
        f"{('robin', 'wren')[index % 2]}/{index}.png": png_bytes(10 * index) for index in range(N)
    }  # grey pictures 4 wide and 3 high
