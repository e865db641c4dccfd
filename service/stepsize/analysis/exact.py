"""Functions without noise: the best of their trials owes nothing to luck, and the bottom lies between its neighbours.

Fresh trainings of one configuration that agree to the last digit show that there is no noise between seeds. A rough
function of the rate, whose training fixes a seed of its own, agrees with itself too: its costs don't fall towards one
rate and rise behind it. Only where they do, at every rate that was tried, is the best trial the answer.

Legend: x log10 rate, `n` trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stepsize.analysis.arrays import Floats, Mask
from stepsize.analysis.landscape import NEAR_DECADES, Spot
from stepsize.analysis.sample import Sample
from stepsize.spec.roles import BATCH_NAME, RATE_NAMES
from stepsize.spec.space import SearchSpace

_LEAST_BESIDE = 4
"""Trials on each side of the best one, each better than the next further out: noise does so in one of 576."""
ALIKE = 1e-9
"""Share of a value up to which sums in another order differ."""
_FINE = 0.9
"""Share of configurations with values of their own: few levels, as shares of 57 samples have, agree by chance."""


@dataclass(frozen=True)
class Exact:
    """What the trials of a function without noise say at one batch size. Rates are log10, values costs."""

    rate: float
    """The best trial's."""
    cost: float
    between: tuple[float, float]
    """The rates next to it, between which the bottom lies."""
    x: Floats
    """Rates in order, shape (n,)."""
    costs: Floats


def is_repeatable(sample: Sample) -> bool:
    """Tell whether trainings with other seeds gave the very same values, as far as any were repeated."""
    groups = _by_configuration(sample)
    repeated = [costs for costs in groups if len(costs) > 1]
    if not repeated or not all(np.ptp(costs) <= ALIKE * np.abs(costs).max() for costs in repeated):
        return False
    return len(np.unique([costs[0] for costs in groups])) >= _FINE * len(groups)


def is_of_rate_alone(space: SearchSpace) -> bool:
    """Tell whether nothing but the learning rate and the batch size is searched."""
    return not set(space) - {*RATE_NAMES, BATCH_NAME}


def find_exact(sample: Sample, spot: Spot, here: Mask) -> Exact | None:
    """Return what the trials of a repeatable function say; None where they are rough, or show more than one valley.

    Args:
        here: the trials at the batch size of the spot.
    """
    known = here & np.isfinite(sample.log_rate)
    rows = np.flatnonzero(known & sample.completed & np.isfinite(sample.cost))
    x, first = np.unique(sample.log_rate[rows], return_index=True)
    costs = sample.cost[rows][first]
    if not len(x):
        return None
    at = int(costs.argmin())
    if not (_rises(costs[: at + 1][::-1]) and _rises(costs[at:])):
        return None
    low, high = float(x[at - 1]), float(x[at + 1])
    if high > spot.limit or (known & sample.diverged & (sample.log_rate < high)).any():
        return None
    return Exact(float(x[at]), float(costs[at]), (low, high), x, costs)


def exact_spot(spot: Spot, exact: Exact) -> Spot:
    """Return what is told where the best trial owes nothing to luck."""
    rates = np.linspace(*exact.between, len(spot.rates))
    return replace(
        spot,
        rates=rates,
        unbounded=rates,
        rate=exact.rate,
        values=np.full(len(spot.values), exact.cost),
        n_near=int((np.abs(exact.x - exact.rate) <= NEAR_DECADES).sum()),
    )


def _rises(outwards: Floats) -> bool:
    """Tell whether costs rise from the best one outwards: strictly near it, never falling further out."""
    steps = np.diff(outwards)
    return bool(len(steps) >= _LEAST_BESIDE and (steps[:_LEAST_BESIDE] > 0).all() and (steps >= 0).all())


def _by_configuration(sample: Sample) -> Sequence[Floats]:
    """Return the costs of each configuration's trainings, one a seed: those of unknown seeds may share one."""
    groups: dict[str, dict[int, float]] = {}
    for row in np.flatnonzero(sample.completed & np.isfinite(sample.cost)):
        own = groups.setdefault(repr(sorted(sample.params[row].items())), {})
        own[int(sample.seed[row])] = float(sample.cost[row])
    return [np.array(list(costs.values())) for costs in groups.values()]
