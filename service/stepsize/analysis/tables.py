"""What happens at which learning rate, and at which batch size."""

import math
from collections.abc import Mapping

import numpy as np

from stepsize.analysis.arrays import Floats, Mask
from stepsize.analysis.findings import Edge, Findings, Unclear
from stepsize.analysis.intervals import at_least, held_within, mean, of_draws, scaled, share, unknown
from stepsize.analysis.landscape import Spot
from stepsize.analysis.sample import Sample
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.report import BatchSizeRow, ByBatchSize, ByLearningRate, RateBand
from stepsize.spec.roles import RATE_NAMES

Limits = tuple[float | None, float | None]

_BANDS_PER_DECADE = 2
_MOST_BANDS = 24
_MOST_BATCH_SIZES = 32


def by_learning_rate(sample: Sample, evidence: Evidence) -> ByLearningRate:
    """Return half-decade bands of the learning rate, lowest first; empty ones are left out."""
    x = sample.log_rate
    if not np.isfinite(x).any():
        return ByLearningRate(bands=[], caveat="no trial has a learning rate")
    found = rate_bands(sample, last_values(sample, evidence), limits_of(evidence))
    return ByLearningRate(bands=found, caveat="one learning rate only" if np.ptp(x[np.isfinite(x)]) == 0 else None)


def rate_bands(sample: Sample, metrics: Mapping[str, Floats], limits: Mapping[str, Limits]) -> list[RateBand]:
    """Return half-decade bands of the learning rate, lowest first; empty ones are left out.

    Args:
        metrics: metric → last value of each trial, shape (n,).
        limits: metric → smallest and largest value possible, for those of which it is known.
    """
    x = sample.log_rate
    if not np.isfinite(x).any():
        return []
    edges = _edges(float(np.nanmin(x)), float(np.nanmax(x)))
    band_of = np.digitize(x, edges[1:-1])
    bands = [
        _band(sample, metrics, limits, np.isfinite(x) & (band_of == index), 10 ** edges[index : index + 2])
        for index in range(len(edges) - 1)
    ]
    return [band for band in bands if band.n_trials]


def limits_of(evidence: Evidence) -> dict[str, Limits]:
    """Return between which values metrics lie; Student's interval knows nothing of that."""
    durations: dict[str, Limits] = {name: (0.0, None) for name, unit in evidence.units.items() if unit == "s"}
    return {**durations, **evidence.ranges}


def last_values(sample: Sample, evidence: Evidence) -> dict[str, Floats]:
    """Return the last values of a job's trials, metric by metric, the objective's left out; NaN where there is none."""
    row_of = {number: row for row, number in enumerate(evidence.trials.number)}
    values = [evidence.trials.values[row_of[int(number)]] for number in sample.number]
    names = dict.fromkeys(name for one in values for name in one)
    # A training loop reports the rate it is at under the name of the rate that was asked for: no result.
    left_out = {evidence.objectives[0].metric, *RATE_NAMES, *evidence.space, *evidence.fixed}
    return {
        name: np.array([one.get(name, math.nan) for one in values], dtype=np.float64)
        for name in names
        if name not in left_out
    }


def by_batch_size(findings: Findings) -> ByBatchSize:
    """Return one row a batch size, smallest first."""
    sample = findings.about
    sizes = np.unique(sample.log_batch[np.isfinite(sample.log_batch)])
    if not len(sizes):
        return ByBatchSize(rows=[], caveat="no trial has a batch size")
    caveat = None
    if len(sizes) > _MOST_BATCH_SIZES:
        caveat = f"{len(sizes)} batch sizes were tried; only the {_MOST_BATCH_SIZES} with the most trials are shown"
        often = sorted(sizes, key=lambda size: -int((sample.log_batch == size).sum()))[:_MOST_BATCH_SIZES]
        sizes = np.array(sorted(often))
    return ByBatchSize(rows=[_batch_row(findings, float(size)) for size in sizes], caveat=caveat)


def rate_of(spot: Spot) -> Estimate:
    """Return the best rate at a spot: everything that tells it reads it here."""
    low, high = spot.interval
    return Estimate(value=10**spot.rate, low=10**low, high=10**high, caveat=spot.flag, is_guess=spot.flag is not None)


