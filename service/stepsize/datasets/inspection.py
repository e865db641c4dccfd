"""What can be said of a data set from headers, listings, lines and numbers, never by unpickling or decoding.

A worker checks the rest when it reads the data.
"""

import csv
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from stepsize.datasets.cards import (
    MOST_CLASSES,
    DatasetCard,
    DatasetFormat,
    DatasetKind,
    TargetKind,
    UnreadableDatasetError,
    check_amounts,
    split_sizes,
)
from stepsize.datasets.files import StoredDataset
from stepsize.datasets.images import called, image_shape
from stepsize.datasets.npy import (
    INPUT_NAMES,
    NUMBERS,
    TARGET_NAMES,
    StoredArray,
    explain,
    find_array,
    is_whole,
    read_values,
)
from stepsize.datasets.tables import MOST_CATEGORIES, choose_target, read_csv, read_value, target_kind

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
_CHANNELS = (1, 3)
_PARQUET = b"PAR1"
_NUMBERS_PER_SLIP = 20
_MOST_CODES = 20
"""Different values up to which numbers may be names of categories, with a text among them."""


@dataclass(frozen=True)
class _Facts:
    kind: DatasetKind | None = None
    n: int | None = None
    shape: tuple[int, ...] | None = None
    n_targets: int | None = None
    """Different values of the target, at most `MOST_CLASSES` + 1."""
    target_kind: TargetKind | None = None

    @property
    def n_classes(self) -> int | None:
        return self.n_targets if self.target_kind is TargetKind.CLASSES else None


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
        target_kind=facts.target_kind,
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
        raise UnreadableDatasetError(why_unreadable(stored, error)) from error
    if facts.n is not None and facts.n_targets is not None and facts.target_kind is not None:
        check_amounts(facts.n, facts.n_targets, facts.target_kind)
    return facts


def why_unreadable(stored: StoredDataset, error: Exception) -> str:
    """Return what is wrong with a data set whose reading raised an error."""
    is_arrays = stored.format is DatasetFormat.NPZ
    return explain(stored.path, error) if is_arrays else f"it can't be read as {stored.format}: {error}"


def _inspect_npz(stored: StoredDataset, max_bytes: int) -> _Facts:
    with zipfile.ZipFile(stored.path) as archive:
        if sum(info.file_size for info in archive.infolist()) > max_bytes:
            raise UnreadableDatasetError(f"it unpacks to more than {max_bytes} bytes")
        inputs, labels = find_array(archive, INPUT_NAMES), find_array(archive, TARGET_NAMES)
        if len(labels.shape) != 1 or inputs.shape[:1] != labels.shape:
            raise UnreadableDatasetError(f"x has shape {inputs.shape} and y {labels.shape}; give one label a sample")
        kind, shape = _sample_shape(inputs.shape)
        if inputs.kind not in NUMBERS:
            raise UnreadableDatasetError("x holds text; save numbers")
        for _ in read_values(archive, inputs, "x"):
            pass
        n_targets, is_all_whole = _look_at_targets(archive, labels)
    n = labels.shape[0]
    wanted, is_numeric = stored.options.target_kind, labels.kind in NUMBERS
    found = target_kind(n, n_targets, is_numeric=is_numeric, is_whole=is_all_whole, wanted=wanted)
    return _Facts(kind, n, shape, n_targets, found)


def _look_at_targets(archive: zipfile.ZipFile, targets: StoredArray) -> tuple[int, bool]:
    """Return how many different values there are, at most `MOST_CLASSES` + 1, and whether all are whole."""
    seen: set[bytes] = set()
    is_all_whole = True
    for chunk in read_values(archive, targets, "y"):
        is_all_whole = is_all_whole and is_whole(chunk, targets.dtype)
        if len(seen) <= MOST_CLASSES:
            size = targets.item_bytes
            seen.update(chunk[at : at + size] for at in range(0, len(chunk), size))
    return min(len(seen), MOST_CLASSES + 1), is_all_whole


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
    for column in columns.values():
        column.check()
    predicted = columns.pop(target)
    if not columns:
        raise UnreadableDatasetError("there is no column beside the target")
    width = sum(1 if column.text is None else len(column.values) for column in columns.values())
    n_targets = len(predicted.values)
    wanted, is_numeric = stored.options.target_kind, predicted.text is None
    found = target_kind(n, n_targets, is_numeric=is_numeric, is_whole=predicted.is_whole, wanted=wanted)
    return _Facts(DatasetKind.TABULAR, n, (width,), n_targets, found)


