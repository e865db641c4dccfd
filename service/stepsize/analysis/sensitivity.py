"""How exactly the learning rate must be met: the plateau around the rate that is told."""

import math
from dataclasses import dataclass

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.exact import Exact
from stepsize.analysis.landscape import Landscape, Spot

_RELATIVE_TOLERANCE = 0.01
"""Good is within 1 % of the best value, or within the noise where that is larger."""
_LEAST_TOLERANCE = 0.001
"""And at least this share of how far the ordinary trial lies from the best: 1 % of a best value of 0 is nothing."""
_SHAPE_TOLERANCE = 0.36
"""By how much of that the fitted valley may be wrong between two rates, for no valley has exactly its shape."""
_STEP = 0.04
_MOST_STEPS = 120
_FLAT_DECADES = 1.5


@dataclass(frozen=True)
class Plateau:
    """Rates that do well at one batch size; log10 rates and decades."""

    tolerance: float
    """How much worse than the bottom still counts as good, in the metric's unit."""
    noise: float
    """Standard deviation between fresh trainings; 0: there is none."""
    low: float
    high: float
    core: tuple[float, float]
    """From where to where the fitted valley rises by less than its shape may be wrong: any may be the best."""
    widths: Floats
    """Draws of the width."""
    curve_x: Floats
    """log10 rates of the curve, shape (k,)."""
    curve: Floats
    """Quantiles 0.025, 0.5 and 0.975 of the mean cost at them, shape (3, k)."""

    @property
    def is_flat(self) -> bool:
        """Whether so many rates do well that none is known to be the best one."""
        return self.noise > 0 and self.high - self.low >= _FLAT_DECADES

    @property
    def flatness(self) -> str:
        """Which rates do equally well, as text."""
        by = "less than the noise" if self.tolerance <= self.noise else f"{self.tolerance:.2g} at most"
        return f"the valley is flat: rates from {10**self.low:.2g} to {10**self.high:.2g} differ by {by}"


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
    noise = float(np.median(noise_at(landscape, spot)))
    tolerance = _tolerance(noise, float(spot.values.mean()), sample.cost)
    mean = costs.mean(axis=0)
    at = int(np.flatnonzero(x == spot.rate)[0])
    first, last = _around(mean <= mean[at] + tolerance, at)
    core_first, core_last = _around(mean <= mean[at] + _SHAPE_TOLERANCE * tolerance, at)
    is_good = costs <= bottom[:, None] + tolerance
    return Plateau(
        tolerance=tolerance,
        noise=noise,
        low=float(x[first]),
        high=float(x[last]),
        core=(float(x[core_first]), float(x[core_last])),
        widths=_widths(is_good, costs.argmin(axis=1), x),
        curve_x=x,
        curve=np.quantile(costs, [0.025, 0.5, 0.975], axis=0),
    )


def exact_plateau(exact: Exact) -> Plateau:
    """Return the plateau around the best trial of a function without noise: between its trials lie straight lines."""
    steps = max(2, math.ceil((exact.x[-1] - exact.x[0]) / _STEP) + 1)
    x = np.unique(np.append(np.linspace(exact.x[0], exact.x[-1], steps), exact.x))
    costs = np.interp(x, exact.x, exact.costs)
    tolerance = _tolerance(0.0, exact.cost, exact.costs)
    first, last = _around(costs <= exact.cost + tolerance, int(costs.argmin()))
    low, high = float(x[first]), float(x[last])
    core = (float(exact.x[exact.costs.argmin()]),) * 2
    return Plateau(tolerance, 0.0, low, high, core, np.array([high - low]), x, np.tile(costs, (3, 1)))


def _tolerance(noise: float, best: float, costs: Floats) -> float:
    ordinary = float(np.median(costs))
    return max(noise, _RELATIVE_TOLERANCE * abs(best), _LEAST_TOLERANCE * abs(ordinary - best), 1e-12)


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