def value_of(spot: Spot, sign: float) -> Estimate:
    """Return what the objective promises to be at that rate, on average over fresh trainings."""
    return scaled(of_draws(spot.values, guess=spot.flag), sign)


def edge_caveat(edge: Edge) -> str:
    """Return why there is no rate where the best lies beyond those searched."""
    return f"the best rate lies {edge} those searched: widen the space"


def best_value(sample: Sample, mask: Mask) -> float | None:
    """Return the value of the best trial of a mask."""
    rows = sample.ranked[mask[sample.ranked]]
    return float(sample.sign * sample.cost[rows[0]]) if len(rows) else None


def mean_value(sample: Sample, mask: Mask) -> Estimate:
    """Return the mean of the objective over completed trials."""
    found = mean(sample.cost[mask & sample.completed])
    if found.low is not None and found.high is not None:
        low, high = (float(end) for end in sample.scale.clipped(np.array([found.low, found.high])))
        found = found.model_copy(update={"low": low, "high": high})
    return scaled(found, sample.sign)


def _edges(low: float, high: float) -> Floats:
    """Return log10 of the bands' edges."""
    per_decade = float(_BANDS_PER_DECADE)
    while per_decade > 0.1 and (high - low) * per_decade > _MOST_BANDS:
        per_decade /= 2
    # Rounded outward, but a rate that lies on an edge (a grid's 0.001) opens no empty band.
    first, last = math.floor(low * per_decade + 1e-9), math.ceil(high * per_decade - 1e-9)
    return np.clip(np.arange(first, max(last, first + 1) + 1) / per_decade, -300, 300)


def _band(
    sample: Sample, metrics: Mapping[str, Floats], limits: Mapping[str, Limits], inside: Mask, edges: Floats
) -> RateBand:
    completed = inside & sample.completed
    means = {name: mean(np.clip(values[completed], -1e100, 1e100)) for name, values in metrics.items()}
    return RateBand(
        low=float(edges[0]),
        high=float(edges[1]),
        n_trials=int(inside.sum()),
        n_completed=int(completed.sum()),
        best=best_value(sample, inside),
        value=mean_value(sample, inside),
        metrics={name: held_within(found, *limits.get(name, (None, None))) for name, found in means.items()},
        train_time_s=mean_time(sample, completed),
        diverged_share=share(int((inside & sample.diverged).sum()), int(inside.sum())),
    )


def mean_time(sample: Sample, mask: Mask) -> Estimate:
    """Return the mean duration of trials, in seconds."""
    return at_least(mean(sample.duration_s[mask]), 0.0)  # Student's interval knows nothing of time


def _batch_row(findings: Findings, log_batch: float) -> BatchSizeRow:
    sample = findings.about
    here = sample.log_batch == log_batch
    rate, value = _told(findings, here)
    return BatchSizeRow(
        batch_size=round(10**log_batch),
        n_trials=int(here.sum()),
        n_completed=int((here & sample.completed).sum()),
        learning_rate=rate,
        value=value,
        best=best_value(sample, here),
        train_time_s=mean_time(sample, here & sample.completed),
        diverged_share=share(int((here & sample.diverged).sum()), int(here.sum())),
    )


def _told(findings: Findings, here: Mask) -> tuple[Estimate, Estimate]:
    """Return the best rate at a batch size and the value there."""
    sample = findings.about
    if (here & sample.out_of_memory).any() and not (here & sample.has_cost).any():
        nothing = unknown("every trial at this batch size ran out of memory or diverged")
        return nothing, nothing
    if isinstance(findings.landscape, Unclear):
        nothing = unknown(findings.landscape.reason)
        return nothing, nothing
    sizes = np.unique(sample.log_effective[here])
    if len(sizes) > 1:
        nothing = unknown("several gradient accumulations: the law tells the rate of each effective batch size")
        return nothing, nothing
    spot = findings.spots.get(float(sizes[0]))
    if spot is None:
        has_cost = bool((here & sample.has_cost).any())
        nothing = unknown(
            "no rate is safe at this batch size" if has_cost else "no trial at this batch size has a value"
        )
        return nothing, nothing
    edge = findings.edges.get(float(sizes[0]))
    if edge is not None:
        nothing = unknown(edge_caveat(edge))
        return nothing, nothing
    return rate_of(spot), value_of(spot, sample.sign)
