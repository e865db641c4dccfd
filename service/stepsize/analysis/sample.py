"""A job's trials as arrays: the one place that turns evidence into numbers.

Legend: `n` trials. Costs are the first objective with its sign turned so that smaller is better; rates are log10.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from stepsize.domain.evidence import Evidence
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.space import Scalar

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

RATE_NAMES = ("learning_rate", "lr")
"""What trainers call the learning rate; external ones choose their own names."""
BATCH_NAME = "batch_size"

_MIN_GAINS = 2
"""Completed trials that a pruned one is compared with at its step."""
_LARGEST_COST = 1e100
"""A trainer may report 1e307; sums of squares must stay finite."""


@dataclass(frozen=True)
class Sample:
    """Trials that ended by themselves, by number; every array has shape (n,)."""

    number: NDArray[np.int64]
    params: list[dict[str, Scalar]]
    """Searched and fixed parameters of each trial."""
    completed: Mask
    pruned: Mask
    diverged: Mask
    out_of_memory: Mask
    log_rate: Floats
    """NaN where a trial has no positive learning rate."""
    log_batch: Floats
    """NaN where a trial has no batch size."""
    cost: Floats
    """NaN where there is none; a pruned trial's is predicted from its last report."""
    weight: Floats
    """How much a cost counts: 1 for a completed trial, less for a prediction, 0 without a cost."""
    duration_s: Floats
    group: NDArray[np.int64]
    """The trial of which this one is a replicate, else its own number."""
    sign: float
    """Value = sign × cost."""

    def __len__(self) -> int:
        return len(self.number)

    def where(self, mask: Mask) -> "Sample":
        """Return the trials of a mask."""
        arrays = {name: array[mask] for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        params = [params for params, chosen in zip(self.params, mask, strict=True) if chosen]
        return Sample(params=params, sign=self.sign, **arrays)

    def column(self, name: str) -> list[Scalar | None]:
        """Return one parameter of each trial, None where it doesn't apply."""
        return [params.get(name) for params in self.params]

    def has(self, name: str, choice: Scalar) -> Mask:
        """Return which trials have this very value (0 is not False)."""
        return np.array([type(value) is type(choice) and value == choice for value in self.column(name)], dtype=bool)


def make_sample(evidence: Evidence) -> Sample:
    """Return the ended trials of a job: completed, pruned and infeasible ones."""
    trials = evidence.trials
    objective = evidence.objectives[0]
    sign = objective.direction.cost(1.0)
    states = np.array(trials.state, dtype=object)
    ended = np.isin(states, [TrialState.COMPLETED, TrialState.PRUNED, TrialState.INFEASIBLE])
    rows = [int(row) for row in np.flatnonzero(ended)]
    params = [evidence.fixed | trials.params[row] for row in rows]
    completed = states[ended] == TrialState.COMPLETED
    pruned = states[ended] == TrialState.PRUNED
    reasons = np.array([trials.reason[row] for row in rows], dtype=object)
    values = _floats(trials.values[row].get(objective.metric) for row in rows)
    cost = np.clip(sign * values, -_LARGEST_COST, _LARGEST_COST)
    cost, weight = _predict_pruned(cost, completed, pruned, [trials.step[row] for row in rows], evidence, sign)
    return Sample(
        number=np.array([trials.number[row] for row in rows], dtype=np.int64),
        params=params,
        completed=completed,
        pruned=pruned,
        diverged=(reasons == TrialReason.DIVERGED),
        out_of_memory=(reasons == TrialReason.OOM),
        log_rate=_log10(_first(one, RATE_NAMES) for one in params),
        log_batch=_log10(one.get(BATCH_NAME) for one in params),
        cost=cost,
        weight=weight,
        duration_s=_floats(trials.finished_at[row] for row in rows) - _floats(trials.started_at[row] for row in rows),
        group=np.array(
            [trials.number[row] if (of := trials.replicate_of[row]) is None else of for row in rows], dtype=np.int64
        ),
        sign=sign,
    )


def best_numbers(sample: Sample) -> list[int]:
    """Return the numbers of completed trials, best first."""
    rows = np.flatnonzero(sample.completed & np.isfinite(sample.cost))
    return [int(number) for number in sample.number[rows[np.argsort(sample.cost[rows], kind="stable")]]]


def _predict_pruned(
    cost: Floats, completed: Mask, pruned: Mask, steps: list[int | None], evidence: Evidence, sign: float
) -> tuple[Floats, Floats]:
    """Return costs and weights with pruned trials carried forward to the end of training.

    A pruned trial stopped early: its last value is not comparable with a completed trial's. It is moved by what
    completed trials gained from that step on (their median), and counts the less the more these gains differ. Leaving
    pruned trials out instead would leave out just the rates that did badly. What the gains' differences are measured
    against is how far apart all trials lie, pruned ones too: those that completed were chosen for being alike.
    """
    final = {int(n): c for n, c, ok in zip(_ended_numbers(evidence), cost, completed, strict=True) if ok}
    gains: dict[int | None, tuple[float, float]] = {}  # step → what was gained from there on, how much that differs
    for step, at_step in groupby(sorted(evidence.rungs, key=lambda rung: rung[1]), key=lambda rung: rung[1]):
        gained = [final[number] - sign * value for number, _, value in at_step if number in final]
        known = np.array([gain for gain in gained if abs(gain) < _LARGEST_COST])
        if len(known) >= _MIN_GAINS:
            gains[step] = float(np.median(known)), _spread(known)
    weight = np.where(completed & np.isfinite(cost), 1.0, 0.0)
    predicted = [row for row in np.flatnonzero(pruned & np.isfinite(cost)) if steps[row] in gains]
    moved = cost.copy()
    moved[predicted] += [gains[steps[row]][0] for row in predicted]
    spread = _spread(np.concatenate([moved[weight > 0], moved[predicted]]))
    if spread > 0:
        weight[predicted] = [1.0 - min(1.0, gains[steps[row]][1] / spread) for row in predicted]
    moved[weight == 0] = np.nan
    return moved, weight


def _ended_numbers(evidence: Evidence) -> list[int]:
    ended = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.INFEASIBLE)
    trials = evidence.trials
    return [number for number, state in zip(trials.number, trials.state, strict=True) if state in ended]


def _spread(values: Floats) -> float:
    """Return the median absolute deviation."""
    return float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _first(params: dict[str, Scalar], names: tuple[str, ...]) -> Scalar | None:
    return next((params[name] for name in names if name in params), None)


def _floats(values: Iterable[Scalar | None]) -> Floats:
    return np.array(
        [
            float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan
            for value in values
        ],
        dtype=np.float64,
    )


def _log10(values: Iterable[Scalar | None]) -> Floats:
    numbers = _floats(values)
    return np.log10(numbers, where=numbers > 0, out=np.full(len(numbers), np.nan))
