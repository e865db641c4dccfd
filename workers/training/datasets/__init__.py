"""Data sets that trainers share."""

from workers.training.datasets.labelled import LabelledData, Part, load, with_label_noise
from workers.training.datasets.registry import DATASETS

__all__ = ["DATASETS", "LabelledData", "Part", "load", "with_label_noise"]
