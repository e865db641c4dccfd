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

    "For a while": the median of the last five averages, each over 64 samples or over one update where that has more. Or
    two in a row, above a thousand times: where an epoch is three updates, five averages come too late. What the last
    update of an epoch has done no loss of the epoch shows: it is asked for (`is_alarmed`, `has_exploded_with`).
    """

    _RATIO = 10.0
    _AVERAGES = 5
    _SUDDEN_RATIO = 1000.0
    _SUDDEN_AVERAGES = 2

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
        self.highest = -math.inf
        """The highest average this watch has seen."""
        self._losses: list[float] = []

    @property
    def recent(self) -> list[float]:
        """The last averages, the oldest first."""
        return list(self._recent)

    @property
    def risen_to(self) -> float:
        """What the last averages agree on: their median, or the lower one of the last two where that is more."""
        return max(median(self._recent), self._sudden)

    @property
    def _sudden(self) -> float:
        return min(self.recent[-self._SUDDEN_AVERAGES :])

    @property
    def is_alarmed(self) -> bool:
        """Whether the last average lies above ten times the untrained loss: one more may show an explosion."""
        return self._is_above(self._RATIO, self._recent[-1])

    def has_exploded_with(self, loss: float) -> bool:
        """Tell whether the training is over by one more average, the model's loss after an epoch's last update.

        Where it is not, the average is forgotten: the next epoch's first one says the same.
        """
        if not math.isfinite(loss):
            return True
        before = self._recent.copy()
        self._recent.append(loss)
        if self._has_risen:
            return True
        self._recent = before
        return False

    @property
    def _has_risen(self) -> bool:
        return self._is_above(self._RATIO, median(self._recent)) or self._is_above(self._SUDDEN_RATIO, self._sudden)

    def _is_above(self, ratio: float, loss: float) -> bool:
        # Written so that an untrained loss of 0 or below has room above it as well.
        return loss - self.untrained > (ratio - 1) * (abs(self.untrained) or 1.0)

    def has_exploded(self, loss: float) -> bool:
        """Take in the loss of an update and tell whether the training is over."""
        if not math.isfinite(loss):
            return True
        self._losses.append(loss)
        if len(self._losses) < self._n_updates:
            return False
        self._recent.append(fmean(self._losses))
        self._losses.clear()
        self.highest = max(self.highest, self._recent[-1])
        return self._has_risen


class SweepWatch:
    """Tells when a sweep has seen enough: its loss is not finite, or far above the lowest so far.

    Losses are judged over two updates, at small batches over up to eight, so that one odd batch ends no sweep. Nor do
    hard batches after easy ones, where it is known what the untrained model loses on them.
    """

    _RATIO = 4.0
    _HEADROOM = 0.25
    """How far above the untrained model's a loss must lie, as a share of the initial one: rules read nothing higher."""
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
        self._above: deque[float] = deque(maxlen=n_updates)
        """How far the last losses lie above the untrained model's on the same batches; infinite where not known."""
        self._initial: float | None = None
        self._lowest = math.inf

    def is_finite(self, loss: float) -> bool:
        """Tell whether there was, and still is, a loss to speak of."""
        return math.isfinite(self._first) and math.isfinite(loss)

    def has_exploded(self, loss: float, *, untrained: float = math.nan) -> bool:
        """Take in the next loss and tell whether the sweep is over.

        The bar lies at four times the lowest loss, but never nearer to it than the initial loss is to 0: a loss that
        has come close to 0 may not end the sweep by rising to a little more.

        Args:
            untrained: what the untrained model loses on the same batch; not finite where that is not known.
        """
        self._recent.append(loss)
        self._above.append(loss - untrained if math.isfinite(untrained) else math.inf)
        if len(self._recent) < (self._recent.maxlen or 0):
            return False
        mean = fmean(self._recent)
        if self._initial is None:  # the first rates are too low to change much; a single sample may have it easy
            self._initial = max(abs(self._first), abs(mean))
        self._lowest = min(self._lowest, mean)
        room = max((self._RATIO - 1) * abs(self._lowest), self._initial)
        return median(self._recent) > self._lowest + room and median(self._above) > self._HEADROOM * self._initial
