"""The smoothed truth of a cell: the mean cost over seeds at any rate, the best rate, and the chance to diverge.

The cost is the validation loss, or the share of errors. Trainings that the product ends as diverged are not in the
mean; their share is the chance to diverge. Means are smoothed in log cost over neighbouring rates by local parabolas,
near the bottom only (a cliff keeps its edge), and lie on straight lines further up.

Shapes: R rates, S seeds.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth.data import CellData, read_cells
from benchmarks.truth.tasks import N_SEEDS, TruthTask

Floats = NDArray[np.float64]

HIGHEST_CHANCE = 0.05
"""The highest chance to diverge at which a rate may be called the best."""
LARGEST_ERROR = 0.03
"""Relative standard error of the smoothed mean at the best rate up to which a cell has a dense truth."""
KNOWN = 0.1
"""Standard error up to which a best rate, in decades, or a landscape's b is known well enough to judge others by:
intervals of answers reach 0.2 to 0.3 to either side."""
_NEAR_DECADES = 0.42
_CLEARLY = 3.0
"""Standard errors by which a rate's mean lies above the lowest one where the best rate is certainly another."""
_NEAR = math.log(2.0)
"""Means up to this factor above the lowest are smoothed."""
_REACH = 0.5
"""Decades over which the smoothing's weights fall to 0: three neighbours to either side at six rates a decade."""
_FINE = 0.01
"""Decades between the points at which a curve is read."""
_N_RESAMPLES = 200


@dataclass(frozen=True)
class Curve:
    """A smoothed mean, read at many points: all of shape (points,)."""

    decades: Floats
    log_cost: Floats
    error: Floats
    """Standard errors of `log_cost`."""


@dataclass(frozen=True)
class Valley:
    """One metric of one cell."""

    task: TruthTask
    batch_size: int
    metric: str
    decades: Floats
    """log10 of the rates, (R,)."""
    costs: Floats
    """(R, S); NaN where a training diverged, or there was none."""
    trained: NDArray[np.bool_]
    """(R, S): where there was one."""
    grain: float
    """Costs are whole multiples of this; 0: of anything."""

    @property
    def name(self) -> str:
        return f"{self.task.name} {self.batch_size} {self.metric}"

    @cached_property
    def curve(self) -> Curve:
        """The smoothed mean over seeds."""
        return smooth(self.decades, self.costs, self.grain)

    @cached_property
    def chances(self) -> Floats:
        """The chance to diverge at each rate, never falling, (R,)."""
        n_trained = self.trained.sum(axis=1)
        return _monotone((np.isnan(self.costs) & self.trained).sum(axis=1) / n_trained, n_trained)

    def cost(self, log_rate: float) -> float:
        """Return the mean cost of trainings that don't diverge; infinite where all do."""
        return math.exp(float(np.interp(log_rate, self.curve.decades, self.curve.log_cost)))

    def chance(self, log_rate: float) -> float:
        """Return the chance to diverge."""
        return float(np.interp(log_rate, self.decades, self.chances))

    @cached_property
    def best(self) -> float:
        """log10 of the best rate among those that hardly ever diverge."""
        return self._lowest(self.curve)

    def _lowest(self, curve: Curve) -> float:
        chances = np.interp(curve.decades, self.decades, self.chances)
        return float(curve.decades[int(np.argmin(np.where(chances > HIGHEST_CHANCE, np.inf, curve.log_cost)))])

    @property
    def best_cost(self) -> float:
        return self.cost(self.best)

    @property
    def error(self) -> float:
        """Relative standard error of the smoothed mean at the best rate."""
        return float(np.interp(self.best, self.curve.decades, self.curve.error))

    @property
    def is_dense(self) -> bool:
        """Whether this is known well enough to judge others by."""
        return self.error <= LARGEST_ERROR and self.best_error <= KNOWN

    @property
    def may_be_best(self) -> NDArray[np.bool_]:
        """(R,): the rates around the best one, and those whose means are not clearly above its mean."""
        means, errors = _log_means(self.costs, self.grain)
        above = means - math.log(self.best_cost)
        return (np.abs(self.decades - self.best) < _NEAR_DECADES) | (above < _CLEARLY * np.hypot(errors, self.error))

    @property
    def is_inside(self) -> bool:
        """Whether the best rate is not simply an end of the rates tried."""
        return bool(self.decades[0] + 0.1 < self.best < self.decades[-1] - 0.1)

    @cached_property
    def best_error(self) -> float:
        """Standard error of `best` in decades: its spread when seeds are drawn anew."""
        rng = np.random.default_rng(0)
        n_more = max(0, int(self.trained.sum(axis=1).max()) - N_SEEDS)
        found = []
        for _ in range(_N_RESAMPLES):
            drawn = [rng.integers(0, N_SEEDS, N_SEEDS), N_SEEDS + rng.integers(0, max(1, n_more), n_more)]
            found.append(self._lowest(smooth(self.decades, self.costs[:, np.concatenate(drawn)], self.grain)))
        return float(np.std(found))

    @cached_property
    def seed_sd(self) -> float:
        """Standard deviation over seeds near the best rate, as a share of the mean."""
        near = np.abs(self.decades - self.best) < 0.2
        return float(np.nanmedian(np.nanstd(self.costs[near], axis=1, ddof=1) / np.nanmean(self.costs[near], axis=1)))

    def draw(self, log_rate: float, rng: np.random.Generator) -> float | None:
        """Return the cost a training at this rate might have had; None: it diverged.

        One of the two neighbouring rates is chosen, the nearer the likelier, and one of its seeds. What that training
        lies beside its rate's mean, it lies beside the smoothed mean at the rate asked for: as a factor for losses,
        as a difference for shares of errors. So the mean of many draws is the smoothed one, exactly.
        """
        right = int(np.clip(np.searchsorted(self.decades, log_rate), 1, len(self.decades) - 1))
        share = (log_rate - self.decades[right - 1]) / (self.decades[right] - self.decades[right - 1])
        row = right if rng.random() < share else right - 1
        cost = float(self.costs[row, rng.integers(self.trained[row].sum())])
        here = self.cost(log_rate)
        if math.isnan(cost) or not math.isfinite(here):
            return None
        beside = float(np.nanmean(self.costs[row]))
        if not self.grain:
            return here * cost / beside
        moved = min(max(here + cost - beside, 0.0), 1.0)
        return round(moved / self.grain) * self.grain


