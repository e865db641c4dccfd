"""From the sweeps of a range test to what they say: per batch size, with intervals over seeds."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepsize.domain.range_test import RangeTestCurve, RangeTestFindings, RangeTestResult
from stepsize.domain.report import Estimate
from stepsize.domain.student_t import t_quantile
from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.spec.range_test import RangeTestSpec, SweepRange
from stepsize.spec.space import FloatParameter, Parameter
from stepsize_workers.trainers.base import Sweep
from stepsize_workers.training.range_test import (
    RULES,
    Array,
    RangeTestInconclusive,
    SmoothCurve,
    find_edge,
    find_low,
    smooth,
)

_WIDE = 1.0
"""Decades to either side from which an interval says little."""


@dataclass(frozen=True)
class Bounds:
    """Between which rates to search, and what to tell whoever asked."""

    low: float
    high: float
    warnings: tuple[str, ...] = ()


def conclude_range_test(spec: RangeTestSpec, trials: Sequence[Trial], reports: Iterable[Report]) -> RangeTestFindings:
    """Return what a range test found.

    Args:
        trials: all of the job's, one a (batch size, seed); those that did not run to their end only explain themselves.
        reports: of any of them, with `learning_rate` and `loss`.
    """
    losses: dict[int, dict[int, float]] = {}
    for report in reports:
        losses.setdefault(report.number, {})[report.step] = report.values["loss"]
    by_batch: dict[int | None, list[Trial]] = {}
    for trial in trials:
        batch_size = trial.params.get("batch_size")
        by_batch.setdefault(None if batch_size is None else int(batch_size), []).append(trial)
    return RangeTestFindings(
        sweep_low=spec.low,
        sweep_high=spec.high,
        results=[
            _conclude(batch_size, by_batch[batch_size], losses, spec)
            for batch_size in sorted(by_batch, key=lambda size: size or 0)
        ],
    )


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
    if len(highs) < len(conclusive):
        warnings.append(f"not every range test found a divergence edge: the search goes up to {findings.sweep_high:g}")
        highs.append(findings.sweep_high)
    return Bounds(min(lows), max(highs), tuple(warnings))


def _default_bounds(findings: RangeTestFindings, default: Parameter | None) -> tuple[float, float]:
    match default:
        case FloatParameter(low=float() as low, high=float() as high):
            return low, high
        case _:
            return findings.sweep_low, findings.sweep_high


def _conclude(
    batch_size: int | None,
    trials: Sequence[Trial],
    losses: Mapping[int, Mapping[int, float]],
    spec: RangeTestSpec,
) -> RangeTestResult:
    rates = _rates(spec)
    swept = [_padded(losses.get(trial.number, {}), spec.steps) for trial in trials if _ran_to_its_end(trial)]
    smoothed, refusals = _smooth_all(rates, swept)
    curve = RangeTestCurve(
        learning_rate=rates.tolist(),
        losses=[one[np.isfinite(one)].tolist() for one in swept],
        smoothed=_mean_smoothed(smoothed, len(rates)),
    )
    why_not = _why_inconclusive(trials, len(swept), len(smoothed), refusals)
    if why_not is not None:
        return RangeTestResult(
            batch_size=batch_size, low=None, suggestion=None, high=None, curve=curve, inconclusive=why_not
        )
    spacing = math.log10(spec.high / spec.low) / (spec.steps - 1)
    caveat = f"{len(smoothed)} of {len(trials)} sweeps were conclusive" if len(smoothed) < len(trials) else None
    return RangeTestResult(
        batch_size=batch_size,
        low=_estimate([find_low(one) for one in smoothed], spacing, caveat),
        suggestion=_estimate([RULES[spec.rule](one) for one in smoothed], spacing, caveat),
        high=_estimate_edge([find_edge(one) for one in smoothed], spacing, caveat),
        curve=curve,
    )


def _rates(sweep: SweepRange) -> Array:
    plan = Sweep(sweep.low, sweep.high, sweep.steps)
    return np.array([plan.rate(step) for step in range(1, sweep.steps + 1)])


def _ran_to_its_end(trial: Trial) -> bool:
    diverged = trial.state is TrialState.INFEASIBLE and trial.reason is TrialReason.DIVERGED
    return diverged or trial.state is TrialState.COMPLETED


def _padded(losses: Mapping[int, float], steps: int) -> Array:
    """Return a sweep's losses; those it did not live to report are infinite."""
    return np.array([losses.get(step, math.inf) for step in range(1, steps + 1)])


def _smooth_all(rates: Array, swept: Sequence[Array]) -> tuple[list[SmoothCurve], list[str]]:
    """Return the curves that say something, and why the others don't."""
    smoothed, refusals = [], []
    for losses in swept:
        try:
            smoothed.append(smooth(rates, losses))
        except RangeTestInconclusive as error:
            refusals.append(str(error))
    return smoothed, refusals


def _mean_smoothed(curves: Sequence[SmoothCurve], n_rates: int) -> list[float | None]:
    """Return the mean curve as far as no sweep had exploded."""
    reached = min((n_rates if curve.exploded is None else curve.exploded for curve in curves), default=0)
    mean = [float(np.mean([curve.loss[index] for curve in curves])) for index in range(reached)]
    return [*mean, *[None] * (n_rates - reached)]


def _why_inconclusive(trials: Sequence[Trial], n_swept: int, n_conclusive: int, refusals: Sequence[str]) -> str | None:
    """Return why there is no result, or None where at least half of the sweeps speak."""
    if 2 * n_conclusive >= len(trials):
        return None
    if refusals:
        return Counter(refusals).most_common(1)[0][0]
    ends = Counter(trial.reason or trial.state for trial in trials if not _ran_to_its_end(trial))
    return f"{len(trials) - n_swept} of {len(trials)} sweeps did not run to their end: {ends.most_common(1)[0][0]}"


def _estimate(rates: Sequence[float], spacing: float, caveat: str | None) -> Estimate:
    """Return the geometric mean over seeds with Student's 95 % interval in log10(lr).

    Args:
        spacing: decades between neighbouring rates of the sweep: seeds that agree still know the rate no better.
    """
    decades = np.log10(rates)
    mean = float(decades.mean())
    if len(rates) < 2:
        alone = "one sweep says nothing about the spread over seeds"
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
