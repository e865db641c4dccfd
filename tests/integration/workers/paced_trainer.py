"""The image classifier at a pace at which it can be killed; loaded by workers as an extra module."""

import time
from collections.abc import Sequence

from torch import nn

from stepsize_workers.trainers.base import TrialContext
from stepsize_workers.trainers.image_classifier import ImageClassifier, ImageClassifierParams
from stepsize_workers.training.task import Metrics

MEASURING_S = 0.5
"""So long a measurement takes: time to be killed in."""
EPOCH_S = 0.3
"""So long an epoch takes at least, alone or in a group: on a fast machine a search is over before it is killed."""


class PacedClassifier(ImageClassifier):
    """Always finds that four trials are fastest as one."""

    name = "paced_classifier"

    def evaluate(self, model: nn.Module) -> Metrics:
        time.sleep(EPOCH_S)
        return super().evaluate(model)

    def measure_together(self, context: TrialContext[ImageClassifierParams], *, most: int) -> Sequence[float]:
        time.sleep(MEASURING_S)
        return [rate for n, rate in ((1, 100.0), (2, 150.0), (4, 240.0)) if n <= most]
