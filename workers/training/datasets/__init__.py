"""Data sets that image trainers share."""

from workers.training.datasets.images import ImageData, Part, load, with_label_noise
from workers.training.datasets.registry import DATASETS

__all__ = ["DATASETS", "ImageData", "Part", "load", "with_label_noise"]
