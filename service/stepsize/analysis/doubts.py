"""What the trials say against a fitted valley: a posterior predictive check, and second valleys."""

import math

import numpy as np
from scipy.special import chdtrc

from stepsize.analysis.arrays import Floats, Mask
from stepsize.analysis.landscape import Landscape, Spot, standard_residuals

_BUNCH = 6
"""Neighbouring trials whose residuals are averaged: a wrong shape leaves them all on one side."""
_CLIP = 2.0
_CLIPPED_SD = 1.13
"""Standard deviation of Student's t with four degrees of freedom, held within ±2 and then averaged."""
_CONTRADICTED_BELOW = 1e-3
_WITHIN_DECADES = 1.5
_SECOND_WINDOW = 0.15
"""Half of the width, in decades, in which trials make a second valley."""
_SECOND_AWAY = 0.4
_SECOND_TRIALS = 3
_AS_GOOD = 2.0
_AS_GOOD_SHARE = 0.15
"""Scales of the noise above the bottom, or share of what the fit says, up to which a trial does as well as there."""
_RIDGE_TRIALS = 4
"""Neighbouring trials that make a ridge."""
_RIDGE_SHARE = 0.5
_RIDGE_SCALES = 6.0
"""Share of a ridge's height over the bottom, and scales of the noise, that a trial behind it lies below it."""
_MODE_SHARE = 0.15
_MODE_GAP = 0.5


def is_contradicted(landscape: Landscape) -> bool:
    """Tell whether neighbouring trials lie on one side of the fit more often than noise lets them."""
    standard, _ = standard_residuals(landscape.sample, landscape.layout, landscape.posterior)
    away = _away(landscape)
    near = np.flatnonzero((np.abs(away) <= _WITHIN_DECADES) & (landscape.sample.y_sd == 0))
    near = near[np.argsort(away[near], kind="stable")]
    n_bunches = len(near) // _BUNCH
    if n_bunches < 2:
        return False
    clipped = np.clip(standard[near], -_CLIP, _CLIP)
    bunches = np.array_split(clipped - np.median(clipped), n_bunches)
    squares = sum(len(bunch) * (float(bunch.mean()) / _CLIPPED_SD) ** 2 for bunch in bunches)
    return bool(chdtrc(n_bunches - 1, squares) < _CONTRADICTED_BELOW)


def second_valley(landscape: Landscape, spot: Spot) -> float | None:
    """Return log10 of a rate apart from the told one where trials do as well; None where there is none."""
    away, scale = _away(landscape), float(np.median(landscape.posterior.shape[:, 4]))
    sample = landscape.sample
    _, height = standard_residuals(sample, landscape.layout, landscape.posterior)
    depth = landscape.layout.columns(sample).depth @ landscape.posterior.depth.mean(axis=0)
    is_good = (sample.y - depth <= np.maximum(_AS_GOOD * scale, _AS_GOOD_SHARE * height)) & (sample.y_sd == 0)
    is_unexpected = (np.abs(away) > max(_SECOND_AWAY, spot.width / 2)) & (height > 2 * _AS_GOOD * scale)
    for middle in away[is_good & is_unexpected]:
        around: Mask = is_unexpected & (np.abs(away - middle) <= _SECOND_WINDOW)
        n_good = int((around & is_good).sum())
        if n_good >= _SECOND_TRIALS and 2 * n_good >= int(around.sum()):
            bottom = float(landscape.centres(spot.log_batch, told=False).mean())
            return bottom + float(np.median(away[around & is_good]))
    return _second_mode(spot)


def behind_a_ridge(landscape: Landscape) -> float | None:
    """Return log10 of the rate of the best trial beyond a ridge; None where costs only rise outwards.

    A ridge is a stretch without a good trial: where training is unstable, bad ones stand among good ones. Few trials
    lie beyond it, or the fit would know of them.
    """
    sample = landscape.sample
    depth = landscape.layout.columns(sample).depth @ landscape.posterior.depth.mean(axis=0)
    away, height = _away(landscape), sample.y - depth
    least = _RIDGE_SCALES * float(np.median(landscape.posterior.shape[:, 4]))
    found: list[int] = []
    for side in (-1, 1):
        rows = np.flatnonzero((side * away > 0) & (sample.y_sd == 0))
        rows = rows[np.argsort(side * away[rows], kind="stable")]
        ridge = 0.0
        for at in range(_RIDGE_TRIALS, len(rows)):
            ridge = max(ridge, float(height[rows[at - _RIDGE_TRIALS : at]].min()))
            if ridge - height[rows[at]] >= max(_RIDGE_SHARE * ridge, least):
                found.append(int(rows[at]))
    return float(sample.log_rate[min(found, key=lambda row: height[row])]) if found else None


def _second_mode(spot: Spot) -> float | None:
    """Return the middle of the smaller part where the draws fall into two parts with hardly any between."""
    draws = np.sort(spot.rates)
    n = len(draws)
    inner = draws[int(_MODE_SHARE * n) : math.ceil((1 - _MODE_SHARE) * n)]
    gaps: Floats = inner[n // 50 :] - inner[: -(n // 50)] if len(inner) > n // 50 else np.zeros(0)
    if not len(gaps) or gaps.max() < _MODE_GAP:
        return None
    at = float(inner[int(gaps.argmax())])
    parts = draws[draws <= at], draws[draws > at]
    smaller = float(np.median(min(parts, key=len)))
    return smaller if spot.tried[0] <= smaller <= spot.tried[1] else None  # beyond them no trial does as well


def _away(landscape: Landscape) -> Floats:
    """Return how far each trial's rate lies from the bottom, in decades."""
    columns = landscape.layout.columns(landscape.sample)
    return np.asarray(landscape.sample.log_rate - columns.rate @ landscape.posterior.rate.mean(axis=0))
