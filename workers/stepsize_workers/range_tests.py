"""From the sweeps of a range test to what they say: per batch size, with intervals over seeds."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepsize.domain.estimate import Estimate
from stepsize.domain.range_test import RangeTestCurve, RangeTestFindings, RangeTestResult
from stepsize.domain.soft_bounds import Edge
from stepsize.domain.student_t import t_quantile
from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.space import FloatParameter, Parameter
from stepsize.spec.wording import counted
from stepsize_workers.trainers.base import TRAINING_UPDATES, UNTRAINED_LOSS, Sweep
from stepsize_workers.training.range_test import (
    Array,
    RangeTestInconclusive,
    SmoothCurve,
    find_edge,
    find_low,
    smooth,
    suggest,
)

_SAME = 1e-6
"""Rates whose ratio differs from 1 by less are the same."""
_WIDE = 1.0
"""Decades to either side from which an interval says little."""


@dataclass(frozen=True)
class Bounds:
    """Between which rates to search, and what to tell whoever asked."""

    low: float
    high: float
    warnings: tuple[str, ...] = ()
    found: tuple[Edge, ...] = ()
    """Which of the two a test has found."""


@dataclass(frozen=True)
class _Swept:
    """One sweep, as far as it went."""

    losses: Mapping[float, float]
    """By learning rate."""
    untrained: Mapping[float, float]
    """What the untrained model loses on the same batches, as far as that is known."""
    n_updates: int | None
    """Of a whole training."""


def conclude_range_test(spec: RangeTestSpec, trials: Sequence[Trial], reports: Iterable[Report]) -> RangeTestFindings:
    """Return what a range test found.

    Args:
        trials: all of the job's, one a (batch size, seed); those that did not run to their end only explain themselves.
        reports: of any of them, with `learning_rate` and `loss`, and `training_updates` where that is known.
    """
    by_trial: dict[int, list[Report]] = {}
    for report in reports:
        by_trial.setdefault(report.number, []).append(report)
    swept = {number: _read(mine) for number, mine in by_trial.items()}
    by_batch: dict[int | None, list[Trial]] = {}
    for trial in trials:
        batch_size = trial.params.get("batch_size")
        by_batch.setdefault(None if batch_size is None else int(batch_size), []).append(trial)
    return RangeTestFindings(
        sweep_low=spec.low,
        sweep_high=spec.high,
        results=[
            _conclude(batch_size, by_batch[batch_size], swept, spec)
            for batch_size in sorted(by_batch, key=lambda size: size or 0)
        ],
    )


def _read(reports: Sequence[Report]) -> _Swept:
    def by_rate(name: str) -> dict[float, float]:
        return {one.values["learning_rate"]: one.values[name] for one in reports if name in one.values}

    n_updates = next(iter(by_rate(TRAINING_UPDATES).values()), None)
    return _Swept(by_rate("loss"), by_rate(UNTRAINED_LOSS), None if n_updates is None else int(n_updates))


def bounds_from(findings: RangeTestFindings, *, default: Parameter | None) -> Bounds:
    """Return the union of the bounds at all batch sizes, or the trainer's own if no test was conclusive.

    Args:
        default: the learning rate in the trainer's default search space; None: it has none there.
    """
    conclusive = [result for result in findings.results if result.inconclusive is None]
    warnings = [
        f"the range test{_at(result.batch_size)} was inconclusive: {result.inconclusive}"
        for result in findings.results
        if result.inconclusive is not None
    ]
    if not conclusive:
        low, high = _default_bounds(findings, default)
        warnings.append(f"no range test was conclusive: the learning rate is searched from {low:g} to {high:g}")
        return Bounds(low, high, tuple(warnings))
    lows = [result.low.value for result in conclusive if result.low and result.low.value]
    highs = [result.high.value for result in conclusive if result.high and result.high.value]
    found: tuple[Edge, ...] = (Edge.LOW, Edge.HIGH)
    if len(highs) < len(conclusive):
        found = (Edge.LOW,)
        warnings.append(f"not every range test found a divergence edge: the search goes up to {findings.sweep_high:g}")
        highs.append(findings.sweep_high)
    return Bounds(min(lows), max(highs), tuple(warnings), found)


def _default_bounds(findings: RangeTestFindings, default: Parameter | None) -> tuple[float, float]:
    match default:
        case FloatParameter(low=float() as low, high=float() as high):
            return low, high
        case _:
            return findings.sweep_low, findings.sweep_high


def _conclude(
    batch_size: int | None, trials: Sequence[Trial], swept: Mapping[int, _Swept], spec: RangeTestSpec
) -> RangeTestResult:
    base = Sweep(spec.low, spec.high, spec.steps)
    ended = [swept.get(trial.number, _Swept({}, {}, None)) for trial in trials if _ran_to_its_end(trial)]
    extensions = [_n_extensions(base, one) for one in ended]
    rates = _rates(base.extended(max(extensions, default=0)))
    own_rates = [_rates(base.extended(n)) for n in extensions]
    padded = [_padded(one.losses, its) for one, its in zip(ended, own_rates, strict=True)]
    untrained = [_padded(one.untrained, its) for one, its in zip(ended, own_rates, strict=True)]
    smoothed, refusals = _smooth_all(own_rates, padded, untrained)
    caveat = f"{len(smoothed)} of {len(trials)} sweeps were conclusive" if len(smoothed) < len(trials) else None
    if 2 * len(smoothed) < len(trials):
        smoothed = _smooth_mean(own_rates, padded, untrained) if 2 * len(ended) >= len(trials) else []
        caveat = f"read from the mean of {len(ended)} sweeps, as too few of them were conclusive alone"
    curve = RangeTestCurve(
        learning_rate=rates.tolist(),
        losses=[_shown(losses, len(rates)) for losses in padded],
        smoothed=_mean_smoothed(smoothed, len(rates)),
    )
    why_not = None if smoothed else _why_inconclusive(trials, len(ended), refusals)
    if why_not is not None:
        return RangeTestResult(
            batch_size=batch_size, low=None, suggestion=None, high=None, curve=curve, inconclusive=why_not
        )
    n_updates = next((one.n_updates for one in ended if one.n_updates), None)
    spacing = math.log10(spec.high / spec.low) / (spec.steps - 1)
    return RangeTestResult(
        batch_size=batch_size,
        low=_estimate([find_low(one, n_updates) for one in smoothed], spacing, caveat),
        suggestion=_estimate([suggest(one, spec.rule, n_updates) for one in smoothed], spacing, caveat),
        high=_estimate_edge([find_edge(one) for one in smoothed], spacing, caveat),
        curve=curve,
    )


def _rates(sweep: Sweep) -> Array:
    return np.array([sweep.rate(step) for step in range(1, sweep.steps + 1)])


def _n_extensions(base: Sweep, swept: _Swept) -> int:
    """Return how often a sweep was begun again from a lower rate."""
    n_lower = sum(rate < base.low * (1 - _SAME) for rate in swept.losses)
    return math.ceil(n_lower / base.steps_of_an_extension)


def _ran_to_its_end(trial: Trial) -> bool:
    diverged = trial.state is TrialState.INFEASIBLE and trial.reason is TrialReason.DIVERGED
    return diverged or trial.state is TrialState.COMPLETED


def _padded(by_rate: Mapping[float, float], rates: Array) -> Array:
    """Return a sweep's losses at its rates; those it did not live to report are infinite."""
    losses = np.full(len(rates), np.inf)
    for rate, loss in by_rate.items():
        losses[int(np.argmin(np.abs(np.log(rates / rate))))] = loss
    return losses


