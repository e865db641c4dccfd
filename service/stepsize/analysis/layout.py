"""What the centre and the depth of a valley are sums of: the batch size, choices, and the seed that trials share.

Depth and best rate are free at each batch size, and the rates are drawn towards a line in log batch size. A choice (an
optimizer, say) moves rate and depth alike at every batch size. Trials that share a seed share its luck: a seed with
several trials moves depth and rate by a little, and what is told is about a fresh seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.sample import Sample
from stepsize.analysis.valley import MISFIT_DECADES, Columns
from stepsize.spec.space import Scalar

_MOST_GROUPS = 6
_SLOPE, _SLOPE_SD = 0.5, 0.5
"""The exponent of the law: between none and linear, mostly."""
_LINE_SD = 0.25
"""By how many decades best rates lie off the line."""
_DEPTH_SD = 1.0
_CHOICE_SD = 1.0
"""Decades and y: by how much choices differ."""
_SEED_RATE_SD, SEED_DEPTH_SD = 0.15, 0.15
"""Decades and y: by how much a seed moves them."""
_MIN_PER_SEED = 4
_MOST_SEEDS = 12


@dataclass(frozen=True)
class Layout:
    """The columns of one fit."""

    groups: Floats
    """log10 of the effective batch sizes that have a depth and a rate of their own; empty: no batch size."""
    choices: tuple[tuple[str, Scalar], ...]
    """Choices with a column of their own: by how much they differ from all others together."""
    seeds: tuple[int, ...]
    has_one_seed: bool
    """Whether all trials share one seed, as far as is known: a fresh one may want another rate, and no trial shows
    which."""
    rate_range: tuple[float, float]
    """log10 of the lowest and the highest rate tried."""

    @property
    def has_batch(self) -> bool:
        return len(self.groups) > 1

    @property
    def middle(self) -> float:
        """log10 of the batch size at which the line is anchored."""
        return float(self.groups.mean()) if len(self.groups) else 0.0

    def columns(self, sample: Sample) -> Columns:
        """Return the columns of trials."""
        chosen = np.column_stack([np.zeros((len(sample), 0)), *(sample.has(*choice) for choice in self.choices)])
        shared = np.column_stack([np.zeros((len(sample), 0)), *(sample.seed == seed for seed in self.seeds)])
        return self._columns(sample.log_effective, chosen, shared)

    def row(self, log_batch: float, choices: Mapping[str, Scalar]) -> tuple[Floats, Floats]:
        """Return the columns of centre and depth at one batch size, with some choices, for a fresh seed."""
        chosen = np.array([[_is_same(choices.get(name), choice) for name, choice in self.choices]], dtype=np.float64)
        shared = np.zeros((1, len(self.seeds)))
        columns = self._columns(np.array([log_batch]), chosen.reshape(1, len(self.choices)), shared)
        return columns.rate[0], columns.depth[0]

    def misfit_sd(self) -> Floats:
        """Return by how much each coefficient of the centre may be wrong for reasons that no trial shows."""
        n_own = len(self.groups) if self.has_batch else 0
        seed_sd = _SEED_RATE_SD if self.has_one_seed else 0.0
        anchor = [seed_sd, 0.0] if self.has_batch else [math.hypot(MISFIT_DECADES, seed_sd)]
        return np.array(
            [*anchor, *[MISFIT_DECADES] * (n_own + len(self.choices)), *[0.0] * len(self.seeds)], dtype=np.float64
        )

    def nearest_group(self, log_batch: Floats) -> Floats:
        """Return which group each batch size belongs to."""
        return np.asarray(np.abs(log_batch[:, None] - self.groups[None, :]).argmin(axis=1))

    def _columns(self, log_batch: Floats, chosen: Floats, shared: Floats) -> Columns:
        n = len(log_batch)
        anchor, own = np.ones((n, 1)), np.ones((n, 1))
        rate_mean, rate_sd = [sum(self.rate_range) / 2], [0.35 * (self.rate_range[1] - self.rate_range[0]) + 0.7]
        own_rate = np.zeros((n, 0))
        if self.has_batch:
            away = log_batch - self.middle
            own_rate = own = np.eye(len(self.groups))[self.nearest_group(log_batch)]
            anchor = np.column_stack([anchor, away])
            rate_mean += [_SLOPE, *[0.0] * len(self.groups)]
            rate_sd += [_SLOPE_SD, *[_LINE_SD] * len(self.groups)]
        n_choices, n_seeds = chosen.shape[1], shared.shape[1]
        rest = [0.0] * (n_choices + n_seeds)
        rate_sd += [_CHOICE_SD] * n_choices + [_SEED_RATE_SD] * n_seeds
        depth_sd = [_DEPTH_SD] * own.shape[1] + [_CHOICE_SD] * n_choices + [SEED_DEPTH_SD] * n_seeds
        return Columns(
            rate=np.hstack([anchor, own_rate, chosen, shared]),
            depth=np.hstack([own, chosen, shared]),
            rate_prior=(np.array([*rate_mean, *rest]), np.array(rate_sd)),
            depth_prior=(np.zeros(len(depth_sd)), np.array(depth_sd)),
        )


def make_layout(sample: Sample, choices: Sequence[tuple[str, Scalar]] = ()) -> Layout:
    """Return the layout for trials with a cost and a rate.

    Args:
        choices: those that have a rate and a depth of their own; all others share what is told without a choice.
    """
    return Layout(
        groups=_groups(sample.log_effective),
        choices=tuple(choices),
        seeds=_shared_seeds(sample),
        has_one_seed=has_one_seed(sample),
        rate_range=(float(sample.log_rate.min()), float(sample.log_rate.max())),
    )


def _groups(log_batch: Floats) -> Floats:
    sizes = np.unique(log_batch[np.isfinite(log_batch)])
    if len(sizes) <= _MOST_GROUPS:
        return sizes
    return np.unique(np.quantile(log_batch[np.isfinite(log_batch)], (np.arange(_MOST_GROUPS) + 0.5) / _MOST_GROUPS))


def _shared_seeds(sample: Sample) -> tuple[int, ...]:
    """Return the seeds that several trials share, where not all share one."""
    seeds, counts = np.unique(sample.seed[sample.seed >= 0], return_counts=True)
    if len(seeds) < 2:
        return ()
    often = sorted(zip(-counts, seeds, strict=True))[:_MOST_SEEDS]
    return tuple(int(seed) for count, seed in often if -count >= _MIN_PER_SEED)


def searched_with_one_seed(sample: Sample) -> bool:
    """Tell whether all trials of the search share one seed, as far as is known, whatever its checks were."""
    return has_one_seed(sample.where(sample.searched))


def has_one_seed(sample: Sample) -> bool:
    """Tell whether all trials share one seed, as far as is known: nothing here tells of others.

    Trials of unknown seeds may share one: it is the least that they say.
    """
    seeds = sample.seed[sample.has_cost]
    return len(seeds) > 1 and len(np.unique(seeds)) == 1


def knows_no_seed(sample: Sample) -> bool:
    """Tell whether nobody knows with which seeds the trials were trained."""
    return bool((sample.seed < 0).all())


def _is_same(one: Scalar | None, other: Scalar) -> bool:
    return type(one) is type(other) and one == other
