"""Labelled data, split and normalised. Shapes: N samples of (channels, H, W) or (features,); labels (N,).

All trials of a job see one split: a function of the data's content and `split_seed` alone. Normalisation constants come
from the training part, and go with the model.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stepsize.datasets.cards import (
    DatasetKind,
    TargetKind,
    UnknownDatasetError,
    UnreadableDatasetError,
    split_sizes,
    wrong_target,
)
from stepsize.datasets.files import StoredDataset, find_stored, list_stored
from stepsize_workers.training.datasets.arrays import Arrays, Labels, hash_content
from stepsize_workers.training.datasets.cache import cached
from stepsize_workers.training.datasets.readers import read_stored
from stepsize_workers.training.datasets.registry import DATASETS


@dataclass(frozen=True)
class Part:
    """Train, validation or test."""

    inputs: Tensor
    """float32 (N, *shape), normalised; of texts the tokens' numbers, int64."""
    labels: Tensor
    """(N,): int64, or float32 as they are where the target is a number; (N, T) of characters."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Part":
        """Return the part with its tensors on a device."""
        return Part(self.inputs.to(device), self.labels.to(device))

    def first(self, fraction: float) -> "Part":
        """Return the first share of the samples, at least one; as the order is random, a random sample."""
        n = max(1, round(fraction * len(self)))
        return Part(self.inputs[:n], self.labels[:n])

    def followed_by(self, other: "Part") -> "Part":
        """Return both parts as one."""
        return Part(torch.cat([self.inputs, other.inputs]), torch.cat([self.labels, other.labels]))


@dataclass(frozen=True)
class LabelledData:
    """A data set in three parts."""

    name: str
    kind: DatasetKind
    content_hash: str
    """SHA-256 of its content, hexadecimal."""
    target_kind: TargetKind | None
    """None: the next character."""
    class_names: tuple[str, ...]
    """Empty where the target is no class."""
    shape: tuple[int, ...]
    """Of one sample: (channels, height, width), (features,) or (tokens,)."""
    train: Part
    validation: Part
    test: Part
    features: tuple[str, ...] = ()
    """Names of the features of tabular data."""
    mean: tuple[float, ...] = ()
    """For each channel or feature, over the training part, of pixels in [0, 1] or features as they are."""
    std: tuple[float, ...] = ()
    vocabulary: tuple[str, ...] = ()
    """What each number stands for, where samples are texts."""

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    def to(self, device: torch.device) -> "LabelledData":
        """Return the data with all tensors on a device."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )


def load(
    name: str,
    *,
    data_dir: Path,
    split_seed: int = 0,
    kind: DatasetKind | None = None,
    target: TargetKind = TargetKind.CLASSES,
) -> LabelledData:
    """Return a built-in or a user's data set, split and normalised. The tensors are shared: don't change them in place.

    Args:
        data_dir: users' data sets lie in its folder `datasets`; parsed built-in ones are cached in `cache`.
        split_seed: another one gives another split.
        kind: what samples are wanted; None: any.
        target: what is to be predicted of them.

    Raises:
        UnknownDatasetError: no data set has this name.
        UnreadableDatasetError: it is broken, or of another kind.
    """
    if name in DATASETS:
        data = _load_built_in(name, data_dir, split_seed)
    else:
        stored = find_stored(data_dir, name)
        if stored is None:
            raise UnknownDatasetError(name, [*DATASETS, *(other.name for other in list_stored(data_dir))])
        data = _load_stored(stored, stored.fingerprint(), split_seed)
    if kind is not None and data.kind is not kind:
        raise UnreadableDatasetError(f"data set {name!r} is {data.kind}, but {kind} data is needed here")
    if data.target_kind is not target:
        raise UnreadableDatasetError(f"data set {name!r}: {wrong_target(target)}")
    return data


@lru_cache(maxsize=2)  # a warm process runs many trials of one job
def _load_built_in(name: str, data_dir: Path, split_seed: int) -> LabelledData:
    arrays = cached(data_dir / "cache" / f"{name}.2.npz", DATASETS[name].fetch)
    return _prepare(name, arrays, hash_content(arrays.inputs, arrays.labels), split_seed)


@lru_cache(maxsize=2)
def _load_stored(stored: StoredDataset, _fingerprint: str, split_seed: int) -> LabelledData:
    return _prepare(stored.name, read_stored(stored), stored.content_hash(), split_seed)


def _prepare(name: str, arrays: Arrays, content_hash: str, split_seed: int) -> LabelledData:
    train, validation, test = split_indices(len(arrays.labels), content_hash=content_hash, split_seed=split_seed)
    inputs = arrays.inputs.astype(np.float32) / np.float32(arrays.highest)
    mean, std = _channel_statistics(inputs[train])
    normalised = (inputs - mean) / std

    def part(indices: Labels) -> Part:
        return Part(torch.from_numpy(normalised[indices]), torch.from_numpy(arrays.labels[indices]))

    return LabelledData(
        name=name,
        kind=arrays.kind,
        content_hash=content_hash,
        target_kind=arrays.target_kind,
        class_names=arrays.class_names,
        features=arrays.features,
        shape=arrays.shape,
        mean=tuple(mean.ravel().tolist()),
        std=tuple(std.ravel().tolist()),
        train=part(train),
        validation=part(validation),
        test=part(test),
    )


def split_indices(n: int, *, content_hash: str, split_seed: int) -> tuple[Labels, Labels, Labels]:
    """Return the indices of train (70 %), validation (15 %) and test (15 %), each in random order."""
    seed = hashlib.sha256(f"{content_hash} {split_seed}".encode()).digest()[:4]
    # RandomState, not Generator: numpy promises that its stream stays the same in every version.
    order = np.random.RandomState(int.from_bytes(seed, "big")).permutation(n).astype(np.int64)
    sizes = split_sizes(n)
    end = sizes.train + sizes.validation
    return order[: sizes.train], order[sizes.train : end], order[end:]


def with_label_noise(labels: Tensor, *, fraction: float, n_classes: int, rng: torch.Generator) -> Tensor:
    """Return labels (N,) of which about `fraction` are replaced by another class, drawn uniformly.

    With the same generator state a larger fraction changes the same labels and more, so that fractions compare.
    """
    is_wrong = torch.rand(len(labels), generator=rng) < fraction
    offset = torch.randint(1, n_classes, labels.shape, generator=rng)
    return torch.where(is_wrong, (labels + offset) % n_classes, labels)


def _channel_statistics(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation for each channel or feature, with a shape that broadcasts over `inputs`."""
    axes = (0, *range(2, inputs.ndim))
    mean = inputs.mean(axes, keepdims=True, dtype=np.float64)
    std = inputs.std(axes, keepdims=True, dtype=np.float64)
    # A constant feature stays 0 instead of being blown up.
    return mean.astype(np.float32), np.where(std < 1e-6, 1.0, std).astype(np.float32)
