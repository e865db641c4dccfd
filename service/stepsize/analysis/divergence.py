"""Where training diverges: the chance of it, rising with the rate, and which batch sizes do not fit into memory.

    chance(x, z) = λ + (1 − λ) · logistic(α · (x − edge − β · z))

The posterior is summed over a grid of all four, exactly and for any number of diverged trials: with none, the edge
lies somewhere above the rates that were tried. λ is the share that diverges at any rate.

Legend: x log10 rate, z log10 effective batch size minus its mean, `n` trials, `G` points of the grid.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from stepsize.analysis.arrays import Floats, Mask
from stepsize.analysis.intervals import power_of_ten, share
from stepsize.analysis.sample import Sample
from stepsize.domain.estimate import Estimate
from stepsize.domain.report import Divergence, FrontierRow
from stepsize.spec.space import Scalar
from stepsize.spec.wording import counted

MOST_CHANCE = 0.05
"""Nothing is recommended where training is more likely than this to diverge."""
_MARGIN = 0.02
"""Decades kept from the lowest rate that diverged."""
_MIN_EACH = 3
"""Diverged and trained trials from which an edge is told."""
_MOST_TRIALS = 300
_MOST_ROWS = 32
_EDGES, _BELOW, _ABOVE = 41, 1.0, 2.0
"""Edges on the grid, from this many decades below the lowest rate tried to this many above the highest."""
_SLOPES = np.array([3.0, 6.0, 12.0, 25.0])
_MOVES = np.linspace(-0.5, 1.5, 9)
_MOVE, _MOVE_SD = 0.5, 0.5
_LEAST = 1e-300
_LAPSES = np.array([1e-4, 0.01, 0.03, 0.1, 0.3])
_LAPSE_PRIOR = np.array([0.4, 0.3, 0.15, 0.1, 0.05])


@dataclass(frozen=True)
class Danger:
    """The chance to diverge, as a posterior."""

    edge: Floats
    """Shape (G,), as are all of these."""
    slope: Floats
    move: Floats
    lapse: Floats
    weight: Floats
    """Adds up to 1."""
    log_middle: float
    """Mean log10 batch size."""
    x: Floats
    """log10 rates of the trials it rests on, shape (n,)."""
    log_batch: Floats
    diverged: Mask

    def chance(self, x: float, log_batch: float) -> float:
        """Return the chance that a training at this rate and batch size diverges."""
        z = log_batch - self.log_middle
        chances = self.lapse + (1 - self.lapse) * expit(self.slope * (x - self.edge - self.move * z))
        return float(self.weight @ chances)

    def limit(self, log_batch: float, lowest: float, highest: float) -> float | None:
        """Return log10 of the highest rate that is safe; None where none from `lowest` on is.

        Safe is a rate at which at most 5 % diverge, below every rate at which a trial of this batch size did.
        """
        top = min(highest, self._below_diverged(log_batch))
        if self.chance(lowest, log_batch) > MOST_CHANCE or top < lowest:
            return None
        if self.chance(top, log_batch) <= MOST_CHANCE:
            return top
        low, high = lowest, top
        while high - low > 0.005:
            middle = (low + high) / 2
            low, high = (middle, high) if self.chance(middle, log_batch) <= MOST_CHANCE else (low, middle)
        return low

    def limits(self, log_batch: float, n: int) -> Floats:
        """Return draws of log10 of the highest rate that is safe, if any is, shape (n,)."""
        weight = np.where(self.lapse < MOST_CHANCE, self.weight, 0.0)
        drawn = np.random.default_rng(0).choice(len(weight), n, p=weight / weight.sum())
        lapse, slope = self.lapse[drawn], self.slope[drawn]
        edge = self.edge[drawn] + self.move[drawn] * (log_batch - self.log_middle)
        limits = edge + logit((MOST_CHANCE - lapse) / (1 - lapse)) / slope
        return np.asarray(np.minimum(limits, self._below_diverged(log_batch)))

    def _below_diverged(self, log_batch: float) -> float:
        """Return log10 of a rate below all at which a trial of a batch size diverged; infinite where none did."""
        here = self.x[self.diverged & (self.log_batch == log_batch)]
        return float(here.min()) - _MARGIN if len(here) else math.inf

    def half(self, log_batch: float) -> tuple[float, float, float]:
        """Return log10 of the rate at which half of the trainings diverge, and its 95 % interval."""
        edges = self.edge + self.move * (log_batch - self.log_middle)
        order = np.argsort(edges, kind="stable")
        total = np.cumsum(self.weight[order])
        low, middle, high = (float(edges[order][np.searchsorted(total, q)]) for q in (0.025, 0.5, 0.975))
        return low, middle, high


def find_danger(sample: Sample) -> Danger | None:
    """Return the chance to diverge; None without a learning rate."""
    known = np.isfinite(sample.log_rate) & ~sample.out_of_memory
    if not known.any():
        return None
    batch = np.where(np.isfinite(sample.log_effective), sample.log_effective, 0.0)[known]
    x, diverged = sample.log_rate[known], sample.diverged[known]
    middle = float(batch.mean())
    order = np.lexsort((batch, x))
    thinned = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), _MOST_TRIALS)).astype(int))]
    trials = x[thinned], batch[thinned] - middle, diverged[thinned]
    moves = _MOVES if np.ptp(batch) > 0 else np.zeros(1)
    wide = np.linspace(float(x.min()) - _BELOW, float(x.max()) + _ABOVE, _EDGES)
    coarse = _weigh(wide, *trials, moves)
    fine = _weigh(_where_it_matters(wide, coarse), *trials, moves)
    edge, slope, move, lapse, weight = fine
    return Danger(edge, slope, move, lapse, weight, middle, x, batch, diverged)


def _weigh(edges: Floats, x: Floats, z: Floats, diverged: Mask, moves: Floats) -> tuple[Floats, ...]:
    """Return the points of a grid, edge, slope, move and lapse, and their weights, each of shape (G,)."""
    edge, slope, move, at = (
        part.ravel() for part in np.meshgrid(edges, _SLOPES, moves, np.arange(len(_LAPSES)), indexing="ij")
    )
    lapse = _LAPSES[at.astype(int)]
    log_weight = np.log(_LAPSE_PRIOR)[at.astype(int)] - 0.5 * ((move - _MOVE) / _MOVE_SD) ** 2
    for one, size, failed in zip(x, z, diverged, strict=True):
        trains = (1 - lapse) * expit(-slope * (one - edge - move * size))
        log_weight += np.log(np.maximum(1 - trains if failed else trains, _LEAST))
    weight = np.exp(log_weight - log_weight.max())
    return edge, slope, move, lapse, weight / weight.sum()


def _where_it_matters(edges: Floats, weighed: tuple[Floats, ...]) -> Floats:
    """Return a finer grid of edges where nearly all of the weight is."""
    mass = np.array([weighed[4][weighed[0] == edge].sum() for edge in edges])
    total = np.cumsum(mass)
    first = max(0, int(np.searchsorted(total, 0.001)) - 1)
    last = min(len(edges) - 1, int(np.searchsorted(total, 0.999)) + 1)
    return np.linspace(edges[first], edges[last], len(edges))


def divergence(sample: Sample, danger: Danger | None, *, choices: Mapping[str, Scalar] | None = None) -> Divergence:
    """Return the divergence frontier and what ran out of memory.

    Args:
        choices: those of all trials of the sample, where others of the job were left out.
    """
    n_diverged, n_oom = int(sample.diverged.sum()), int(sample.out_of_memory.sum())
    rows, caveat = _frontier(danger, has_batch=bool(np.isfinite(sample.log_effective).any()))
    oom_sizes = sample.log_batch[sample.out_of_memory & np.isfinite(sample.log_batch)]
    return Divergence(
        n_diverged=n_diverged,
        n_out_of_memory=n_oom,
        share=share(n_diverged, len(sample)),
        frontier=rows,
        smallest_oom_batch_size=round(10 ** float(oom_sizes.min())) if len(oom_sizes) else None,
        sentence=_sentence(rows, n_diverged, len(sample), choices or {}),
        caveat=caveat,
    )


def _frontier(danger: Danger | None, *, has_batch: bool) -> tuple[list[FrontierRow], str | None]:
    if danger is None or not danger.diverged.any():
        return [], "no trial diverged"
    if min(danger.diverged.sum(), (~danger.diverged).sum()) < _MIN_EACH:
        return [], f"an edge needs at least {_MIN_EACH} diverged and {_MIN_EACH} trained trials with a learning rate"
    sizes = np.unique(danger.log_batch)
    sizes = sizes[:: max(1, -(-len(sizes) // _MOST_ROWS))]
    return [
        FrontierRow(
            batch_size=round(10 ** float(size)) if has_batch else None, learning_rate=_edge(danger, float(size))
        )
        for size in sizes
    ], None


def _edge(danger: Danger, log_batch: float) -> Estimate:
    """Return the edge, as far as rates were tried at that batch size."""
    low, value, high = danger.half(log_batch)
    here = danger.log_batch == log_batch
    top = float(danger.x[here].max())
    tried = f"no rate above {10**top:.2g} was tried at this batch size"
    if value > top:
        at_least = min(max(low, float(danger.x.min())), top)
        return power_of_ten(Estimate(value=None, low=at_least, high=None, caveat=tried))
    caveat = None if danger.diverged[here].any() else "no trial diverged at this batch size; from the others"
    if high > top:
        return power_of_ten(Estimate(value=value, low=low, high=None, caveat=caveat or tried))
    return power_of_ten(Estimate(value=value, low=low, high=high, caveat=caveat))


def _sentence(rows: list[FrontierRow], n_diverged: int, n: int, choices: Mapping[str, Scalar]) -> str:
    chosen = ", ".join(f"{name} {choice}" for name, choice in choices.items())
    among = f" with {chosen}" if choices else ""
    if not n_diverged:
        return f"No trial{among} diverged."
    count = f"{n_diverged} of {counted(n, 'trial')}{among} diverged"
    known = [row for row in rows if row.learning_rate.value is not None]
    if not known:
        return f"{count}; not enough trials to say from which learning rate on."
    first, last = known[0], known[-1]
    if len(known) == 1 or first.batch_size is None:
        at = "" if first.batch_size is None else f" at batch size {first.batch_size}"
        return (
            f"{count}: half of the trainings diverge from a learning rate of about {first.learning_rate.value:.2g}{at}."
        )
    return (
        f"{count}: half of the trainings diverge from a learning rate of about {first.learning_rate.value:.2g} at "
        f"batch size {first.batch_size} and {last.learning_rate.value:.2g} at batch size {last.batch_size}."
    )
