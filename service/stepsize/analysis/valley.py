"""The valley: cost as a function of log10 learning rate, and of log10 batch size where that was searched.

A parabola in log rate is fitted in the widest window around the bottom in which trials don't contradict it. Real
valleys are steep towards high rates and flat towards low ones, so a fit of all trials would put the bottom in the wrong
place; a window narrower than needed would waste trials. The fit is linear least squares with Huber weights (some trials
are bad for reasons of their own); its intervals come from HC3 covariances (noise grows away from the bottom) and the
delta method.

Legend: x log10 rate, z log10 batch size minus its mean, u = x minus a pilot line, `p` coefficients.
    cost = c0 + p1·u + p2·u² [+ c1·z + p3·u·z [+ c2·z²]]      bottom at u*(z) = −(p1 + p3·z) / (2·p2)
The terms in z alone let the depth of the valley depend on the batch size freely.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from stepsize.analysis.intervals import around, at_least, unknown
from stepsize.analysis.sample import Floats, Mask, Sample
from stepsize.domain.report import Estimate

_HALF_WIDTHS = (2.0, 1.5, 1.0, 0.75, 0.5, 0.35, 0.25)
"""Windows tried, in decades to either side."""
_CONTRADICTED_BELOW = 0.05
"""p-value of the test for a cubic and a quartic term."""
_CLEAR_CURVATURE = 3.0
"""Curvature over its standard error from which there is a valley at all; below, the bottom may be anywhere."""
_HUBER = 1.345
_HUBER_ROUNDS = 4
_EDGE_SHARE = 0.1
"""Best trials within this share of the searched range from its end: the bottom may lie beyond."""
_MIN_TRIALS = 8


@dataclass(frozen=True)
class Unclear:
    """Why no valley can be fitted."""

    reason: str
    advice: str | None = None
    """Where to search instead; None: more trials in the same space may do."""


@dataclass(frozen=True)
class _Line:
    """log10 rate = x0 + b·(log10 batch − z0)."""

    x0: float
    b: float
    z0: float

    def at(self, log_batch: Floats) -> Floats:
        return self.x0 + self.b * (log_batch - self.z0)


@dataclass(frozen=True)
class _Fit:
    """One least-squares fit."""

    p: Floats
    covariance: Floats
    df: float
    sigma: float
    squares: float


@dataclass(frozen=True)
class Valley:
    """A fitted valley. Rates are log10, costs have the objective's unit with smaller better."""

    line: _Line
    fit: _Fit
    batch_terms: int
    """0: no batch size; 1: two of them; 2: three or more."""
    half_width: float
    n_trials: int
    x_range: tuple[float, float]
    is_parabola: bool
    """Whether the window is one in which nothing contradicts a parabola."""

    @property
    def noise(self) -> float:
        """Scatter around the fit, a standard deviation."""
        return self.fit.sigma

    @property
    def curvature(self) -> float:
        return float(self.fit.p[2])

    def rate(self, log_batch: float) -> Estimate:
        """Return log10 of the best rate at a batch size (ignored where there is but one)."""
        z = self._z(log_batch)
        bottom, gradient = self._bottom_at(z)
        return around(self.line.x0 + self.line.b * z + bottom, self._se(gradient), self.fit.df)

    def cost(self, log_batch: float) -> Estimate:
        """Return the cost at the bottom."""
        z = self._z(log_batch)
        bottom, _ = self._bottom_at(z)
        row = _design(np.array([bottom]), np.array([z]), self.batch_terms)[0]
        return around(float(row @ self.fit.p), self._se(row), self.fit.df)

    def is_seen(self, log_batch: float) -> bool:
        """Tell whether the bottom at a batch size lies within the searched rates."""
        rate = self.rate(log_batch).value
        low, high = self.x_range
        return rate is not None and low <= rate <= high

    def slope(self) -> Estimate:
        """Return b, by how many decades the best rate moves per decade of batch size."""
        if not self.batch_terms:
            return unknown("the batch size was not searched")
        _, _, p2, _, p3 = self.fit.p[:5]
        gradient = np.zeros(len(self.fit.p))
        gradient[2], gradient[4] = p3 / (2 * p2**2), -1 / (2 * p2)
        return around(self.line.b - p3 / (2 * p2), self._se(gradient), self.fit.df)

    def width(self, tolerance: float) -> Estimate:
        """Return the width in decades of where the cost lies within `tolerance` of the bottom."""
        width = 2 * math.sqrt(tolerance / self.curvature)
        se = width / 2 * math.sqrt(self.fit.covariance[2, 2]) / self.curvature
        estimate = around(width, se, self.fit.df)
        return at_least(estimate, 0.0)

    def _z(self, log_batch: float) -> float:
        return log_batch - self.line.z0 if self.batch_terms else 0.0

    def _bottom_at(self, z: float) -> tuple[float, Floats]:
        """Return u* and its derivatives with respect to the coefficients."""
        p = self.fit.p
        slope = p[1] + (p[4] * z if self.batch_terms else 0.0)
        gradient = np.zeros(len(p))
        gradient[1], gradient[2] = -1 / (2 * p[2]), slope / (2 * p[2] ** 2)
        if self.batch_terms:
            gradient[4] = -z / (2 * p[2])
        return float(-slope / (2 * p[2])), gradient

    def _se(self, gradient: Floats) -> float:
        return math.sqrt(max(0.0, float(gradient @ self.fit.covariance @ gradient)))


