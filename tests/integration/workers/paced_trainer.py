"""The image classifier with a measurement that is the same each time; loaded by workers as an extra module."""

import time
from collections.abc import Sequence

from stepsize_workers.trainers.base import TrialContext
from stepsize_workers.trainers.image_classifier import ImageClassifier, ImageClassifierParams

MEASURING_S = 0.5
"""So long a measurement takes: time to be killed in."""


class PacedClassifier(ImageClassifier):
    """Always finds that four trials are fastest as one."""

    name = "paced_classifier"

    def measure_together(self, context: TrialContext[ImageClassifierParams], *, most: int) -> Sequence[float]:
        time.sleep(MEASURING_S)
        return [rate for n, rate in ((1, 100.0), (2, 150.0), (4, 240.0)) if n <= most]
