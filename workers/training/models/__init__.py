"""Models that classifiers share."""

from workers.training.models.artifact import load
from workers.training.models.registry import MODELS, build_model
from workers.training.models.sizes import Sizes

__all__ = ["MODELS", "Sizes", "build_model", "load"]