def fit_valley(sample: Sample, *, by_batch: bool = True) -> Valley | Unclear:
    """Fit the valley of the trials that have a cost and a learning rate.

    Args:
        by_batch: let the bottom move with the batch size; else all trials are taken as if they had the same.
    """
    usable = (sample.weight > 0) & np.isfinite(sample.log_rate)
    if by_batch:
        usable &= np.isfinite(sample.log_batch) | ~np.isfinite(sample.log_batch).any()
    x, y, weight = sample.log_rate[usable], sample.cost[usable], sample.weight[usable]
    batch = sample.log_batch[usable] if by_batch else np.zeros(len(x))
    batch = np.where(np.isfinite(batch), batch, 0.0)
    if (refusal := _refuse(x, y)) is not None:
        return _blame_divergence(sample) if not len(x) else refusal
    n_batches = len(np.unique(batch))
    trusted = _without_outliers(y)
    valley = _search_window(x[trusted], y[trusted], weight[trusted], batch[trusted], batch_terms=min(n_batches - 1, 2))
    if valley is None or not valley.is_seen(float(np.median(batch))):
        return _explain(x, y, sample.log_rate[sample.diverged & np.isfinite(sample.log_rate)])
    return valley


def _refuse(x: Floats, y: Floats) -> Unclear | None:
    if len(x) == 0:
        return Unclear("no trial has a learning rate and a value yet")
    if len(np.unique(np.round(x, 9))) == 1:
        return Unclear("every trial has the same learning rate")
    if len(x) < _MIN_TRIALS:
        return Unclear(f"{len(x)} trials with a value are too few; a valley needs at least {_MIN_TRIALS}")
    if np.ptp(y) == 0:
        return Unclear("every trial has the same value")
    return None


def _without_outliers(y: Floats) -> Mask:
    """Return which costs are of the valley's own size: a loss that leapt to 1e30 says nothing about its bottom."""
    best, median = float(y.min()), float(np.median(y))
    return np.asarray(y <= median + 10 * (median - best))


def _search_window(x: Floats, y: Floats, weight: Floats, batch: Floats, *, batch_terms: int) -> Valley | None:
    """Return the fit in the widest window that nothing contradicts, else in the narrowest that can be fitted."""
    line, found = _pilot(x, y, batch, batch_terms), None
    for half_width in _HALF_WIDTHS:
        valley = _fit_window(x, y, weight, batch, line, half_width, batch_terms)
        if valley is None:
            continue
        found, line = valley, _moved(valley)
        if valley.is_parabola:
            return valley
    return found


