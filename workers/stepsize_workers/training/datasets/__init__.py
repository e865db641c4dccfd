"""Data sets that trainers share."""

from stepsize_workers.training.datasets.labelled import LabelledData, Part, load, with_label_noise
from stepsize_workers.training.datasets.registry import DATASETS

__all__ = ["DATASETS", "LabelledData", "Part", "load", "with_label_noise"]