def _shown(losses: Array, n_rates: int) -> list[float | None]:
    """Return a sweep's losses from the lowest rate of all sweeps to where it ended; null where it had not begun."""
    return [*[None] * (n_rates - len(losses)), *losses[np.isfinite(losses)].tolist()]


def _smooth_all(
    rates: Sequence[Array], losses: Sequence[Array], untrained: Sequence[Array]
) -> tuple[list[SmoothCurve], list[str]]:
    """Return the curves that say something, and why the others don't."""
    smoothed, refusals = [], []
    for curve in zip(rates, losses, untrained, strict=True):
        try:
            smoothed.append(smooth(*curve))
        except RangeTestInconclusive as error:
            refusals.append(str(error))
    return smoothed, refusals


def _smooth_mean(rates: Sequence[Array], losses: Sequence[Array], untrained: Sequence[Array]) -> list[SmoothCurve]:
    """Return the curve of the mean of all sweeps, where it says something.

    It reaches from where all sweeps had begun up to where the first one ended.
    """
    n = min(len(one) for one in rates)
    means = [np.mean([one[-n:] for one in curves], axis=0) for curves in (losses, untrained)]
    smoothed, _ = _smooth_all([rates[0][-n:]], *([mean] for mean in means))
    return smoothed


def _mean_smoothed(curves: Sequence[SmoothCurve], n_rates: int) -> list[float | None]:
    """Return the mean curve as far as no sweep had exploded, over the sweeps that had begun."""
    ends = [n_rates if one.exploded is None else one.exploded + n_rates - len(one.loss) for one in curves]
    begun = [
        [one.loss[index - n_rates] for one in curves if len(one.loss) >= n_rates - index] for index in range(n_rates)
    ]
    reached = min(ends, default=0)
    return [float(np.mean(begun[index])) if index < reached and begun[index] else None for index in range(n_rates)]


