"""A job's trials as arrays: the one place that turns evidence into numbers.

Legend: `n` trials. Costs are the first objective with its sign turned so that smaller is better, `y` are costs on the
scale on which they are fitted; rates and batch sizes are log10.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from stepsize.analysis.arrays import Floats, Ints, Mask
from stepsize.analysis.scale import Scale, choose_scale
from stepsize.domain.evidence import Evidence, TrialColumns
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.roles import ACCUMULATION_NAME, BATCH_NAME, RATE_NAMES
from stepsize.spec.space import Scalar

_MIN_GAINS = 2
"""Completed trials that a pruned one is compared with at its step."""
_DEVIATION = 1.4826
"""From a median absolute deviation to a standard deviation."""
_LARGEST_COST = 1e100
"""A trainer may report 1e307; sums of squares must stay finite."""


@dataclass(frozen=True)
class Sample:
    """Trials that ended by themselves, by number; every array has shape (n,)."""

    number: Ints
    params: list[dict[str, Scalar]]
    """Searched and fixed parameters of each trial."""
    completed: Mask
    pruned: Mask
    diverged: Mask
    out_of_memory: Mask
    log_rate: Floats
    """NaN where a trial has no positive learning rate."""
    log_batch: Floats
    """The batch size asked for; NaN where a trial has none."""
    log_effective: Floats
    """The batch whose gradient makes an update: times what is accumulated, and never more than all samples."""
    cost: Floats
    """NaN where there is none; a pruned trial's is predicted from its last report."""
    y: Floats
    """Costs on the scale; NaN where there is no cost."""
    y_sd: Floats
    """How uncertain y is: 0 for what was measured."""
    duration_s: Floats
    """NaN where a trial was interrupted: what lies between its start and its end is not what it took."""
    group: Ints
    """The trial of which this one is a replicate, else its own number."""
    seed: Ints
    """What each was trained with; -1 where that is not known."""
    confirms: Mask
    """Trials that check the answer."""
    sign: float
    """Value = sign × cost."""
    scale: Scale

    def __len__(self) -> int:
        return len(self.number)

    @property
    def has_cost(self) -> Mask:
        """Trials with a cost, measured or predicted."""
        return np.isfinite(self.cost)

    @property
    def searched(self) -> Mask:
        """Trials of the search: of these alone one is the best. Checks and replicates repeat what was found."""
        is_search: Mask = (self.group == self.number) & ~self.confirms
        return is_search

    def configuration(self, row: int) -> str:
        """Name what a trial was trained with: the same for the same parameters."""
        return repr(sorted(self.params[row].items()))

    def repeated(self) -> list[Floats]:
        """Return the costs of trainings that should be alike: a trial and its replicates, and checks of one rate."""
        costs: dict[int | str, list[float]] = {}
        for row in np.flatnonzero(self.completed & self.has_cost).tolist():
            alike = self.configuration(row) if self.confirms[row] else int(self.group[row])
            costs.setdefault(alike, []).append(float(self.cost[row]))
        return [np.array(one) for one in costs.values() if len(one) > 1]

    @property
    def ranked(self) -> Ints:
        """Rows of the trials of the search that have completed with a value, best first."""
        rows = np.flatnonzero(self.searched & self.completed & np.isfinite(self.cost))
        order: Ints = rows[np.argsort(self.cost[rows], kind="stable")]
        return order

    def where(self, mask: Mask) -> "Sample":
        """Return the trials of a mask."""
        return self.take(np.flatnonzero(mask))

    def take(self, rows: Ints) -> "Sample":
        """Return some trials in this order."""
        arrays = {name: array[rows] for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        params = [self.params[int(row)] for row in rows]
        return Sample(params=params, sign=self.sign, scale=self.scale, **arrays)

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
    measured = completed & np.isfinite(cost)
    metric_range = evidence.ranges.get(objective.metric, (None, None))
    scale = choose_scale(cost[measured], objective.direction, metric_range)
    numbers = np.array([trials.number[row] for row in rows], dtype=np.int64)
    y, y_sd = _predict_pruned(scale.forward(cost), measured, pruned, numbers, [trials.step[row] for row in rows],
                              _Rungs(evidence.rungs, sign, scale))  # fmt: skip
    cost = np.where(measured, cost, np.where(np.isfinite(y), scale.back(y), np.nan))
    log_batch = _log10(one.get(BATCH_NAME) for one in params)
    return Sample(
        number=numbers,
        params=params,
        completed=completed,
        pruned=pruned,
        diverged=(reasons == TrialReason.DIVERGED),
        out_of_memory=(reasons == TrialReason.OOM),
        log_rate=_log10(_first(one, RATE_NAMES) for one in params),
        log_batch=log_batch,
        log_effective=_effective(
            log_batch, _log10(one.get(ACCUMULATION_NAME, 1) for one in params), evidence.n_samples
        ),
        cost=cost,
        y=y,
        y_sd=y_sd,
        duration_s=_floats(_duration(trials, row) for row in rows),
        group=np.array(
            [trials.number[row] if (of := trials.replicate_of[row]) is None else of for row in rows], dtype=np.int64
        ),
        seed=np.array([-1 if (seed := trials.seed[row]) is None else seed for row in rows], dtype=np.int64),
        confirms=np.array([trials.purpose[row] == "confirm" for row in rows], dtype=bool),
        sign=sign,
        scale=scale,
    )


def merge(samples: Sequence[Sample], evidences: Sequence[Evidence]) -> Sample:
    """Return the trials of several jobs with one objective as one sample, in their order and on one scale.

    Numbers go on from job to job, so that no two trials share one.
    """
    if len(samples) == 1:
        return samples[0]
    objective = evidences[0].objectives[0]
    measured = np.concatenate([sample.cost[sample.completed & sample.has_cost] for sample in samples])
    scale = choose_scale(measured, objective.direction, evidences[0].ranges.get(objective.metric, (None, None)))
    offsets = np.cumsum([0, *(int(sample.number.max(initial=-1)) + 1 for sample in samples)])
    moved = [_move(sample, int(offset), scale) for sample, offset in zip(samples, offsets, strict=False)]
    arrays = {
        name: np.concatenate([getattr(sample, name) for sample in moved])
        for name, array in vars(moved[0]).items()
        if isinstance(array, np.ndarray)
    }
    params = [one for sample in moved for one in sample.params]
    return Sample(params=params, sign=samples[0].sign, scale=scale, **arrays)


def _move(sample: Sample, offset: int, scale: Scale) -> Sample:
    """Return a sample with other numbers and on another scale; what a prediction was uncertain by moves along."""
    y = scale.forward(sample.cost)
    ends = [scale.forward(sample.scale.back(sample.y + side * sample.y_sd)) for side in (-1, 1)]
    y_sd = np.where(sample.y_sd > 0, np.abs(ends[1] - ends[0]) / 2, 0.0)
    return replace(sample, number=sample.number + offset, group=sample.group + offset, y=y, y_sd=y_sd, scale=scale)


@dataclass(frozen=True)
class _Rungs:
    """What completed trials had reached at the steps at which others were pruned."""

    points: list[tuple[int, int, float]]
    sign: float
    scale: Scale

    def gains(self, final: dict[int, float]) -> dict[int | None, tuple[float, float]]:
        """Return, for each step, what was gained from there to the end, in y: the median, and how much that differs."""
        gains: dict[int | None, tuple[float, float]] = {}
        for step, at_step in groupby(sorted(self.points, key=lambda point: point[1]), key=lambda point: point[1]):
            pairs = [(final[number], value) for number, _, value in at_step if number in final]
            if len(pairs) >= _MIN_GAINS:
                ends, values = np.array(pairs, dtype=np.float64).T
                gained = ends - self.scale.forward(self.sign * values)
                gains[step] = float(np.median(gained)), _DEVIATION * _spread(gained)
        return gains


def _predict_pruned(
    y: Floats, measured: Mask, pruned: Mask, numbers: Ints, steps: list[int | None], rungs: _Rungs
) -> tuple[Floats, Floats]:
    """Return y and its uncertainty, with pruned trials carried forward to the end of training.

    A pruned trial stopped early: its last value is not comparable with a completed trial's. It is moved by what
    completed trials gained from that step on (their median), and is as uncertain as these gains differ. Leaving pruned
    trials out instead would leave out just the rates that did badly.
    """
    gains = rungs.gains({int(number): value for number, value in zip(numbers[measured], y[measured], strict=True)})
    predicted = [row for row in np.flatnonzero(pruned & np.isfinite(y)) if steps[row] in gains]
    moved, sd = np.where(measured, y, np.nan), np.zeros(len(y))
    moved[predicted] = [y[row] + gains[steps[row]][0] for row in predicted]
    sd[predicted] = [gains[steps[row]][1] for row in predicted]
    return moved, sd


def _effective(log_batch: Floats, log_accumulation: Floats, n_samples: int | None) -> Floats:
    effective = log_batch + np.where(np.isfinite(log_accumulation), log_accumulation, 0.0)
    return effective if n_samples is None else np.minimum(effective, math.log10(n_samples))


def _spread(values: Floats) -> float:
    """Return the median absolute deviation."""
    return float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _first(params: dict[str, Scalar], names: tuple[str, ...]) -> Scalar | None:
    return next((params[name] for name in names if name in params), None)


def _duration(trials: TrialColumns, row: int) -> float | None:
    began, ended = trials.started_at[row], trials.finished_at[row]
    return None if began is None or ended is None or trials.attempt[row] > 1 else ended - began


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
