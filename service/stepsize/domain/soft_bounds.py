"""Bounds that a range test found are soft: where good trials gather at such an edge, it is moved.

A pure function of the record at a number of trials, so that whoever takes a job over widens it at the same trial.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.spec.objective import Direction
from stepsize.spec.space import Params

STEP_DECADES = 0.75
"""How far an edge is moved."""
MOST_STEPS = 2
"""How often an edge is moved: beyond that the range test was not off, it was wrong."""
_FIRST_AT = 10
"""Trials that have ended before the first decision: fewer gather nowhere."""
_GROWTH = 1.5
_GOOD_FRAC = 0.25
_MIN_GOOD = 3
_NEAR_DECADES = 0.25
_ENDED = frozenset({TrialState.COMPLETED, TrialState.PRUNED, TrialState.INFEASIBLE, TrialState.FAILED})


class Edge(StrEnum):
    """One end of the searched rates."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True)
class Widening:
    """An edge that is moved."""

    edge: Edge
    before: float
    after: float


def next_decision(n_ended: int, considered_at: int) -> int | None:
    """Return at how many ended trials the next decision falls due, if it has; each comes with half as many again.

    Args:
        considered_at: at how many the last one was made; 0: none was.
    """
    due = _FIRST_AT if considered_at < _FIRST_AT else max(considered_at + 5, int(_GROWTH * considered_at))
    return due if n_ended >= due else None


def first_ended(trials: Sequence[Trial], n: int) -> list[Trial]:
    """Return the first `n` trials of the search that ended, as they did; cancelled ones don't count."""
    ended = [one for one in trials if one.purpose is TrialPurpose.SEARCH and one.state in _ENDED]
    return sorted(ended, key=lambda trial: (trial.finished_at or 0.0, trial.number))[:n]


def find_widening(
    trials: Sequence[Trial], *, name: str, low: float, high: float, soft: Sequence[Edge], direction: Direction
) -> Widening | None:
    """Return which soft edge is to be moved: the one near which at least half of the best quarter lies.

    Args:
        trials: that have ended.
        name: of the learning rate.
        low, high: between which it is searched now.
        soft: edges that may be moved.
    """
    values = [(direction.cost(one.objective), _rate(one.params, name)) for one in trials if one.objective is not None]
    good = [rate for _, rate in sorted(values)[: max(_MIN_GOOD, math.ceil(_GOOD_FRAC * len(values)))]]
    if len(good) < _MIN_GOOD or len(values) <= _MIN_GOOD:
        return None
    near = {
        Edge.LOW: sum(math.log10(rate / low) <= _NEAR_DECADES for rate in good),
        Edge.HIGH: sum(math.log10(high / rate) <= _NEAR_DECADES for rate in good),
    }
    edge = max(soft, key=lambda edge: near[edge], default=None)
    if edge is None or 2 * near[edge] < len(good):
        return None
    before = low if edge is Edge.LOW else high
    return Widening(edge, before, before * 10 ** (-STEP_DECADES if edge is Edge.LOW else STEP_DECADES))


def _rate(params: Params, name: str) -> float:
    return float(params[name])
