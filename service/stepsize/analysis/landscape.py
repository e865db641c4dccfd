"""The landscape of a job: the one posterior from which everything that is told about learning rates is read.

Legend: `N` draws, x log10 rate, y the objective on its scale; a *spot* is what is told about one batch size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from stepsize.analysis.arrays import Floats, Ints, Mask
from stepsize.analysis.divergence import Danger, find_danger
from stepsize.analysis.layout import Layout, make_layout
from stepsize.analysis.sample import Sample
from stepsize.analysis.valley import Effort, Observed, Posterior, draw_valleys
from stepsize.spec.space import Scalar
from stepsize.spec.wording import counted

MIN_TRIALS = 8
"""Trials with a value and a rate from which a valley is fitted."""
_MOST_TRIALS = 300
EFFORT = Effort()
_PILOT = Effort(n_steps=100, n_burn_in=100, thin=5)
_WINDOW = 1.5
"""Decades to either side of the bottom from which trials are taken where there are too many."""
_BARRIER_QUANTILE = 0.75
"""A diverged trial is at least as bad as this share of the others."""
_GRID = 0.02
"""Decades between rates that are tried for the one that is told."""
_FAR_QUANTILES = (0.005, 0.995)
_FEW_DRAWS = 400
_MIN_RESIDUALS = 12
_MOST_RESIDUALS = 32
_LARGEST_RESIDUAL = 6.0
NEAR_DECADES = 0.75
_BEYOND_MOST = 0.15
"""Chosen on functions with a cliff, of whose draws 0.02 to 0.14 lay beyond the rate; 0.25 at least in eight on
real tasks."""
FEW = 3
"""Fewer trials around a number than this: it is a guess from others."""


@dataclass(frozen=True)
class Spot:
    """What is told about one batch size. Rates are log10, values costs."""

    log_batch: float
    rates: Floats
    """Draws of the best safe rate, shape (N,)."""
    unbounded: Floats
    """Draws of the valley's bottom, safe or not, shape (N,)."""
    rate: float
    """The rate with the least expected cost among safe rates that were tried."""
    values: Floats
    """Draws of the mean cost of fresh trainings at that rate, shape (N,)."""
    limit: float
    """The highest safe rate."""
    tried: tuple[float, float]
    """The lowest and the highest rate tried at this batch size."""
    n_near: int
    """Trials with a value at this batch size within three quarters of a decade of the rate."""
    core: tuple[float, float] | None = None
    """From where to where the fitted shape can't tell which rate is the best; None: the draws tell."""
    as_good: tuple[float, float] | None = None
    """From where to where rates do as well, where one side is a cliff or hardly anything is known; None: the draws
    tell."""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the best rate; it holds the one that is told."""
        low, high = (float(end) for end in np.quantile(self.rates, [0.025, 0.975]))
        ends = [low, self.rate, high, *(self.core or ()), *(self.as_good or ())]
        return min(ends), max(ends)

    @property
    def is_beside_a_cliff(self) -> bool:
        """Whether the rate told, which keeps away from a steep side, lies beyond most of the draws of the bottom.

        A valley flat up to a cliff has its bottom anywhere on the flat; one of the model's has it at the cliff.
        """
        below = float((self.rates < self.rate).mean())
        return min(below, 1 - below) < _BEYOND_MOST and self.limit > self.rate

    @property
    def width(self) -> float:
        """Decades from end to end of the interval."""
        low, high = self.interval
        return high - low

    @property
    def is_held_back(self) -> bool:
        """Whether the valley falls on to where training diverges."""
        return float(np.median(self.unbounded)) > self.limit

    @property
    def extrapolated(self) -> str | None:
        """Which rates nobody tried that the bottom lies among; None where it was seen from both sides."""
        low, high = self.tried
        middle = float(np.median(self.unbounded))
        if middle > high and self.limit >= high:
            return f"extrapolated: no rate above {10**high:.2g} was tried at this batch size"
        if middle < low:
            return f"extrapolated: no rate below {10**low:.2g} was tried at this batch size"
        return None

    @property
    def flag(self) -> str | None:
        """Why the rate is less than measured; None where it isn't."""
        if self.n_near < FEW:
            near = counted(self.n_near, "trial")
            return f"{near} within three quarters of a decade; the rest is from other batch sizes and rates"
        return self.extrapolated


