"""A data set as arrays, before it is split. Shapes: N samples."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepsize.datasets.cards import DatasetKind, TargetKind, UnreadableDatasetError, check_amounts
from stepsize.datasets.tables import target_kind

Inputs = NDArray[Any]
"""(N, channels, H, W) or (N, features); uint8 or float32."""
Labels = NDArray[np.int64]
"""(N,), from 0 to n_classes − 1."""
Amounts = NDArray[np.float32]
"""(N,), finite."""


@dataclass(frozen=True)
class Arrays:
    """Inputs and targets.

    Raises:
        UnreadableDatasetError: nothing could be learned from them.
    """

    inputs: Inputs
    labels: Labels | Amounts
    """What is to be predicted."""
    class_names: tuple[str, ...]
    """Empty where that is a number."""
    highest: float = 1.0
    """The pixel value that becomes 1.0; for features 1: they are normalised only."""
    features: tuple[str, ...] = ()
    """Names of the features of tabular data."""

    def __post_init__(self) -> None:
        n = len(self.labels)
        if len(self.inputs) != n:
            raise UnreadableDatasetError(f"{len(self.inputs)} samples but {n} labels")
        check_amounts(n, len(self.class_names) or len(np.unique(self.labels)), self.target_kind)
        if not np.isfinite(self.inputs).all():
            raise UnreadableDatasetError("there are missing or infinite values; fill them in or drop those samples")

    @property
    def kind(self) -> DatasetKind:
        return DatasetKind.TABULAR if self.inputs.ndim == 2 else DatasetKind.IMAGE

    @property
    def target_kind(self) -> TargetKind:
        return TargetKind.CLASSES if self.labels.dtype.kind == "i" else TargetKind.NUMBER

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.inputs.shape[1:]


def hash_content(inputs: Inputs, labels: Labels | Amounts) -> str:
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
    _check_finite(targets)
    values, labels = np.unique(targets, return_inverse=True)
    return labels.reshape(-1).astype(np.int64), tuple(str(value) for value in values)


def read_targets(targets: Inputs, wanted: TargetKind | None) -> "tuple[Labels | Amounts, tuple[str, ...]]":
    """Return targets (N,) of any type as labels with the classes' names, or as numbers with none.

    Args:
        wanted: which; None: what they look like.

    Raises:
        UnreadableDatasetError: some are missing, or no numbers though those are wanted.
    """
    _check_finite(targets)
    is_numeric = targets.dtype.kind in "biuf"
    is_whole = is_numeric and bool((targets == np.floor(targets)).all())
    n_different = len(np.unique(targets))
    kind = target_kind(len(targets), n_different, is_numeric=is_numeric, is_whole=is_whole, wanted=wanted)
    return number_classes(targets) if kind is TargetKind.CLASSES else (targets.astype(np.float32), ())


def _check_finite(targets: Inputs) -> None:
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        raise UnreadableDatasetError("y has missing or infinite values; fill them in or drop those samples")