def _pilot(x: Floats, y: Floats, batch: Floats, batch_terms: int) -> _Line:
    """Return where the best quarter of trials lies: a first guess at the bottom."""
    z0 = float(batch.mean())
    n_best = max(6, len(x) // 4)
    best = np.argsort(y, kind="stable")[:n_best]
    x0 = float(np.median(x[best]))
    if not batch_terms or np.ptp(batch[best]) == 0:
        return _Line(x0, 0.0, z0)
    z = batch[best] - z0
    zc = z - z.mean()
    b = float(zc @ x[best] / (zc @ zc + 0.05 * n_best))  # a ridge: the best few may all share one batch size
    return _Line(float(x[best].mean()) - b * float(z.mean()), b, z0)


def _fit_window(
    x: Floats, y: Floats, weight: Floats, batch: Floats, line: _Line, half_width: float, batch_terms: int
) -> Valley | None:
    valley = None
    for _ in range(3):
        u, z = x - line.at(batch), batch - line.z0
        inside = np.abs(u) <= half_width
        design = _design(u[inside], z[inside], batch_terms)
        if inside.sum() < max(_MIN_TRIALS, design.shape[1] + 3) or np.linalg.matrix_rank(design) < design.shape[1]:
            return None
        fit = _least_squares(design, y[inside], weight[inside])
        if fit is None or fit.p[2] <= _CLEAR_CURVATURE * math.sqrt(fit.covariance[2, 2]):
            return None
        valley = Valley(
            line=line,
            fit=fit,
            batch_terms=batch_terms,
            half_width=half_width,
            n_trials=int(inside.sum()),
            x_range=(float(x.min()), float(x.max())),
            is_parabola=not _is_contradicted(u[inside], z[inside], y[inside], weight[inside], batch_terms, fit),
        )
        moved = _moved(valley)
        if abs(moved.x0 - line.x0) < 0.05 * half_width:
            return valley
        line = moved
    return valley


def _moved(valley: Valley) -> _Line:
    """Return the line of the fitted bottoms."""
    p, line = valley.fit.p, valley.line
    b = line.b - p[4] / (2 * p[2]) if valley.batch_terms else 0.0
    return _Line(line.x0 - float(p[1] / (2 * p[2])), float(np.clip(b, -2, 2)), line.z0)


def _design(u: Floats, z: Floats, batch_terms: int) -> Floats:
    columns = [np.ones_like(u), u, u**2]
    if batch_terms:
        columns += [z, u * z]
    if batch_terms == 2:
        columns += [z**2]
    return np.column_stack(columns)


def _least_squares(design: Floats, y: Floats, weight: Floats) -> _Fit | None:
    """Fit with Huber weights on top of the given ones; None where the trials can't determine the coefficients."""
    w, slope = weight, 1.0
    for _ in range(_HUBER_ROUNDS):
        p, inverse, residual = _solve(design, y, w)
        scale = 1.4826 * float(np.median(np.abs(residual)))
        if scale <= 1e-12 * max(1e-300, float(np.ptp(y))):
            break
        w = weight * np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(residual), 1e-300))
        slope = float(np.mean(np.abs(residual) <= _HUBER * scale))
    df = len(y) - design.shape[1]
    leverage = np.minimum(w * np.einsum("ij,jk,ik->i", design, inverse, design), 0.99)
    scores = design * (w * residual / (1 - leverage))[:, None]
    # Huber's function is flat beyond its bend: with its weights for a slope, intervals come out too narrow.
    bread = np.linalg.pinv(design.T @ (design * weight[:, None]), hermitian=True) / slope
    covariance = bread @ (scores.T @ scores) @ bread
    squares = float(w @ residual**2)
    if not np.isfinite(covariance).all():
        return None
    return _Fit(p, covariance, df, math.sqrt(squares / w.sum() * len(y) / df), squares)


def _solve(design: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
    inverse = np.linalg.pinv(design.T @ (design * w[:, None]), hermitian=True).astype(np.float64)
    p = inverse @ (design.T @ (w * y))
    return p, inverse, y - design @ p


def _is_contradicted(u: Floats, z: Floats, y: Floats, weight: Floats, batch_terms: int, fit: _Fit) -> bool:
    """Test whether a cubic and a quartic term (and a curvature that depends on the batch size) fit better."""
    further = [u**3, u**4, *([u**2 * z] if batch_terms else [])]
    wide = np.column_stack([_design(u, z, batch_terms), *further])
    df = len(y) - wide.shape[1]
    if df < 4:
        return False
    plain = _solve(_design(u, z, batch_terms), y, weight)[2]
    rest = _solve(wide, y, weight)[2]
    before, after = float(weight @ plain**2), float(weight @ rest**2)
    if before <= 1e-18 * float(y @ y) + 1e-300:  # an exact parabola: what is left is rounding
        return False
    ratio = max(0.0, before - after) / len(further) / max(after / df, 1e-300)
    return bool(fdtrc(len(further), df, ratio) < _CONTRADICTED_BELOW)


def _blame_divergence(sample: Sample) -> Unclear:
    """Say why no trial has a value."""
    diverged = sample.log_rate[sample.diverged & np.isfinite(sample.log_rate)]
    if not len(diverged):
        return Unclear("no trial has a learning rate and a value yet")
    lowest = 10 ** float(diverged.min())
    reason = f"no trial trained, and {len(diverged)} diverged, at learning rates down to {lowest:.2g}"
    return Unclear(reason, advice=f"Search learning rates below {lowest:.2g}")


def _explain(x: Floats, y: Floats, diverged: Floats) -> Unclear:
    """Say why there is no valley: its bottom lies beyond the rates that trained, or there are too few trials.

    Args:
        diverged: log10 rates of trials that diverged.
    """
    best = x[np.argsort(y, kind="stable")[: max(3, len(x) // 10)]]
    low, high = float(x.min()), float(x.max())
    position = (float(np.median(best)) - low) / (high - low)
    if position < _EDGE_SHARE:
        reason = "the best trials lie at the lower end of the searched rates"
        return Unclear(reason, advice=f"Search learning rates below {10**low:.2g} too")
    if position > 1 - _EDGE_SHARE and len(diverged):
        edge = float(diverged.min())
        reason = f"the best trials lie at the highest rates that trained; from {10**edge:.2g} on training diverges"
        middle = float(np.median(best))
        return Unclear(reason, advice=f"Search learning rates from {10 ** (middle - 1):.2g} to {10**edge:.2g} closely")
    if position > 1 - _EDGE_SHARE:
        reason = "the best trials lie at the upper end of the searched rates"
        return Unclear(reason, advice=f"Search learning rates above {10**high:.2g} too")
    return Unclear("the values do not show at which rate they are best")