@dataclass(frozen=True)
class Landscape:
    """A posterior and what it was drawn from."""

    sample: Sample
    """The trials that were fitted."""
    layout: Layout
    posterior: Posterior
    misfit: Floats
    """What is added to the coefficients of the centre wherever a rate is told, shape (N, p)."""
    residuals: Floats
    """What trials near the bottom differ by from the fit, in units of the noise's scale."""
    danger: Danger | None
    choices: Mapping[str, Scalar]
    """What is told is about these; every other choice is included."""
    about: Mask
    """Which of the fitted trials have them: the others only share the shape of their valley."""

    def centres(self, log_batch: float, choices: Mapping[str, Scalar] | None = None, *, told: bool = True) -> Floats:
        """Return draws of the bottom's log10 rate, shape (N,)."""
        row, _ = self.layout.row(log_batch, self.choices if choices is None else choices)
        rate = self.posterior.rate + self.misfit if told else self.posterior.rate
        return np.asarray(rate @ row)

    def depths(self, log_batch: float, choices: Mapping[str, Scalar] | None = None) -> Floats:
        """Return draws of y at the bottom, shape (N,)."""
        _, row = self.layout.row(log_batch, self.choices if choices is None else choices)
        return np.asarray(self.posterior.depth @ row)

    def costs(self, x: Floats, log_batch: float, choices: Mapping[str, Scalar] | None = None) -> Floats:
        """Return draws of the mean cost of fresh trainings at rates, shape (N, k).

        Args:
            x: log10 rates, shape (k,), or (N, k) with rates of their own for each draw.
        """
        u = np.atleast_2d(x) - self.centres(log_batch, choices)[:, None]
        height = self.posterior.heights(u)
        y = self.depths(log_batch, choices)[:, None] + height
        scale = self.posterior.scales(height)
        total = np.zeros_like(y)
        for residual in self.residuals:
            total += self.sample.scale.back(y + residual * scale)
        return total / len(self.residuals)

    def thinned(self) -> "Landscape":
        """Return the same with fewer draws: enough for an expectation."""
        each = slice(None, None, max(1, len(self.posterior) // _FEW_DRAWS))
        few = Posterior(self.posterior.rate[each], self.posterior.depth[each], self.posterior.shape[each])
        return replace(self, posterior=few, misfit=self.misfit[each])

    @cached_property
    def log_batches(self) -> list[float]:
        """log10 of the effective batch sizes of the trials told about; [0.0] where there are none."""
        sizes = np.unique(self.sample.log_effective[np.isfinite(self.sample.log_effective) & self.about])
        return [float(size) for size in sizes] if len(sizes) else [0.0]

    def is_here(self, log_batch: float) -> Mask:
        """Return which of the trials told about have a batch size."""
        if not len(self.layout.groups):
            return self.about
        return np.asarray(self.about & (self.sample.log_effective == log_batch))

    def spot(self, log_batch: float) -> Spot | None:
        """Return what is told about one batch size; None where no rate is safe."""
        bottom = self.centres(log_batch)
        x = self.sample.log_rate
        lowest, highest = float(x[self.about].min()), float(x[self.about].max())
        limit = highest if self.danger is None else self.danger.limit(log_batch, lowest, highest)
        if limit is None:
            return None
        here = x[self.is_here(log_batch)]
        rate = self._least_expected(log_batch, bottom, lowest, limit)
        ceiling = self._ceiling(log_batch, limit if limit < highest else None, lowest, len(bottom))
        return Spot(
            log_batch=log_batch,
            rates=np.minimum(bottom, ceiling),
            unbounded=bottom,
            rate=rate,
            values=self.costs(np.array([rate]), log_batch)[:, 0],
            limit=limit,
            tried=(float(here.min()), float(here.max())) if len(here) else (lowest, highest),
            n_near=int((np.abs(here - rate) <= NEAR_DECADES).sum()),
        )

    def _ceiling(self, log_batch: float, limit: float | None, lowest: float, n: int) -> Floats:
        """Return draws of the highest safe rate, shape (n,); infinite where danger holds nothing back.

        Where it begins is no better known than the trials show it: a best rate held back by it is as uncertain.
        """
        if limit is None or self.danger is None:
            return np.full(n, math.inf)
        return np.maximum(self.danger.limits(log_batch, n), lowest)

    def _least_expected(self, log_batch: float, bottom: Floats, lowest: float, limit: float) -> float:
        low, high = np.quantile(bottom, _FAR_QUANTILES)
        low, high = min(max(lowest, float(low)), limit), min(max(lowest, float(high)), limit)
        grid = np.linspace(low, high, max(2, math.ceil((high - low) / _GRID) + 1))
        expected = self.thinned().costs(grid, log_batch).mean(axis=0)
        return float(grid[expected.argmin()])

    def slopes(self) -> Floats | None:
        """Return draws of the exponent with which the best rate grows with the batch size, shape (N,)."""
        if not self.layout.has_batch:
            return None
        away = self.layout.groups - self.layout.middle
        centres = np.stack([self.centres(float(group)) for group in self.layout.groups], axis=1)
        return np.asarray(centres @ away / (away @ away))


def fit_landscape(
    sample: Sample,
    *,
    own: Sequence[tuple[str, Scalar]] = (),
    choices: Mapping[str, Scalar] | None = None,
    about: Mask | None = None,
    seed: int = 0,
    effort: Effort | None = None,
) -> Landscape:
    """Fit the trials that have a cost, a rate and, where others have one, a batch size.

    Args:
        sample: at least `MIN_TRIALS` such trials, at two rates or more.
        own: choices with a rate and a depth of their own.
        choices: what the landscape is told about.
        about: the trials that have these choices; None: all.
        seed: fixes the draws.
    """
    rng = np.random.default_rng(seed)
    about = np.ones(len(sample), dtype=bool) if about is None else about
    rows = _in_order(sample, np.flatnonzero(usable_trials(sample)))
    if len(rows) > _MOST_TRIALS:
        usable = sample.take(rows)
        spread = usable.where(_evenly(usable.log_rate, np.ones(len(usable), dtype=bool), _MOST_TRIALS))
        rows = rows[_near_bottom(usable, _fit(spread, sample, own, rng, _PILOT))]
    fitted = sample.take(rows)
    layout, posterior = _fit(fitted, sample, own, rng, effort or EFFORT)
    return Landscape(
        sample=fitted,
        layout=layout,
        posterior=posterior,
        misfit=layout.misfit_sd() * rng.normal(size=posterior.rate.shape),
        residuals=_residuals(fitted, layout, posterior),
        danger=find_danger(sample.where(about)),
        choices=dict(choices or {}),
        about=about[rows],
    )


def usable_trials(sample: Sample) -> Mask:
    """Return which trials a landscape is fitted to."""
    usable = sample.has_cost & np.isfinite(sample.log_rate)
    has_batch = np.isfinite(sample.log_effective)
    return np.asarray(usable & (has_batch | ~has_batch[usable].any()))


def _fit(
    fitted: Sample, sample: Sample, own: Sequence[tuple[str, Scalar]], rng: np.random.Generator, effort: Effort
) -> tuple[Layout, Posterior]:
    layout = make_layout(fitted, own)
    barrier = sample.where(sample.diverged & np.isfinite(sample.log_rate) & _has_as_much(sample, layout))
    barrier = barrier.where(_evenly(barrier.log_rate, np.ones(len(barrier), dtype=bool), _MOST_TRIALS))
    zero = float(np.quantile(fitted.y, 0.1))
    observed = Observed(
        x=fitted.log_rate,
        y=fitted.y - zero,
        sd=fitted.y_sd,
        columns=layout.columns(fitted),
        barrier_x=barrier.log_rate,
        barrier_columns=layout.columns(barrier),
        barrier_y=float(np.quantile(fitted.y, _BARRIER_QUANTILE)) - zero,
    )
    posterior = draw_valleys(observed, rng, effort)
    depth = posterior.depth.copy()
    depth[:, : max(1, len(layout.groups))] += zero
    return layout, Posterior(posterior.rate, depth, posterior.shape)


def _has_as_much(sample: Sample, layout: Layout) -> Mask:
    return np.isfinite(sample.log_effective) if len(layout.groups) else np.ones(len(sample), dtype=bool)


def _in_order(sample: Sample, rows: Ints) -> Ints:
    """Return trials in an order that depends on what they measured alone."""
    batch = np.where(np.isfinite(sample.log_effective), sample.log_effective, 0.0)
    return rows[np.lexsort((sample.y[rows], batch[rows], sample.log_rate[rows]))]


def _near_bottom(usable: Sample, pilot: tuple[Layout, Posterior]) -> Mask:
    """Return which trials to fit where there are too many: spread evenly, half of them near the bottom.

    They are chosen by their rates: chosen by their values, the lucky ones would be.
    """
    layout, posterior = pilot
    away = np.abs(usable.log_rate - layout.columns(usable).rate @ posterior.rate.mean(axis=0))
    near = away <= NEAR_DECADES
    chosen = _evenly(usable.log_rate, near, _MOST_TRIALS // 2)
    around = (away <= _WINDOW) & ~chosen
    return np.asarray(chosen | _evenly(usable.log_rate, around, _MOST_TRIALS - int(chosen.sum())))


def _evenly(x: Floats, among: Mask, n: int) -> Mask:
    """Return `n` of some trials, evenly spread over the order of their rates."""
    rows = np.flatnonzero(among)
    chosen = np.zeros(len(x), dtype=bool)
    if len(rows):
        order = rows[np.argsort(x[rows], kind="stable")]
        chosen[order[np.unique(np.linspace(0, len(order) - 1, min(n, len(order))).astype(int))]] = True
    return chosen


def _residuals(fitted: Sample, layout: Layout, posterior: Posterior) -> Floats:
    """Return standardised residuals of the half of the trials that lies nearest to the bottom.

    With few of them, Student's quantiles stand in.
    """
    standard, height = standard_residuals(fitted, layout, posterior)
    measured = np.flatnonzero(fitted.y_sd == 0)
    near = measured[np.argsort(height[measured], kind="stable")[: max(_MIN_RESIDUALS, len(measured) // 2)]]
    if len(near) < _MIN_RESIDUALS:
        return np.asarray(stdtrit(4, (np.arange(_MIN_RESIDUALS) + 0.5) / _MIN_RESIDUALS))
    n = min(len(near), _MOST_RESIDUALS)
    kept = np.quantile(standard[near], (np.arange(n) + 0.5) / n)
    return np.clip(kept, -_LARGEST_RESIDUAL, _LARGEST_RESIDUAL)


def standard_residuals(fitted: Sample, layout: Layout, posterior: Posterior) -> tuple[Floats, Floats]:
    """Return residuals in units of the noise's scale, and heights, both at the posterior's centre, shape (n,)."""
    columns = layout.columns(fitted)
    middle = Posterior(
        posterior.rate.mean(axis=0)[None, :],
        posterior.depth.mean(axis=0)[None, :],
        np.exp(np.log(posterior.shape).mean(axis=0))[None, :],
    )
    height = middle.heights((fitted.log_rate - columns.rate @ middle.rate[0])[None, :])
    scale = np.sqrt(middle.scales(height) ** 2 + fitted.y_sd**2)
    residual = fitted.y - columns.depth @ middle.depth[0] - height[0]
    return residual / scale[0], height[0]
