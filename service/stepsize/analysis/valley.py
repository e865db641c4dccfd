"""The valley: the objective over log10 learning rate, as a posterior of all valleys that the trials allow.

    y = depth + height(x − centre) + noise          height(u) = g · w · ((1 + (u / w)²)^(e / 2) − 1) / e

A height is quadratic at the bottom, and further out as steep as its exponent e says: a straight line (1), a parabola to
the end (2), or ever flatter (towards 0). The arms to the left and to the right have g and w of their own, for real
valleys fall slowly towards the best rate and rise steeply behind it. A symmetric parabola puts the bottom about 0.15
decade too low, and no resampling tells it so. Noise is Student's t with four degrees of freedom and scale
√(s² + (κ · height)²): a soft window, in which what lies far up an arm says little about the bottom, and outliers less.

`centre` and `depth` are sums of columns: of the batch size, of choices such as the optimizer, of the training seed
(see `layout.py`). Their prior is normal, as is the prior of the logarithms of g, w, s, κ and e. The likelihood is
tempered (to the power 0.8), and a fixed misfit of 0.07 decade is added to every rate that is told: the trials of a
search are not independent, no valley has exactly this shape, and neither fault shrinks with their number.

Legend: `n` trials, `N` draws, `p` and `q` columns of centre and depth, x log10 rate, y the objective on its scale.

The priors and constants were chosen on digits and breast_cancer (mlp, sgd and adam, 5 to 8 epochs).
"""

from dataclasses import dataclass

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.ensemble import draw_ensemble, spread_over_hills

MISFIT_DECADES = 0.07
POWER = 0.8
"""Of the likelihood."""
_SHAPE_MEAN = np.log([1.0, 0.35, 2.5, 0.35, 0.1, 0.2, 1.0])
"""Left g, left w, right g, right w, s, κ, e: y per decade, decades, y, a share, an exponent."""
_SHAPE_SD = np.array([1.0, 0.7, 1.0, 0.7, 1.0, 0.7, 0.4])
_MOST_EXPONENT = 2.5
_N_GUESSES = 1000
_MIN_WALKERS = 40
_BARRIER = 0.3
"""How gradually, in y, a diverged trial asks the valley to be high where it is."""


@dataclass(frozen=True)
class Columns:
    """What centre and depth are sums of, for some trials, and their priors."""

    rate: Floats
    """Shape (n, p)."""
    depth: Floats
    """Shape (n, q)."""
    rate_prior: tuple[Floats, Floats]
    """Means and standard deviations, shape (p,)."""
    depth_prior: tuple[Floats, Floats]


@dataclass(frozen=True)
class Observed:
    """What is fitted."""

    x: Floats
    y: Floats
    sd: Floats
    """What is uncertain about y itself: 0 for measured values, shape (n,)."""
    columns: Columns
    barrier_x: Floats
    """log10 rates of trials that diverged, shape (m,)."""
    barrier_columns: Columns
    barrier_y: float
    """What a diverged trial is at least as bad as."""


@dataclass(frozen=True)
class Effort:
    """How long to draw. The default takes half a second of one core for 60 trials."""

    n_steps: int = 600
    n_burn_in: int = 200
    thin: int = 10


@dataclass(frozen=True)
class Posterior:
    """Draws of valleys."""

    rate: Floats
    """Coefficients of the centre, misfit not included, shape (N, p)."""
    depth: Floats
    """Shape (N, q)."""
    shape: Floats
    """Left g, left w, right g, right w, s, κ, e; shape (N, 7)."""

    def __len__(self) -> int:
        return len(self.shape)

    def heights(self, u: Floats) -> Floats:
        """Return heights at distances from the centre: shape (N,) or (N, k) in, the same out."""
        return heights(u, self.shape)

    def scales(self, height: Floats) -> Floats:
        """Return the scale of the noise at heights of shape (N,) or (N, k)."""
        s, kappa = (_spread(self.shape[:, index], height.ndim) for index in (4, 5))
        return np.sqrt(s**2 + (kappa * height) ** 2)


