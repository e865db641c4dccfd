"""95 % intervals: means, shares, standard deviations."""

import math

import numpy as np
from scipy.special import chdtri, stdtrit

from stepsize.analysis.arrays import Floats
from stepsize.domain.estimate import Estimate

_Z95 = 1.959964


def unknown(caveat: str) -> Estimate:
    """Return the estimate of what can't be said."""
    return Estimate(value=None, low=None, high=None, caveat=caveat)


def known(value: float) -> Estimate:
    """Return a number that has no uncertainty."""
    return Estimate(value=value, low=value, high=value)


def t95(df: float) -> float:
    """Return Student's quantile for a two-sided 95 % interval."""
    return float(stdtrit(max(df, 1.0), 0.975))


def around(value: float, se: float, df: float) -> Estimate:
    """Return a value with its interval from a standard error and its degrees of freedom."""
    reach = t95(df) * se
    return Estimate(value=value, low=value - reach, high=value + reach)


def mean(values: Floats) -> Estimate:
    """Return the mean with Student's interval; non-finite values are left out. Fewer than three give a guess."""
    values = values[np.isfinite(values)]
    if not len(values):
        return unknown("no values")
    centre = float(values.mean())
    if len(values) == 1:
        return Estimate(value=centre, low=None, high=None, caveat="one trial only", is_guess=True)
    found = around(centre, float(values.std(ddof=1)) / math.sqrt(len(values)), len(values) - 1)
    return found.model_copy(update={"caveat": "two trials only", "is_guess": True}) if len(values) == 2 else found


def share(n: int, of: int) -> Estimate:
    """Return a share with Wilson's interval, which holds for 0 of 5 too."""
    if not of:
        return unknown("no trials")
    p, z2 = n / of, _Z95**2
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    reach = _Z95 / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of**2))
    return Estimate(value=p, low=max(0.0, min(p, centre - reach)), high=min(1.0, max(p, centre + reach)))


def deviation(variance: float, df: float, caveat: str | None = None) -> Estimate:
    """Return a standard deviation with its chi-square interval."""
    if df < 1:
        return unknown("no two trainings that should be alike")
    sd = math.sqrt(variance)
    return Estimate(
        value=sd,
        low=sd * math.sqrt(df / chdtri(df, 0.025)),
        high=sd * math.sqrt(df / chdtri(df, 0.975)),
        caveat=caveat,
    )


def power_of_ten(exponent: Estimate) -> Estimate:
    """Return 10 to an estimate: from log10 of a rate to the rate."""
    ends = {name: _power(getattr(exponent, name)) for name in ("value", "low", "high")}
    return exponent.model_copy(update=ends)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return an estimate times a factor; a negative one swaps the ends."""
    # A negative factor makes -0.0 of 0; adding 0.0 makes that 0 again.
    value, *ends = (
        None if one is None else factor * one + 0.0 for one in (estimate.value, estimate.low, estimate.high)
    )
    low, high = ends if factor >= 0 else reversed(ends)
    return estimate.model_copy(update={"value": value, "low": low, "high": high})


def of_draws(draws: Floats, *, level: float = 0.95, guess: str | None = None) -> Estimate:
    """Return the median of draws and the interval that holds a share of them.

    Args:
        guess: why the number is less than measured; None where it isn't.
    """
    low, value, high = np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2])
    return Estimate(value=float(value), low=float(low), high=float(high), caveat=guess, is_guess=guess is not None)


def within(estimate: Estimate, value: float) -> Estimate:
    """Return an estimate with another value, and an interval that holds it."""
    low = None if estimate.low is None else min(estimate.low, value)
    high = None if estimate.high is None else max(estimate.high, value)
    return estimate.model_copy(update={"value": value, "low": low, "high": high})


def at_least(estimate: Estimate, least: float) -> Estimate:
    """Return an estimate whose interval begins at `least` at the earliest."""
    return estimate.model_copy(update={"low": None if estimate.low is None else max(least, estimate.low)})


def held_within(estimate: Estimate, low: float | None, high: float | None) -> Estimate:
    """Return an estimate whose interval ends where values do; None: no limit is known."""
    ends = {
        name: None
        if end is None
        else min(max(end, -math.inf if low is None else low), math.inf if high is None else high)
        for name, end in (("low", estimate.low), ("high", estimate.high))
    }
    return estimate.model_copy(update=ends)


def _power(exponent: float | None) -> float | None:
    return None if exponent is None else float(10.0 ** min(max(exponent, -300.0), 300.0))
