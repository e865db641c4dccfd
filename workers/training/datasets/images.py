"""Image data sets, split and normalised. Shapes: N images of (channels, H, W); labels (N,).

All trials of a job see one split: a function of the data's content and `split_seed` alone. Normalisation constants come
from the training part.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workers.training.datasets.cache import cached
from workers.training.datasets.registry import DATASETS, Images, Labels

_VALIDATION_FRAC = 0.15
_TEST_FRAC = 0.15


@dataclass(frozen=True)
class Part:
    """Train, validation or test."""

    images: Tensor
    """float32 (N, channels, H, W), normalised."""
    labels: Tensor
    """int64 (N,)."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Part":
        """Return the part with its tensors on a device."""
        return Part(self.images.to(device), self.labels.to(device))

    def first(self, fraction: float) -> "Part":
        """Return the first share of the images, at least one; as the order is random, a random sample."""
        n = max(1, round(fraction * len(self)))
        return Part(self.images[:n], self.labels[:n])


@dataclass(frozen=True)
class ImageData:
    """A data set in three parts."""

    name: str
    content_hash: str
    """SHA-256 of all images and labels, hexadecimal."""
    n_classes: int
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    """For each channel, over the training part, of pixels in [0, 1]."""
    std: tuple[float, ...]
    train: Part
    validation: Part
    test: Part

    def to(self, device: torch.device) -> "ImageData":
        """Return the data with all tensors on a device."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )


@lru_cache(maxsize=2)  # a warm process runs many trials of one job
def load(name: str, *, data_dir: Path, split_seed: int = 0) -> ImageData:
    """Return a data set of the registry, split and normalised. The tensors are shared: don't change them in place.

    Args:
        data_dir: parsed data is cached in its folder `cache`.
        split_seed: another one gives another split.
    """
    row = DATASETS[name]
    images, labels = cached(data_dir / "cache" / f"{name}.npz", row.fetch)
    content_hash = hash_content(images, labels)
    train, validation, test = split_indices(len(labels), content_hash=content_hash, split_seed=split_seed)
    pixels = images.astype(np.float32) / row.highest_pixel
    mean, std = _channel_statistics(pixels[train])
    normalised = (pixels - mean) / std

    def part(indices: Labels) -> Part:
        return Part(torch.from_numpy(normalised[indices]), torch.from_numpy(labels[indices]))

    return ImageData(
        name=name,
        content_hash=content_hash,
        n_classes=row.n_classes,
        shape=row.shape,
        mean=tuple(mean.ravel().tolist()),
        std=tuple(std.ravel().tolist()),
        train=part(train),
        validation=part(validation),
        test=part(test),
    )


def hash_content(images: Images, labels: Labels) -> str:
    """Return the SHA-256 of the arrays: types, shapes and values."""
    digest = hashlib.sha256()
    for array in (images, labels):
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def split_indices(n: int, *, content_hash: str, split_seed: int) -> tuple[Labels, Labels, Labels]:
    """Return the indices of train (70 %), validation (15 %) and test (15 %), each in random order."""
    seed = hashlib.sha256(f"{content_hash} {split_seed}".encode()).digest()[:4]
    # RandomState, not Generator: numpy promises that its stream stays the same in every version.
    order = np.random.RandomState(int.from_bytes(seed, "big")).permutation(n).astype(np.int64)
    n_validation, n_test = round(_VALIDATION_FRAC * n), round(_TEST_FRAC * n)
    n_train = n - n_validation - n_test
    return order[:n_train], order[n_train : n_train + n_validation], order[n_train + n_validation :]


def with_label_noise(labels: Tensor, *, fraction: float, n_classes: int, rng: torch.Generator) -> Tensor:
    """Return labels (N,) of which about `fraction` are replaced by another class, drawn uniformly.

    With the same generator state a larger fraction changes the same labels and more, so that fractions compare.
    """
    is_wrong = torch.rand(len(labels), generator=rng) < fraction
    offset = torch.randint(1, n_classes, labels.shape, generator=rng)
    return torch.where(is_wrong, (labels + offset) % n_classes, labels)


def _channel_statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation for each channel, shape (1, channels, 1, 1)."""
    axes = (0, 2, 3)
    mean = pixels.mean(axes, keepdims=True, dtype=np.float64)
    std = pixels.std(axes, keepdims=True, dtype=np.float64)
    return mean.astype(np.float32), np.maximum(std, 1e-6).astype(np.float32)