def heights(u: Floats, shape: Floats) -> Floats:
    """Return heights over the bottom at distances `u`, one row a valley of `shape` (N, 7)."""
    left_g, left_w, right_g, right_w = (_spread(shape[:, index], u.ndim) for index in range(4))
    exponent = _spread(np.minimum(shape[:, 6], _MOST_EXPONENT), u.ndim)
    is_right = u > 0
    w = np.where(is_right, right_w, left_w)
    rise = np.where(is_right, right_g * right_w / exponent, left_g * left_w / exponent)
    return np.asarray(rise * np.expm1(exponent / 2 * np.log1p((u / w) ** 2)))


def draw_valleys(observed: Observed, rng: np.random.Generator, effort: Effort) -> Posterior:
    """Return draws from the posterior."""
    n_rate, n_depth = observed.columns.rate.shape[1], observed.columns.depth.shape[1]

    def log_density(points: Floats) -> Floats:
        return _log_density(points, observed)

    n_dimensions = n_rate + n_depth + len(_SHAPE_MEAN)
    n_walkers = max(_MIN_WALKERS, 2 * (n_dimensions + 2))
    draws = draw_ensemble(
        log_density,
        spread_over_hills(log_density, _guesses(observed, rng), n_walkers=n_walkers, rng=rng),
        n_steps=effort.n_steps,
        n_burn_in=effort.n_burn_in,
        thin=effort.thin,
        rng=rng,
    )
    return Posterior(
        rate=draws[:, :n_rate],
        depth=draws[:, n_rate : n_rate + n_depth],
        shape=np.exp(draws[:, n_rate + n_depth :]),
    )


def _guesses(observed: Observed, rng: np.random.Generator) -> Floats:
    """Return points from a rough idea of the posterior: the line anywhere, the rest near its prior."""
    (rate_mean, rate_sd), (depth_mean, depth_sd) = observed.columns.rate_prior, observed.columns.depth_prior
    rate = rate_mean + 0.5 * rate_sd * rng.normal(size=(_N_GUESSES, len(rate_mean)))
    rate[:, 0] = rng.uniform(observed.x.min(), observed.x.max(), _N_GUESSES)
    depth = depth_mean + 0.25 * depth_sd * rng.normal(size=(_N_GUESSES, len(depth_mean)))
    shape = _SHAPE_MEAN + 0.7 * _SHAPE_SD * rng.normal(size=(_N_GUESSES, len(_SHAPE_MEAN)))
    return np.concatenate([rate, depth, shape], axis=1)


def _log_density(points: Floats, observed: Observed) -> Floats:
    """Return the log posterior of points, shape (m, p + q + 7), up to a constant."""
    columns = observed.columns
    n_rate, n_depth = columns.rate.shape[1], columns.depth.shape[1]
    rate, depth = points[:, :n_rate], points[:, n_rate : n_rate + n_depth]
    log_shape = points[:, n_rate + n_depth :]
    shape = np.exp(np.clip(log_shape, -30.0, 30.0))
    height = heights(observed.x - rate @ columns.rate.T, shape)
    residual = observed.y - depth @ columns.depth.T - height
    variance = shape[:, 4:5] ** 2 + (shape[:, 5:6] * height) ** 2 + observed.sd**2
    likelihood = (-0.5 * np.log(variance) - 2.5 * np.log1p(residual * residual / (4 * variance))).sum(axis=1)
    if len(observed.barrier_x):
        barrier = observed.barrier_columns
        lowest = depth @ barrier.depth.T + heights(observed.barrier_x - rate @ barrier.rate.T, shape)
        likelihood -= np.logaddexp(0.0, (observed.barrier_y - lowest) / _BARRIER).sum(axis=1)
    prior = (
        _normal(rate, *columns.rate_prior)
        + _normal(depth, *columns.depth_prior)
        + _normal(log_shape, _SHAPE_MEAN, _SHAPE_SD)
    )
    return np.asarray(np.nan_to_num(POWER * likelihood + prior, nan=-np.inf))


def _normal(values: Floats, mean: Floats, sd: Floats) -> Floats:
    return -0.5 * np.asarray((((values - mean) / sd) ** 2).sum(axis=1))


def _spread(column: Floats, ndim: int) -> Floats:
    return column if ndim == 1 else column[:, None]
