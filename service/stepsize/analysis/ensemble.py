"""An ensemble sampler: many walkers explore a density together, each stepping along differences between others.

Differences of walkers have the density's own scale and direction, so nothing is tuned, and a whole half of the
ensemble is evaluated in one call: some twenty dimensions in a fraction of a second of numpy. The walkers start spread
over the hills of the density, as wide as each is at its top: a narrow one would take them long to find.

Source: ter Braak 2006 (differential evolution Markov chain), in halves as Foreman-Mackey et al. 2013 do it.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from stepsize.analysis.arrays import Floats

_JUMP_EVERY = 10
"""Each so many steps the whole difference is taken: that carries walkers from one hill to another."""
_JITTER = 1e-5
"""Keeps walkers from living in the subspace in which they started."""
_STEP_SPREAD = 0.3
"""Steps differ in length by a factor of about this exponent: a fixed length can be the wrong one for ever."""

_MOST_HILLS = 4
_HILLS_APART = 0.3
"""Climbs start this far apart along the first coordinate."""
_CLIMB_STEPS = 60
_DIFFERENCE = 1e-4
_CACHED = 200
"""Points that are evaluated at once: more would not stay in a processor's cache."""
_LEAST_CURVATURE = 0.2
_HARDLY_A_HILL = 6.0
"""A hill whose mass is smaller than the largest one's by this factor, as a logarithm, gets no walkers."""

LogDensity = Callable[[Floats], Floats]


def spread_over_hills(log_density: LogDensity, guesses: Floats, *, n_walkers: int, rng: np.random.Generator) -> Floats:
    """Return where walkers start: around the tops of the density's hills, shape (n_walkers, dimensions).

    Args:
        guesses: points of which the best ones are climbed from, shape (m, dimensions).
    """
    density = _in_parts(log_density, guesses)
    tops, masses, roots = [], [], []
    for start in _apart(guesses[np.argsort(-density, kind="stable")]):
        top = _climb(log_density, start)
        root, log_volume = _spread_at(log_density, top)
        tops.append(top)
        roots.append(root)
        masses.append(float(log_density(top[None, :])[0]) + log_volume)
    mass = np.array(masses) - max(masses)
    share = np.where(mass > -_HARDLY_A_HILL, np.exp(mass / 2), 0.0)  # the root: a small hill needs walkers to be seen
    counts = np.floor(share / share.sum() * n_walkers).astype(int)
    counts[counts.argmax()] += n_walkers - counts.sum()
    drawn = [
        top + rng.normal(size=(count, len(top))) @ root.T for top, root, count in zip(tops, roots, counts, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def _apart(guesses: Floats) -> list[Floats]:
    chosen: list[Floats] = []
    for guess in guesses:
        if all(abs(guess[0] - one[0]) > _HILLS_APART for one in chosen):
            chosen.append(guess)
        if len(chosen) == _MOST_HILLS:
            break
    return chosen


def _climb(log_density: LogDensity, start: Floats) -> Floats:
    steps = _DIFFERENCE * np.concatenate([np.zeros((1, len(start))), np.eye(len(start)), -np.eye(len(start))])

    def downhill(point: Floats) -> tuple[float, Floats]:
        values = -log_density(point + steps)
        ahead, behind = np.split(values[1:], 2)
        return float(values[0]), (ahead - behind) / (2 * _DIFFERENCE)

    found = minimize(downhill, start, jac=True, method="BFGS", options={"maxiter": _CLIMB_STEPS})
    return np.asarray(found.x)


def _spread_at(log_density: LogDensity, top: Floats) -> tuple[Floats, float]:
    """Return a root of the covariance of the density's own parabola at a point, and the log of its volume."""
    n, step = len(top), 0.01
    axes = np.eye(n) * step
    pairs = [(one, two) for one in range(n) for two in range(one, n)]
    corners = [
        top + sign * axes[one] + other * axes[two] for one, two in pairs for sign in (1, -1) for other in (1, -1)
    ]
    plus_plus, plus_minus, minus_plus, minus_minus = _in_parts(log_density, np.array(corners)).reshape(-1, 4).T
    hessian = np.zeros((n, n))
    for (one, two), value in zip(pairs, plus_plus - plus_minus - minus_plus + minus_minus, strict=True):
        hessian[one, two] = hessian[two, one] = -value / (4 * step * step)
    curvature, directions = np.linalg.eigh(hessian)
    curvature = np.maximum(curvature, _LEAST_CURVATURE)
    return directions / np.sqrt(curvature), -0.5 * float(np.log(curvature).sum())


def _in_parts(log_density: LogDensity, points: Floats) -> Floats:
    return np.concatenate([log_density(points[first : first + _CACHED]) for first in range(0, len(points), _CACHED)])


def draw_ensemble(
    log_density: LogDensity,
    start: Floats,
    *,
    n_steps: int,
    n_burn_in: int,
    thin: int,
    rng: np.random.Generator,
) -> Floats:
    """Return draws from a density, shape (n_steps / thin × walkers, dimensions).

    Args:
        log_density: from points, shape (m, dimensions), to the log of a density up to a constant, shape (m,); -inf
            where it is 0.
        start: one point a walker, shape (walkers, dimensions); an even number of walkers, at least 6.
        n_steps: steps kept, after `n_burn_in` steps that are not.
        thin: only each so many steps' points are returned; neighbouring steps are much alike.
    """
    n_walkers, n_dimensions = start.shape
    half = n_walkers // 2
    halves = (slice(0, half), slice(half, n_walkers))
    points, density = start.copy(), log_density(start)
    reach = 2.38 / math.sqrt(2 * n_dimensions)
    kept = []
    for step in range(n_burn_in + n_steps):
        for mine, others in (halves, halves[::-1]):
            one = rng.integers(0, half, half)
            two = (one + rng.integers(1, half, half)) % half
            length = reach * np.exp(rng.normal(0.0, _STEP_SPREAD, half))
            if step % _JUMP_EVERY == _JUMP_EVERY - 1:
                length = np.ones(half)
            away = points[others][one] - points[others][two]
            proposed = points[mine] + length[:, None] * away + _JITTER * rng.normal(size=away.shape)
            proposed_density = log_density(proposed)
            accepted = np.log(rng.random(half)) < proposed_density - density[mine]
            points[mine] = np.where(accepted[:, None], proposed, points[mine])
            density[mine] = np.where(accepted, proposed_density, density[mine])
        if step >= n_burn_in and (step - n_burn_in) % thin == thin - 1:
            kept.append(points.copy())
    return np.concatenate(kept)
