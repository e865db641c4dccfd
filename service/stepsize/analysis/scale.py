"""The scale on which a valley is fitted: log loss, logit accuracy, or the metric as it is.

Losses and error rates differ by factors, not by sums: near the bottom a seed moves a loss of 0.1 by some per cent, far
from it as well. On these scales the arms of real valleys are straight lines, and whatever is fitted comes back inside
the metric's range.

Legend: costs have the objective's sign turned so that smaller is better; `y` is a cost on the scale.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from scipy.special import expit, logit

from stepsize.analysis.arrays import Floats
from stepsize.spec.objective import Direction

_SOFTENING = 0.1
"""Losses near 0 are told apart down to this share of the tenth best: the log of 0 would be a cliff of its own."""
_SOFTENING_AT_ORDINARY = 0.03
"""And down to this share of the median: the log of what falls to nothing, as (lr − 0.1)² does, is a pit that no valley
of the model is as narrow as. Real validation losses hardly reach it. Chosen on functions without noise, see ADR 36."""
_FINEST, _COARSEST = 1e-4, 0.05
"""Bounds for the step in which a share is counted."""
_PLAIN_HEIGHT = 1.5
"""What the ordinary trial lies above the best one, in y: about what it does in log loss."""
_LARGEST_Y = 300.0


class _Kind(StrEnum):
    LOG = "log"
    LOGIT = "logit"
    PLAIN = "plain"


@dataclass(frozen=True)
class Scale:
    """From costs to y and back."""

    kind: _Kind
    low: float
    """The smallest cost possible; plain: the cost at y = 0."""
    unit: float
    """logit: the width of the range of costs; plain: the cost at y = 1, above `low`; log: what softens it near 0."""
    step: float = 0.0
    """logit: the step in which the share is counted: 0 of 57 right is no proof of 0."""
    floor: float | None = None
    ceiling: float | None = None
    """plain: what costs can't go beyond, where that is known."""

    def forward(self, cost: Floats) -> Floats:
        """Return costs on the scale."""
        match self.kind:
            case _Kind.LOG:
                return np.asarray(np.log(np.maximum(cost - self.low, 0.0) + self.unit))
            case _Kind.LOGIT:
                share = np.clip((cost - self.low) / self.unit, 0.0, 1.0)
                return np.asarray(logit((share + self.step / 2) / (1 + self.step)))
            case _Kind.PLAIN:
                return np.asarray((cost - self.low) / self.unit)
            case _:
                assert_never(self.kind)

    def back(self, y: Floats) -> Floats:
        """Return costs from the scale, inside the metric's range."""
        match self.kind:
            case _Kind.LOG:
                return self.low + np.maximum(np.exp(np.minimum(y, _LARGEST_Y)) - self.unit, 0.0)
            case _Kind.LOGIT:
                share = expit(y) * (1 + self.step) - self.step / 2
                return np.asarray(self.low + self.unit * np.clip(share, 0.0, 1.0))
            case _Kind.PLAIN:
                return np.clip(self.low + self.unit * y, self.floor, self.ceiling)
            case _:
                assert_never(self.kind)

    def clipped(self, cost: Floats) -> Floats:
        """Return costs held within the metric's range."""
        match self.kind:
            case _Kind.LOG:
                return np.maximum(cost, self.low)
            case _Kind.LOGIT:
                return np.clip(cost, self.low, self.low + self.unit)
            case _Kind.PLAIN:
                return np.clip(cost, self.floor, self.ceiling)
            case _:
                assert_never(self.kind)


def choose_scale(
    costs: Floats, direction: Direction, metric_range: tuple[float | None, float | None] = (None, None)
) -> Scale:
    """Return the scale for the costs of completed trials.

    Args:
        costs: finite, shape (n,).
        metric_range: what values of the metric are possible; None: not known. Where nothing is known, a loss that is
            never negative is taken for one that can't be, and a score that stays within 0 and 1 for a share.
    """
    low, high = _range_of_costs(costs, direction, metric_range)
    if low is not None and high is not None:
        step = _step((costs - low) / (high - low))
        return Scale(_Kind.LOGIT, low, high - low, step)
    softening = _softening(costs - low) if low is not None else 0.0
    if low is not None and softening > 0:
        return Scale(_Kind.LOG, low, softening)
    return _plain(costs, low, high)


def _range_of_costs(
    costs: Floats, direction: Direction, metric_range: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    low, high = metric_range
    is_unknown = low is None and high is None
    if direction is Direction.MAXIMIZE:
        low, high = (None if high is None else -high), (None if low is None else -low)
    if not is_unknown or not len(costs):
        return low, high
    if direction is Direction.MAXIMIZE:
        return (-1.0, 0.0) if costs.min() >= -1 and costs.max() <= 0 else (None, None)
    return (0.0, None) if costs.min() >= 0 else (None, None)


def _step(shares: Floats) -> float:
    gaps = np.diff(np.unique(shares))
    gaps = gaps[gaps > 1e-9]
    return float(np.clip(gaps.min(), _FINEST, _COARSEST)) if len(gaps) else _FINEST


def _softening(above: Floats) -> float:
    """Return what is added before the logarithm; 0 where there is no scale to be had."""
    tenth, median = (float(np.quantile(above, q)) for q in (0.1, 0.5)) if len(above) else (0.0, 0.0)
    return max(_SOFTENING * tenth, _SOFTENING_AT_ORDINARY * median)


def _plain(costs: Floats, low: float | None, high: float | None) -> Scale:
    zero = float(np.quantile(costs, 0.1)) if len(costs) else 0.0
    above = float(np.quantile(costs, 0.75)) - zero if len(costs) else 1.0
    if above <= 0:
        above = float(np.ptp(costs)) if len(costs) and np.ptp(costs) > 0 else 1.0
    return Scale(_Kind.PLAIN, zero, above / _PLAIN_HEIGHT, floor=low, ceiling=high)