@dataclass(frozen=True)
class Landscape:
    """What one job searches: the valleys of a task in one metric, by batch size."""

    task: TruthTask
    metric: str
    valleys: Mapping[int, Valley]
    """Of those batch sizes at which every training is kept."""

    @property
    def name(self) -> str:
        return f"{self.task.name} {self.metric}"

    @property
    def is_loss(self) -> bool:
        return self.metric.endswith("loss")

    @property
    def is_inside(self) -> bool:
        """Whether no batch size has its best rate at an end of those tried."""
        return all(valley.is_inside for valley in self.valleys.values())

    @cached_property
    def best(self) -> Valley:
        """The valley of the best batch size."""
        return min(self.valleys.values(), key=lambda valley: valley.best_cost)

    @cached_property
    def slope(self) -> float:
        """The power b of the batch size by which the best rate grows: least squares over the batch sizes."""
        sizes = np.log10(list(self.valleys))
        return float(np.polyfit(sizes, [valley.best for valley in self.valleys.values()], 1)[0])

    @cached_property
    def slope_error(self) -> float:
        """Standard error of `slope`, from those of the best rates."""
        sizes = np.log10(list(self.valleys))
        weights = (sizes - sizes.mean()) / ((sizes - sizes.mean()) ** 2).sum()
        return float(np.sqrt((weights**2 * [valley.best_error**2 for valley in self.valleys.values()]).sum()))


def read_landscapes(task: TruthTask) -> Iterator[Landscape]:
    """Yield what is kept of a task, one landscape a metric."""
    cells = {size: cell for size, cell in read_cells(task).items() if cell.is_complete}
    metrics = dict.fromkeys(metric for cell in cells.values() for metric in cell.values)
    for metric in metrics:
        yield Landscape(task, metric, {size: make_valley(task, size, metric, cell) for size, cell in cells.items()})


