"""A data set as arrays, before it is split. Shapes: N samples, C classes."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepsize.domain.dataset import DatasetKind, UnreadableDatasetError, check_amounts

Inputs = NDArray[Any]
"""(N, channels, H, W) or (N, features); uint8 or float32."""
Labels = NDArray[np.int64]
"""(N,), from 0 to n_classes − 1."""


@dataclass(frozen=True)
class Arrays:
    """Inputs and labels.

    Raises:
        UnreadableDatasetError: nothing could be learned from them.
    """

    inputs: Inputs
    labels: Labels
    class_names: tuple[str, ...]
    highest: float = 1.0
    """The pixel value that becomes 1.0; for features 1: they are normalised only."""
    features: tuple[str, ...] = ()
    """Names of the features of tabular data."""

    def __post_init__(self) -> None:
        n = len(self.labels)
        if len(self.inputs) != n:
            raise UnreadableDatasetError(f"{len(self.inputs)} samples but {n} labels")
        check_amounts(n, len(self.class_names))
        if not np.isfinite(self.inputs).all():
            raise UnreadableDatasetError("there are missing or infinite values; fill them in or drop those samples")

    @property
    def kind(self) -> DatasetKind:
        return DatasetKind.TABULAR if self.inputs.ndim == 2 else DatasetKind.IMAGE

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.inputs.shape[1:]


def hash_content(inputs: Inputs, labels: Labels) -> str:
    """Return the SHA-256 of the arrays: types, shapes and values."""
    digest = hashlib.sha256()
    for array in (inputs, labels):
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def number_classes(targets: Inputs) -> tuple[Labels, tuple[str, ...]]:
    """Return targets (N,) of any type as labels, and the classes' names in sorted order.

    Raises:
        UnreadableDatasetError: some are missing.
    """
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        raise UnreadableDatasetError("y has missing or infinite values; fill them in or drop those samples")
    values, labels = np.unique(targets, return_inverse=True)
    return labels.reshape(-1).astype(np.int64), tuple(str(value) for value in values)
