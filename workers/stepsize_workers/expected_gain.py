"""What one more trial is expected to gain, from what the trials so far have shown.

A Gaussian process over the search space tells apart what follows from the parameters and what is noise: trials close
together that differ show how large the noise is. Runs in a process of its own (see `Terminator`), as
`stepsize_workers.expected_gain PIPE_FD`: points and values in, gain and noise out.

Shapes: n trials, d dimensions of the unit cube, m candidates.
"""

import os
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtr

Array = NDArray[np.float64]

_MOST_TRIALS = 100
"""The best so many are looked at: a fit is cubic in them, and only the bottom of the valley matters."""
_N_CANDIDATES = 2000
_N_STARTS = 3
_SEED = 0
_LOG_LENGTH = (np.log(0.05), np.log(5.0))
_LOG_AMPLITUDE = (np.log(0.1), np.log(10.0))
_LOG_NOISE = (np.log(1e-3), np.log(1.0))
"""Bounds of the length scales (of a cube's edge), of the amplitude and of the noise (of the values' spread)."""
_PRIOR_SD = 1.0
"""Of every log hyperparameter about the middle of its bounds: weak, but twenty trials say little about five numbers."""
_JITTER = 1e-8


@dataclass(frozen=True)
class Prospect:
    """What goes on being worth it, in units of the objective."""

    gain: float
    """Largest expected improvement of a further trial over the best of those there are, noise left out of both."""
    noise: float
    """Standard deviation of the objective between trainings that are alike."""


@dataclass(frozen=True)
class _Process:
    """A fitted Gaussian process with a Matérn-5/2 kernel, over standardised values."""

    points: Array
    lengths: Array
    amplitude: float
    noise: float
    factor: Array
    """Lower Cholesky factor of the covariance of the observations, shape (n, n)."""
    weights: Array
    """The covariance's inverse times the values, shape (n,)."""

    def predict(self, candidates: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the noiseless objective, shape (m,) each."""
        cross = _matern(candidates, self.points, self.lengths, self.amplitude)
        solved = solve_triangular(self.factor, cross.T, lower=True)
        variance = self.amplitude**2 - (solved**2).sum(axis=0)
        return cross @ self.weights, np.sqrt(np.maximum(variance, 1e-12))


def expected_gain(points: Array, values: Array) -> Prospect:
    """Return what a further trial is expected to gain.

    Args:
        points: shape (n, d), in the unit cube.
        values: shape (n,), finite; less is better.
    """
    best_first = np.argsort(values, kind="stable")[:_MOST_TRIALS]
    points, values = points[best_first], values[best_first]
    compressed = _compress_worse_half(values)
    spread = float(compressed.std())
    if spread == 0.0:
        return Prospect(gain=0.0, noise=0.0)
    process = _fit(points, (compressed - compressed.mean()) / spread)
    incumbent = float(process.predict(points)[0].min())
    mean, deviation = process.predict(_candidates(points))
    z = (incumbent - mean) / deviation
    improvement = deviation * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
    return Prospect(gain=float(improvement.max()) * spread, noise=process.noise * spread)


def _compress_worse_half(values: Array) -> Array:
    """Return the values with those above their median drawn in logarithmically: walls say little about the floor."""
    middle, scale = float(np.median(values)), float(np.median(values) - values.min())
    if scale == 0.0:
        return values
    excess = np.maximum(values - middle, 0.0)
    return np.minimum(values, middle) + scale * np.log1p(excess / scale)


def _fit(points: Array, values: Array) -> _Process:
    """Return the process with the most probable hyperparameters."""
    d = points.shape[1]
    bounds = [_LOG_LENGTH] * d + [_LOG_AMPLITUDE, _LOG_NOISE]
    low, high = np.array(bounds).T
    middle = (low + high) / 2
    draw = np.random.default_rng(_SEED)

    def surprise(theta: Array) -> float:
        factor, weights = _solve(points, values, theta)
        fit = 0.5 * float(values @ weights) + float(np.log(np.diag(factor)).sum())
        return fit + 0.5 * float((((theta - middle) / _PRIOR_SD) ** 2).sum())

    starts = [middle, *(draw.uniform(low, high) for _ in range(_N_STARTS - 1))]
    found = [minimize(surprise, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}) for start in starts]
    theta = min(found, key=lambda result: float(result.fun)).x
    factor, weights = _solve(points, values, theta)
    amplitude, noise = np.exp(theta[-2:])
    return _Process(points, np.exp(theta[:-2]), float(amplitude), float(noise), factor, weights)


def _solve(points: Array, values: Array, theta: Array) -> tuple[Array, Array]:
    lengths, (amplitude, noise) = np.exp(theta[:-2]), np.exp(theta[-2:])
    covariance = _matern(points, points, lengths, amplitude)
    covariance[np.diag_indices_from(covariance)] += noise**2 + _JITTER
    factor, lower = cho_factor(covariance, lower=True)
    return np.tril(factor), cho_solve((factor, lower), values)


def _matern(one: Array, other: Array, lengths: Array, amplitude: float) -> Array:
    gaps = (one[:, None, :] - other[None, :, :]) / lengths
    r = np.sqrt(5.0 * (gaps**2).sum(axis=-1))
    return np.asarray(amplitude**2 * (1 + r + r**2 / 3) * np.exp(-r))


def _candidates(points: Array) -> Array:
    """Return where a further trial might be, shape (m, d): anywhere, or near one of the best (which come first)."""
    draw = np.random.default_rng(_SEED)
    anywhere = draw.random((_N_CANDIDATES // 2, points.shape[1]))
    best = points[draw.integers(0, min(5, len(points)), _N_CANDIDATES // 2)]
    return np.vstack([anywhere, np.clip(best + 0.05 * draw.standard_normal(best.shape), 0.0, 1.0)])


def main(pipe_fd: int) -> None:
    """Answer until the worker closes the pipe."""
    connection: Connection[tuple[float, float], tuple[list[list[float]], list[float]]] = Connection(pipe_fd)
    while True:
        try:
            points, values = connection.recv()
        except EOFError:
            return
        prospect = expected_gain(np.array(points, dtype=float), np.array(values, dtype=float))
        connection.send((prospect.gain, prospect.noise))


if __name__ == "__main__":
    os.nice(10)
    main(int(sys.argv[1]))