class _Column:
    """A column of a CSV file, as far as it was read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text: str | None = None
        """The first value that is no number."""
        self.values: set[str] = set()
        self.is_whole = True
        """Whether all numbers so far are whole."""
        self._text_line = self._n_texts = self._n_numbers = 0

    def take(self, value: str, *, line: int, is_target: bool) -> None:
        """Take in the value of a line."""
        number = read_value(value, name=self.name, line=line)
        if number is None:
            self._n_texts += 1
            if self.text is None:
                self.text, self._text_line = value, line
        else:
            self._n_numbers += 1
            self.is_whole = self.is_whole and number.is_integer()
        # Not all are remembered until a text shows that they are categories: there may be millions.
        most = MOST_CLASSES if is_target else MOST_CATEGORIES
        if len(self.values) <= most:
            self.values.add(value)
        if self.text is not None and not is_target and len(self.values) > most:
            raise UnreadableDatasetError(
                f"{self.name} has more than {most} different values, and {self.text!r} is no number: "
                "neither a column of numbers nor one of categories"
            )

    def check(self) -> None:
        """Refuse what is neither numbers nor categories: many different numbers and now and then something else.

        Raises:
            UnreadableDatasetError: a few values are no numbers, and most are.
        """
        if self._n_numbers > _NUMBERS_PER_SLIP * self._n_texts > 0 and len(self.values) > _MOST_CODES:
            raise UnreadableDatasetError(
                f"line {self._text_line} has {self.name} {self.text!r}, and most of {self.name} is numbers; mend it or "
                "drop the line"
            )


def _inspect_parquet(stored: StoredDataset, max_bytes: int) -> _Facts:
    """Look whether the file is one, and its footer inside it; what it says is for pyarrow, where workers run."""
    size = stored.path.stat().st_size
    with stored.path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, size - 8))
        footer_bytes, end = int.from_bytes(file.read(4), "little"), file.read(4)
    if start != _PARQUET or end != _PARQUET:
        raise UnreadableDatasetError("it is not a Parquet file, or cut off")
    if not 0 < footer_bytes <= size - 12:
        raise UnreadableDatasetError("it is a Parquet file without its footer; write it anew")
    return _Facts(DatasetKind.TABULAR, target_kind=stored.options.target_kind)


def _inspect_images(stored: StoredDataset, max_bytes: int) -> _Facts:
    paths = list(stored.files())
    if not paths:
        raise UnreadableDatasetError("there are no images in it; lay them out as <class>/<image>.png")
    first = image_shape(paths[0])
    channels = first[0]
    for path in paths[1:]:
        found, height, width = image_shape(path)
        if (height, width) != first[1:]:
            raise UnreadableDatasetError(
                f"{called(path)} has {width}×{height} pixels, {called(paths[0])} {first[2]}×{first[1]}; "
                "make all images the same size"
            )
        channels = max(channels, found)
    shape = (channels, *first[1:])
    if (decoded := len(paths) * prod(shape)) > max_bytes:
        raise UnreadableDatasetError(
            f"its {len(paths)} images of {first[2]}×{first[1]} pixels take {decoded} bytes when decoded, "
            f"and {max_bytes} are accepted; make them smaller, or raise STEPSIZE_MAX_DATASET_BYTES"
        )
    return _Facts(DatasetKind.IMAGE, len(paths), shape, len(stored.class_names()), TargetKind.CLASSES)


_INSPECTORS: dict[DatasetFormat, Callable[[StoredDataset, int], _Facts]] = {
    DatasetFormat.NPZ: _inspect_npz,
    DatasetFormat.CSV: _inspect_csv,
    DatasetFormat.PARQUET: _inspect_parquet,
    DatasetFormat.IMAGES: _inspect_images,
}
