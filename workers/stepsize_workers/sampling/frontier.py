"""Where trials begin to fail: what diverged and out-of-memory trials teach about those to come.

Two edges are learnt. Divergence begins along a line in log10(learning rate) × log2(batch size): a logistic regression
whose prior says that failure rises with the learning rate and that larger batches bear larger rates. Memory runs out
above a batch size. Neither is believed unless it tells failed from feasible trials well: where something else decides,
an optimiser for instance, nothing is predicted.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stepsize.spec.space import Scalar

Array = NDArray[np.float64]


class Fate(StrEnum):
    """How a trial ended, as far as the frontier cares."""

    FEASIBLE = "feasible"
    DIVERGED = "diverged"
    OOM = "oom"


@dataclass(frozen=True)
class Outcome:
    """What became of a configuration."""

    params: Mapping[str, Scalar]
    fate: Fate

    @cached_property
    def point(self) -> tuple[float, float] | None:
        """log10(learning rate) and log2(batch size), which is 1 where there is none; None without a learning rate."""
        return _point(self.params)

    @cached_property
    def batch_size(self) -> float | None:
        """None where there is none."""
        return _number(self.params, "batch_size")


RISKY = 0.25
"""Probability of divergence from which a configuration is not proposed. Half would put proposals onto the edge itself,
where every second one diverges; a quarter keeps them about a tenth of a decade below."""
_LIKELY = 0.5
_MIN_FAILED = 2
_MIN_FEASIBLE = 2
_MAX_WRONG = 0.1
"""Share of feasible trials among those on the far side of the line, above which the line is not believed."""
_MOST_RECENT = 500
"""Outcomes that are looked at; the line has three coefficients, and asks must not grow with the history."""
_PRIOR_MEAN = np.array([0.0, 6.0, -1.0])
_PRIOR_PRECISION = np.array([0.01, 0.1, 1.0])
"""Of the intercept (all but free), the log-odds per decade of learning rate (6 ± 3: from likely safe to likely lost
within about half a decade) and per doubling of the batch size (-1 ± 1: the edge moves by 0.17 decade)."""
_MAX_NEWTON_STEPS = 30


@dataclass(frozen=True)
class Edge:
    """The line on which divergence is as likely as not."""

    weights: Array
    """Shape (3,): of 1, log10(learning rate), log2(batch size)."""
    centre: Array
    """Shape (2,): subtracted from the latter two first."""

    def probability(self, points: Array) -> Array:
        """Return the probability of divergence, shape (n,), at points of shape (n, 2)."""
        return _sigmoid(_design(points - self.centre) @ self.weights)


class Frontier:
    """What a job's outcomes say about configurations still to be tried."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        """Learn from outcomes in the order of the record."""
        recent = list(outcomes)[-_MOST_RECENT:]
        if sum(outcome.fate is not Fate.FEASIBLE for outcome in recent) < _MIN_FAILED:  # the usual case, at every ask
            recent = []
        self._edge = _learn_edge([outcome for outcome in recent if outcome.fate is not Fate.OOM])
        self._too_large = _learn_memory(recent)

    def predicts_failure(self, params: Mapping[str, Scalar]) -> bool:
        """Tell whether a configuration is at risk of diverging, or likely to run out of memory."""
        batch_size = _number(params, "batch_size")
        if self._too_large is not None and batch_size is not None and batch_size >= self._too_large:
            return True
        point = _point(params)
        if self._edge is None or point is None:
            return False
        return bool(self._edge.probability(np.array([point]))[0] > RISKY)


def fit_edge(points: Array, diverged: Array) -> Edge:
    """Return the most probable edge.

    Args:
        points: shape (n, 2): log10(learning rate), log2(batch size).
        diverged: shape (n,): 1.0 where the trial diverged, else 0.0.
    """
    centre = points.mean(axis=0)
    design = _design(points - centre)
    weights = _PRIOR_MEAN.copy()
    for _ in range(_MAX_NEWTON_STEPS):
        p = _sigmoid(design @ weights)
        gradient = design.T @ (p - diverged) + _PRIOR_PRECISION * (weights - _PRIOR_MEAN)
        hessian = (design.T * (p * (1 - p))) @ design + np.diag(_PRIOR_PRECISION)
        step = np.linalg.solve(hessian, gradient)
        # A full Newton step may overshoot where all points lie far from the edge; the posterior is log-concave, so
        # steps of bounded length still arrive.
        weights = weights - step / max(1.0, float(np.abs(step).max()) / 2)
        if float(np.abs(step).max()) < 1e-8:
            break
    return Edge(weights, centre)


def _learn_edge(outcomes: Sequence[Outcome]) -> Edge | None:
    known = [(point, outcome.fate) for outcome in outcomes if (point := outcome.point) is not None]
    diverged = np.array([float(fate is Fate.DIVERGED) for _, fate in known])
    if diverged.sum() < _MIN_FAILED or (1 - diverged).sum() < _MIN_FEASIBLE:
        return None
    points = np.array([point for point, _ in known])
    edge = fit_edge(points, diverged)
    condemned = edge.probability(points) > _LIKELY
    n_wrong = float((1 - diverged)[condemned].sum())
    falls = edge.weights[1] <= 0.0
    return None if falls or n_wrong > _MAX_WRONG * condemned.sum() else edge


def _learn_memory(outcomes: Sequence[Outcome]) -> float | None:
    """Return the batch size from which memory has run out twice or more, and never sufficed."""
    sizes = [(size, outcome.fate) for outcome in outcomes if (size := outcome.batch_size) is not None]
    fits = max((size for size, fate in sizes if fate is not Fate.OOM), default=0.0)
    too_large = sorted(size for size, fate in sizes if fate is Fate.OOM and size > fits)
    return too_large[0] if len(too_large) >= _MIN_FAILED else None


def _point(params: Mapping[str, Scalar]) -> tuple[float, float] | None:
    learning_rate = _number(params, "learning_rate")
    if learning_rate is None:
        return None
    return math.log10(learning_rate), math.log2(_number(params, "batch_size") or 1.0)


def _number(params: Mapping[str, Scalar], name: str) -> float | None:
    value = params.get(name)
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _design(points: Array) -> Array:
    return np.column_stack([np.ones(len(points)), points])


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0))))
