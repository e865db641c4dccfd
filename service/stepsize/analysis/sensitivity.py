"""How exactly the learning rate must be met: the plateau around the rate that is told."""

import math
from dataclasses import dataclass

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.landscape import Landscape, Spot

_RELATIVE_TOLERANCE = 0.01
"""Good is within 1 % of the best value, or within the noise where that is larger."""
_LEAST_TOLERANCE = 0.001
"""And at least this share of how far the ordinary trial lies from the best: 1 % of a best value of 0 is nothing."""
_STEP = 0.04
_MOST_STEPS = 120
_FLAT_DECADES = 1.5


@dataclass(frozen=True)
class Plateau:
    """Rates that do well at one batch size; log10 rates and decades."""

    tolerance: float
    """How much worse than the bottom still counts as good, in the metric's unit."""
    low: float
    high: float
    widths: Floats
    """Draws of the width."""
    curve_x: Floats
    """log10 rates of the curve, shape (k,)."""
    curve: Floats
    """Quantiles 0.025, 0.5 and 0.975 of the mean cost at them, shape (3, k)."""

    @property
    def is_flat(self) -> bool:
        """Whether so many rates do well that none is the best one."""
        return self.high - self.low >= _FLAT_DECADES


def noise_at(landscape: Landscape, spot: Spot) -> Floats:
    """Return draws of the standard deviation of the objective between fresh trainings at a spot, shape (N,)."""
    few = landscape.thinned()
    height = few.posterior.heights(spot.rate - few.centres(spot.log_batch))
    y, scale = few.depths(spot.log_batch) + height, few.posterior.scales(height)
    costs = few.sample.scale.back(y[:, None] + few.residuals * scale[:, None])
    return np.asarray(costs.std(axis=1))


def find_plateau(landscape: Landscape, spot: Spot) -> Plateau:
    """Return the plateau around a spot, among safe rates that were tried."""
    few, sample = landscape.thinned(), landscape.sample
    lowest = float(sample.log_rate.min())
    steps = min(_MOST_STEPS, max(2, math.ceil((spot.limit - lowest) / _STEP) + 1))
    x = np.unique(np.append(np.linspace(lowest, spot.limit, steps), spot.rate))
    costs = few.costs(x, spot.log_batch)
    bottom = costs.min(axis=1)
    ordinary = float(np.median(sample.cost))
    best = float(spot.values.mean())
    tolerance = max(
        float(np.median(noise_at(landscape, spot))),
        _RELATIVE_TOLERANCE * abs(best),
        _LEAST_TOLERANCE * abs(ordinary - best),
        1e-12,
    )
    mean = costs.mean(axis=0)
    at = int(np.flatnonzero(x == spot.rate)[0])
    first, last = _around(mean <= mean[at] + tolerance, at)
    is_good = costs <= bottom[:, None] + tolerance
    return Plateau(
        tolerance=tolerance,
        low=float(x[first]),
        high=float(x[last]),
        widths=_widths(is_good, costs.argmin(axis=1), x),
        curve_x=x,
        curve=np.quantile(costs, [0.025, 0.5, 0.975], axis=0),
    )


def _around(is_good: Floats, at: int) -> tuple[int, int]:
    """Return the ends of the stretch of good rates around one of them."""
    first = last = at
    while first > 0 and is_good[first - 1]:
        first -= 1
    while last < len(is_good) - 1 and is_good[last + 1]:
        last += 1
    return first, last


def _widths(is_good: Floats, bottoms: Floats, x: Floats) -> Floats:
    widths = []
    for good, at in zip(is_good, bottoms, strict=True):
        first, last = _around(good, int(at))
        widths.append(float(x[last] - x[first]))
    return np.array(widths)
