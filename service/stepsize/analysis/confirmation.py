"""Whether the trials that check an answer keep what the rest had promised."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepsize.analysis.arrays import Mask
from stepsize.analysis.choices import Contest, chosen_of, own_columns
from stepsize.analysis.exact import is_repeatable
from stepsize.analysis.intervals import scaled, t95
from stepsize.analysis.landscape import MIN_TRIALS, fit_landscape, usable_trials
from stepsize.analysis.sample import Sample
from stepsize.domain.estimate import Estimate

_PRIOR_DF = 4.0
"""How much the noise that all trials show counts beside the spread of the few that check, in degrees of freedom. As an
estimate from four would, the fitted noise lies between 0.6 and 1.0 times the true one in half of the jobs on the tasks
that constants are chosen on."""
_MIN_CHECKS = 2


@dataclass(frozen=True)
class Confirmation:
    """What the trials at the recommended configuration measured."""

    mean: Estimate
    n: int
    log_rate: float
    log_batch: float
    """NaN without a batch size."""
    promised: tuple[float, float] | None
    """Between which costs their mean was to lie, as the other trials had it; None where they promised nothing."""
    is_kept: bool | None
    """Whether it does; None where nothing was promised."""


def confirm(sample: Sample, contests: Sequence[Contest], *, seed: int) -> Confirmation | None:
    """Return what the confirming trials say; None without two of them at one configuration that have a value."""
    rows = _checks(sample)
    if rows is None:
        return None
    costs = sample.cost[rows]
    mean, n = float(costs.mean()), len(costs)
    at, batch = float(sample.log_rate[rows][0]), float(sample.log_effective[rows][0])
    spread, promised = (None, None) if is_repeatable(sample) else _promise(sample, contests, (at, batch), n, seed)
    own = float(costs.var(ddof=1))
    df = n - 1 + (_PRIOR_DF if spread is not None else 0.0)
    pooled = own if spread is None else ((n - 1) * own + _PRIOR_DF * spread**2) / df
    half = t95(df) * math.sqrt(pooled / n)
    low, high = (float(end) for end in sample.scale.clipped(np.array([mean - half, mean + half])))
    return Confirmation(
        mean=scaled(Estimate(value=mean, low=low, high=high), sample.sign),
        n=n,
        log_rate=at,
        log_batch=batch,
        promised=promised,
        is_kept=None if promised is None else promised[0] <= mean <= promised[1],
    )


def _checks(sample: Sample) -> Mask | None:
    """Return the completed confirming trials at the configuration that was checked most often."""
    confirming = np.flatnonzero(sample.confirms & sample.completed & sample.has_cost).tolist()
    counts = Counter(sample.configuration(row) for row in confirming)
    if not counts or max(counts.values()) < _MIN_CHECKS:
        return None
    commonest = counts.most_common(1)[0][0]
    checked = np.zeros(len(sample), dtype=bool)
    checked[[row for row in confirming if sample.configuration(row) == commonest]] = True
    return checked


def _promise(
    sample: Sample, contests: Sequence[Contest], where: tuple[float, float], n: int, seed: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the noise of one training there, and the 95 % interval of the mean of n, as the other trials had it."""
    log_rate, log_batch = where
    others = sample.where(~sample.confirms)
    usable = usable_trials(others)
    if int(usable.sum()) < MIN_TRIALS or not math.isfinite(log_rate) or not np.ptp(others.log_rate[usable]):
        return None, None
    landscape = fit_landscape(others, own=own_columns(contests), choices=chosen_of(contests), seed=seed).thinned()
    at = log_batch if math.isfinite(log_batch) else 0.0
    height = landscape.posterior.heights(log_rate - landscape.centres(at))
    y, scale = landscape.depths(at) + height, landscape.posterior.scales(height)
    costs = others.scale.back(y[:, None] + landscape.residuals * scale[:, None])  # one training each, shape (N, r)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, costs.shape[1], (len(costs), n))
    means = np.take_along_axis(costs, drawn, axis=1).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.sqrt(costs.var(axis=1).mean())), (float(low), float(high))
