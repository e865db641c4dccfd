"""Models that classifiers share."""

from stepsize_workers.training.models.artifact import load
from stepsize_workers.training.models.registry import MODELS, build_model
from stepsize_workers.training.models.sizes import Sizes

__all__ = ["MODELS", "Sizes", "build_model", "load"]
