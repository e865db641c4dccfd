"""Reading users' data sets: .npz, CSV, Parquet and folders of images. Nothing is ever unpickled.

Shapes: N samples, F features.
"""

import csv
import zipfile
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

from stepsize.datasets.cards import DatasetFormat, TargetKind, UnreadableDatasetError
from stepsize.datasets.files import DatasetOptions, StoredDataset
from stepsize.datasets.inspection import why_unreadable
from stepsize.datasets.npy import INPUT_NAMES, TARGET_NAMES, find_array
from stepsize.datasets.tables import MOST_CATEGORIES, choose_target, read_csv, read_value, target_kind
from stepsize_workers.training.datasets.arrays import Amounts, Arrays, Inputs, Labels, number_classes, read_targets

_CHANNELS = (1, 3)

_Column = list[tuple[int, str]]
"""A table's column: each value as text, with the number of its line."""


def read_stored(stored: StoredDataset) -> Arrays:
    """Return a user's data set as arrays.

    Raises:
        UnreadableDatasetError: names the file and what is wrong with it.
    """
    try:
        return _READERS[stored.format](stored)
    except UnreadableDatasetError as error:
        raise UnreadableDatasetError(f"data set {stored.name!r}: {error}") from error
    except (OSError, EOFError, ValueError, RuntimeError, csv.Error, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableDatasetError(f"data set {stored.name!r}: {why_unreadable(stored, error)}") from error


def _read_npz(stored: StoredDataset) -> Arrays:
    # Of a file that turns out to be broken numpy leaves it open, and says what only its own authors understand.
    with zipfile.ZipFile(stored.path) as archive:
        members = [find_array(archive, names).member.filename for names in (INPUT_NAMES, TARGET_NAMES)]
    with stored.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        inputs, targets = (arrays[member] for member in members)
    if targets.ndim != 1:
        raise UnreadableDatasetError(f"y has shape {targets.shape}; give one label a sample")
    labels, class_names = read_targets(targets, stored.options.target_kind)
    if inputs.ndim == 2:
        names = tuple(f"x{index}" for index in range(inputs.shape[1]))
        return Arrays(inputs.astype(np.float32), labels, class_names, features=names)
    images = _channels_first(inputs)
    if images.dtype == np.uint8:
        return Arrays(images, labels, class_names, highest=255)
    return Arrays(images.astype(np.float32), labels, class_names)


def _channels_first(images: Inputs) -> Inputs:
    """Return images as (N, channels, H, W), whichever way round they were saved."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] in _CHANNELS:
        return images
    if images.ndim == 4 and images.shape[3] in _CHANNELS:
        return images.transpose(0, 3, 1, 2)
    raise UnreadableDatasetError(
        f"x has shape {images.shape}; give (N, features), (N, height, width), or images with 1 or 3 channels"
    )


def _read_csv(stored: StoredDataset) -> Arrays:
    lines = read_csv(stored.path)
    _, header = next(lines)
    rows = list(lines)
    columns = {name: [(line, row[index]) for line, row in rows] for index, name in enumerate(header)}
    return _from_columns(columns, stored.options)


def _read_parquet(stored: StoredDataset) -> Arrays:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise UnreadableDatasetError("reading Parquet needs pyarrow where the worker runs; or use CSV") from error
    table = parquet.read_table(stored.path)
    columns = {
        name: [(row, "" if value is None else str(value)) for row, value in enumerate(table[name].to_pylist(), start=1)]
        for name in table.column_names
    }
    return _from_columns(columns, stored.options)


def _from_columns(columns: dict[str, _Column], options: DatasetOptions) -> Arrays:
    target = choose_target(list(columns), options.target)
    labels, class_names = _read_target(target, columns.pop(target), options.target_kind)
    if not columns:
        raise UnreadableDatasetError("there is no column beside the target")
    features = [feature for name, column in columns.items() for feature in _encode(name, column)]
    names = tuple(name for name, _ in features)
    return Arrays(np.stack([numbers for _, numbers in features], axis=1), labels, class_names, features=names)


def _read_target(name: str, column: _Column, wanted: TargetKind | None) -> "tuple[Labels | Amounts, tuple[str, ...]]":
    """Return a column as `read_targets` does; classes are told apart as they are written."""
    numbers = _read_numbers(name, column)  # none may be missing
    amounts = [number for number in numbers if number is not None]
    is_numeric = len(amounts) == len(numbers)
    is_whole = all(number.is_integer() for number in amounts)
    texts = np.array([text for _, text in column], dtype=str)
    kind = target_kind(len(texts), len(set(texts)), is_numeric=is_numeric, is_whole=is_whole, wanted=wanted)
    return number_classes(texts) if kind is TargetKind.CLASSES else (np.array(amounts, dtype=np.float32), ())


def _encode(name: str, column: _Column) -> list[tuple[str, Inputs]]:
    """Return a column as numbers: itself, or one column of 0 and 1 for each of its categories."""
    numbers = _read_numbers(name, column)
    if all(number is not None for number in numbers):
        return [(name, np.array(numbers, dtype=np.float32))]
    texts = np.array([text for _, text in column], dtype=str)
    categories = sorted(set(texts.tolist()))
    if len(categories) > MOST_CATEGORIES:
        raise UnreadableDatasetError(
            f"{name} has {len(categories)} different texts; at most {MOST_CATEGORIES} make sense as categories"
        )
    return [(f"{name}={category}", (texts == category).astype(np.float32)) for category in categories]


def _read_numbers(name: str, column: _Column) -> list[float | None]:
    return [read_value(text, name=name, line=line) for line, text in column]


def _read_images(stored: StoredDataset) -> Arrays:
    class_names = tuple(stored.class_names())
    paths = list(stored.files())
    if not paths:
        raise UnreadableDatasetError("there are no images in it; lay them out as <class>/<image>.png")
    first, *rest = (_read_image(path) for path in paths)
    n_channels = max(image.shape[2] for image in (first, *rest))
    for path, image in zip(paths, (first, *rest), strict=True):
        if image.shape[:2] != first.shape[:2]:
            raise UnreadableDatasetError(
                f"{path.parent.name}/{path.name} has {image.shape[1]}×{image.shape[0]} pixels, others "
                f"{first.shape[1]}×{first.shape[0]}; make all images the same size"
            )
    images = np.stack([np.broadcast_to(image, (*image.shape[:2], n_channels)) for image in (first, *rest)])
    labels = np.array([class_names.index(path.parent.name) for path in paths], dtype=np.int64)
    return Arrays(images.transpose(0, 3, 1, 2), labels, class_names, highest=255)


def _read_image(path: Path) -> Inputs:
    """Return pixels (height, width, 1 or 3); transparency and palettes become plain colours."""
    image_module = import_module("PIL.Image")
    try:
        with image_module.open(path) as image:
            grey = image.mode in ("1", "L", "I;16", "LA")
            pixels: Inputs = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    except (OSError, image_module.DecompressionBombError) as error:
        raise UnreadableDatasetError(f"{path.parent.name}/{path.name} is not an image: {error}") from error
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


_READERS: dict[DatasetFormat, Callable[[StoredDataset], Arrays]] = {
    DatasetFormat.NPZ: _read_npz,
    DatasetFormat.CSV: _read_csv,
    DatasetFormat.PARQUET: _read_parquet,
    DatasetFormat.IMAGES: _read_images,
}
