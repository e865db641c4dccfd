"""Where training diverges: the frontier in learning rate × batch size, and which batch sizes do not fit into memory.

A logistic regression of diverged against log10 rate (and log10 batch size) with a weak ridge: trials on the two sides
of a sharp edge can be told apart perfectly, and the unpenalised fit then does not exist. Its interval is widened to the
gap between the highest rate that trained and the lowest that diverged, inside which the data say nothing.
"""

import math

import numpy as np
from scipy.special import expit

from stepsize.analysis.intervals import power_of_ten, share
from stepsize.analysis.sample import Floats, Mask, Sample
from stepsize.domain.report import Divergence, Estimate, FrontierRow

_MIN_EACH = 3
"""Diverged and trained trials from which an edge is fitted."""
_RIDGE = 1e-4
_MOST_TRIALS = 3000
_STEPS = 60
_Z95 = 1.959964


def divergence(sample: Sample) -> Divergence:
    """Return the divergence frontier and what ran out of memory."""
    n_diverged, n_oom = int(sample.diverged.sum()), int(sample.out_of_memory.sum())
    rows, caveat = _frontier(sample)
    oom_sizes = sample.log_batch[sample.out_of_memory & np.isfinite(sample.log_batch)]
    return Divergence(
        n_diverged=n_diverged,
        n_out_of_memory=n_oom,
        share=share(n_diverged, len(sample)),
        frontier=rows,
        smallest_oom_batch_size=round(10 ** float(oom_sizes.min())) if len(oom_sizes) else None,
        sentence=_sentence(rows, n_diverged, len(sample)),
        caveat=caveat,
    )


def _frontier(sample: Sample) -> tuple[list[FrontierRow], str | None]:
    known = np.isfinite(sample.log_rate) & ~sample.out_of_memory
    diverged = sample.diverged[known]
    if not diverged.any():
        return [], "no trial diverged"
    if diverged.sum() < _MIN_EACH or (~diverged).sum() < _MIN_EACH:
        return [], f"an edge needs at least {_MIN_EACH} diverged and {_MIN_EACH} trained trials with a learning rate"
    x = sample.log_rate[known]
    batch = sample.log_batch[known]
    if not np.isfinite(batch).all():
        batch = np.zeros(len(x))
    thinned = slice(None, None, max(1, math.ceil(len(x) / _MOST_TRIALS)))
    edge = _fit_edge(x[thinned], batch[thinned], diverged[thinned])
    if edge is None:
        return [], "trials diverged at low rates as often as at high ones"
    sizes = np.unique(batch)
    sizes = sizes[:: max(1, math.ceil(len(sizes) / 32))]
    has_batch = bool(np.isfinite(sample.log_batch[known]).all())
    return [
        FrontierRow(
            batch_size=round(10 ** float(size)) if has_batch else None,
            learning_rate=power_of_ten(_widened(edge.at(float(size)), x, diverged, batch == size)),
        )
        for size in sizes
    ], None


class _Edge:
    """A fitted logistic edge; `w` are the weights of (1, x, z) on centred and scaled coordinates."""

    def __init__(self, w: Floats, covariance: Floats, centre: tuple[float, float]) -> None:
        self._w, self._covariance, self._centre = w, covariance, centre

    def at(self, log_batch: float) -> Estimate:
        """Return log10 of the rate at which half of the trials diverge."""
        w, z = self._w, log_batch - self._centre[1]
        value = -(w[0] + w[2] * z) / w[1]
        gradient = np.array([-1 / w[1], -value / w[1], -z / w[1]])
        reach = _Z95 * math.sqrt(max(0.0, float(gradient @ self._covariance @ gradient)))
        return Estimate(
            value=value + self._centre[0], low=value - reach + self._centre[0], high=value + reach + self._centre[0]
        )


def _fit_edge(x: Floats, batch: Floats, diverged: Mask) -> _Edge | None:
    centre = (float(x.mean()), float(batch.mean()))
    design = np.column_stack([np.ones(len(x)), x - centre[0], batch - centre[1]])
    ridge = _RIDGE * np.diag([0.0, 1.0, 1.0])
    w = np.zeros(3)
    target = diverged.astype(np.float64)
    for _ in range(_STEPS):
        p = expit(design @ w)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + ridge + 1e-9 * np.eye(3)
        step = np.linalg.solve(hessian, design.T @ (target - p) - ridge @ w)
        w = w + np.clip(step, -2, 2)  # a full step from far away overshoots
        if np.abs(step).max() < 1e-6:
            break
    if w[1] <= 0:
        return None
    return _Edge(w, np.linalg.inv(hessian), centre)


def _widened(edge: Estimate, x: Floats, diverged: Mask, here: Mask) -> Estimate:
    """Return the edge with an interval no narrower than the gap between trained and diverged at this batch size."""
    assert edge.value is not None, "a fitted edge lies somewhere"
    assert edge.low is not None, "a fitted edge has an interval"
    assert edge.high is not None, "a fitted edge has an interval"
    trained, failed = x[here & ~diverged], x[here & diverged]
    if not len(trained) or not len(failed):
        side = "diverged" if not len(failed) else "trained"
        return edge.model_copy(update={"caveat": f"no trial {side} at this batch size; from the others"})
    below, above = float(trained.max()), float(failed.min())
    if below >= above:  # they overlap: the edge is soft, and the fit's own interval says how soft
        return edge
    value = min(max(edge.value, below), above)
    return Estimate(value=value, low=min(edge.low, below), high=max(edge.high, above))


def _sentence(rows: list[FrontierRow], n_diverged: int, n: int) -> str:
    if not n_diverged:
        return "No trial diverged."
    count = f"{n_diverged} of {n} trials diverged"
    if not rows:
        return f"{count}; not enough trials to say from which learning rate on."
    first, last = rows[0], rows[-1]
    if len(rows) == 1 or first.batch_size is None:
        return f"{count}: training diverges from a learning rate of about {first.learning_rate.value:.2g}."
    return (
        f"{count}: training diverges from a learning rate of about {first.learning_rate.value:.2g} at batch size "
        f"{first.batch_size} and {last.learning_rate.value:.2g} at batch size {last.batch_size}."
    )