def make_valley(task: TruthTask, batch_size: int, metric: str, cell: CellData) -> Valley:
    """Return one metric of a cell."""
    values = cell.values[metric].astype(float)
    costs = np.where((cell.diverged > 0) | ~np.isfinite(values), np.nan, values)
    grain = 0.0
    if not metric.endswith("loss"):
        costs = 1.0 - costs
        grain = _grain(costs)
    return Valley(task, batch_size, metric, np.log10(task.rates), costs, cell.trained, grain)


def smooth(decades: Floats, costs: Floats, grain: float) -> Curve:
    """Return the mean of costs (R, S) over seeds: local parabolas near the bottom, straight lines further up."""
    means, errors = _log_means(costs, grain)
    usable = np.isfinite(means)
    known, bottom = decades[usable], means[usable].min()
    fine = np.arange(decades[0], decades[-1] + _FINE / 2, _FINE)
    straight = np.interp(fine, known, means[usable], right=math.inf if not usable[-1] else None)
    straight_error = np.interp(fine, known, errors[usable])
    # 1 up to a factor of two above the bottom, 0 from a factor of four on.
    trust = np.clip(2 - (straight - bottom) / _NEAR, 0, 1)
    rows = means < bottom + 3 * _NEAR
    kernel = _parabola_kernel(tuple(fine.tolist()), tuple(decades[rows].tolist()))
    rounded, rounded_error = kernel @ means[rows], np.sqrt(kernel**2 @ errors[rows] ** 2)
    high = np.where(np.isfinite(straight), straight, 0.0)
    mixed = trust * rounded + (1 - trust) * high
    mixed_error = np.hypot(trust * rounded_error, (1 - trust) * straight_error)
    return Curve(fine, np.where(np.isfinite(straight), mixed, math.inf), mixed_error)


@lru_cache(maxsize=64)  # seeds drawn anew leave the rates as they are
def _parabola_kernel(at: tuple[float, ...], x: tuple[float, ...]) -> Floats:
    """Return the matrix, (len(at), len(x)), that makes of values at `x` those of the parabolas fitted around `at`."""
    away = np.array(x)[None, :] - np.array(at)[:, None]
    weight = np.sqrt(np.clip(1 - (away / _REACH) ** 2, 1e-6, None))
    design = np.stack([np.ones_like(away), away, away**2], axis=2) * weight[:, :, None]
    return np.asarray(np.linalg.pinv(design)[:, 0, :] * weight, dtype=np.float64)


def _log_means(costs: Floats, grain: float) -> tuple[Floats, Floats]:
    """Return the log of each rate's mean and its standard error; infinite where fewer than two trainings remain."""
    n = np.isfinite(costs).sum(axis=1)
    enough = n >= 2
    some = np.where(enough[:, None], costs, 1.0)
    # A mean of no errors at all is taken for half an error in all.
    mean = np.maximum(np.nanmean(some, axis=1), max(grain, 1e-12) / 2 / np.maximum(n, 1))
    error = np.nanstd(some, axis=1, ddof=1) / np.sqrt(np.maximum(n, 1)) / mean
    least = grain / np.sqrt(12 * np.maximum(n, 1)) / mean
    return np.where(enough, np.log(mean), np.inf), np.maximum(error, least)


def _grain(costs: Floats) -> float:
    """Return the smallest difference between two costs: one sample of the validation part."""
    different = np.unique(np.round(costs[np.isfinite(costs)], 6))
    return float(np.diff(different).min()) if len(different) > 1 else 1.0


def _monotone(shares: Floats, weights: NDArray[np.int64]) -> Floats:
    """Return the nearest sequence that never falls, by pooling neighbours that do."""
    blocks: list[tuple[float, int, int]] = []
    for share, weight in zip(shares.tolist(), weights.tolist(), strict=True):
        mean, total, length = share, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, m, k = blocks.pop()
            mean, total, length = (before * m + mean * total) / (m + total), m + total, length + k
        blocks.append((mean, total, length))
    return np.repeat([mean for mean, _, _ in blocks], [length for *_, length in blocks])