def _why_inconclusive(trials: Sequence[Trial], n_swept: int, refusals: Sequence[str]) -> str:
    """Return why there is no result."""
    if refusals:
        return Counter(refusals).most_common(1)[0][0]
    ends = Counter(_why_ended(trial) for trial in trials if not _ran_to_its_end(trial))
    n_ended = f"{len(trials) - n_swept} of {counted(len(trials), 'sweep')}"
    return f"{n_ended} did not run to the end: {ends.most_common(1)[0][0]}"


def _why_ended(trial: Trial) -> str:
    reason = str(trial.reason or trial.state)
    return reason if trial.error is None else f"{reason}, {trial.error.message}"


def _estimate(rates: Sequence[float], spacing: float, caveat: str | None) -> Estimate:
    """Return the geometric mean over seeds with Student's 95 % interval in log10(lr).

    Args:
        spacing: decades between neighbouring rates of the sweep: seeds that agree still know the rate no better.
    """
    decades = np.log10(rates)
    mean = float(decades.mean())
    if len(rates) < 2:
        alone = "one curve says nothing about the spread over seeds"
        return Estimate(value=10**mean, low=None, high=None, caveat=f"{caveat}; {alone}" if caveat else alone)
    spread = max(float(decades.std(ddof=1)), spacing / math.sqrt(12))
    half = t_quantile(0.975, df=len(rates) - 1) * spread / math.sqrt(len(rates))
    if half > _WIDE:
        few = f"{len(rates)} sweeps that differ this much hardly bound it; ask for more seeds"
        caveat = f"{caveat}; {few}" if caveat else few
    return Estimate(value=10**mean, low=10 ** (mean - half), high=10 ** (mean + half), caveat=caveat)


def _estimate_edge(found: Sequence[float | None], spacing: float, caveat: str | None) -> Estimate:
    edges = [edge for edge in found if edge is not None]
    if 2 * len(edges) < len(found):
        return Estimate(value=None, low=None, high=None, caveat="the loss did not explode up to the highest rate")
    if len(edges) < len(found):
        reached = f"{len(edges)} of {len(found)} sweeps reached the edge"
        caveat = f"{caveat}; {reached}" if caveat else reached
    return _estimate(edges, spacing, caveat)


def _at(batch_size: int | None) -> str:
    return "" if batch_size is None else f" at batch size {batch_size}"
