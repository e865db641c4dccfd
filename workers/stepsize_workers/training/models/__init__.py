"""Models that tasks share."""

from stepsize_workers.training.models.artifact import describe_model, load
from stepsize_workers.training.models.registry import MODELS, Init, Use, build_model, helps_for, names_for
from stepsize_workers.training.models.sizes import Sizes

__all__ = ["MODELS", "Init", "Sizes", "Use", "build_model", "describe_model", "helps_for", "load", "names_for"]
