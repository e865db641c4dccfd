"""When has a training exploded? Judged by smoothed losses, against where the untrained model stands. Knows no torch.

A loss that isn't finite needs no judge. One that leaps does: at small batches single losses of a healthy training lie
far above their mean, and healthy trainings leap and come back. So losses are averaged over many samples, several such
averages must agree, and the bar is the untrained model's loss. A training that leaps and then stalls at chance has
learned nothing, which its metrics say; it has not exploded. `benchmarks/divergence.py` measures both kinds of mistake.
"""

import math
from collections import deque
from collections.abc import Iterable
from statistics import fmean, median

ROBUST_START = 64
"""Samples over which an average loss is certain enough to compare."""


class ExplosionWatch:
    """Tells whether a training's loss has exploded: for a while, it lies above ten times what it was before training.

    "For a while": the median of the last five averages, each over 64 samples or over one update where that has more.
    """

    _RATIO = 10.0
    _AVERAGES = 5

    def __init__(
        self, untrained: float, *, batch_size: int, most_updates: int | None = None, recent: Iterable[float] = ()
    ) -> None:
        """Begin.

        Args:
            untrained: mean loss of the model before training, over at least `ROBUST_START` samples.
            batch_size: samples of an update.
            most_updates: to average over; None: as many as it takes.
            recent: the averages of earlier epochs, of an interrupted attempt too.
        """
        self.untrained = untrained
        self._n_updates = min(math.ceil(ROBUST_START / batch_size), most_updates or ROBUST_START)
        self._recent = deque([untrained] * self._AVERAGES, maxlen=self._AVERAGES)
        self._recent.extend(recent)
        self._losses: list[float] = []

    @property
    def recent(self) -> list[float]:
        """The last averages, the oldest first."""
        return list(self._recent)

    @property
    def smoothed(self) -> float:
        """The median of the last averages."""
        return median(self._recent)

    def has_exploded(self, loss: float) -> bool:
        """Take in the loss of an update and tell whether the training is over."""
        if not math.isfinite(loss):
            return True
        self._losses.append(loss)
        if len(self._losses) < self._n_updates:
            return False
        self._recent.append(fmean(self._losses))
        self._losses.clear()
        # Written so that an untrained loss of 0 or below has room above it as well.
        return self.smoothed - self.untrained > (self._RATIO - 1) * (abs(self.untrained) or 1.0)


class SweepWatch:
    """Tells when a sweep has seen enough: its loss is not finite, or far above the lowest so far.

    Losses are judged over two updates, at small batches over up to eight, so that one odd batch ends no sweep.
    """

    _RATIO = 4.0
    _SAMPLES = 32
    _FEWEST, _MOST = 2, 8
    """Updates: at more than eight a sweep of a hundred would see its end most of a decade late."""

    def __init__(self, initial: float, *, batch_size: int = _SAMPLES) -> None:
        """Begin.

        Args:
            initial: the loss before the first update.
            batch_size: samples of an update.
        """
        n_updates = min(max(self._FEWEST, math.ceil(self._SAMPLES / batch_size)), self._MOST)
        self._first = initial
        self._recent: deque[float] = deque([initial], maxlen=n_updates)
        self._initial: float | None = None
        self._lowest = math.inf

    def is_finite(self, loss: float) -> bool:
        """Tell whether there was, and still is, a loss to speak of."""
        return math.isfinite(self._first) and math.isfinite(loss)

    def has_exploded(self, loss: float) -> bool:
        """Take in the next loss and tell whether the sweep is over.

        The bar lies at four times the lowest loss, but never nearer to it than the initial loss is to 0: a loss that
        has come close to 0 may not end the sweep by rising to a little more.
        """
        self._recent.append(loss)
        if len(self._recent) < (self._recent.maxlen or 0):
            return False
        mean = fmean(self._recent)
        if self._initial is None:  # the first rates are too low to change much; a single sample may have it easy
            self._initial = max(abs(self._first), abs(mean))
        self._lowest = min(self._lowest, mean)
        room = max((self._RATIO - 1) * abs(self._lowest), self._initial)
        return median(self._recent) > self._lowest + room
