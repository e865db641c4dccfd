"""What a learning-rate range test says: pure rules on the curve of a sweep. Knows nothing of torch.

All rules read one smoothed curve: a straight line is fitted around every point, by Gaussian weights in log10(lr), and
gives the loss and its derivative there. So smoothing lags in neither direction, and the derivative is per decade:
against lr itself it would favour the smallest rates, as the sweep is exponential.

Sources: Smith 2017 (arXiv:1506.01186), section 3.3, for the test; the rules are those of common practice, with
constants from trainings on small real tasks; `benchmarks/range_test.py` measures each against full trainings.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepsize.spec.range_test import RangeTestRule

Array = NDArray[np.float64]

_BANDWIDTH = 0.2
"""Standard deviation of the smoothing, in decades: 2.5 points either way of a default sweep, never less than one."""
_WIDER = 0.6
"""Standard deviation in decades over which noise, and the batches' part in it, are averaged: they change slowly."""
_ALREADY = 0.25
"""Share of the fall within the first decade from which a sweep began too high: noise alone makes up to a tenth."""
_USUAL = 100
_BELOW_LOWEST = 0.3
_NEAREST_POWER = 0.33
"""The best rate of a training of `_USUAL` updates lies about half way between `loss_rises` and this many decades below
the lowest loss, and falls with its updates to this power."""
_FEWEST_POINTS = 5
_FEWEST_INITIAL = 3
_INITIAL_DECADES = 1.0
"""The loss over the first decade is the initial one: rates there are meant to be too low to learn."""
_HEADROOM = 0.25
"""How far above the initial loss the curve may rise, as a share of its fall: an explosion to 1e9 must not drown the
minimum beside it."""
_BEGAN_TO_FALL = 1 / 10
"""Share of the fall from which it is no longer noise."""
_FELL = 0.4
_ROOM = 0.3
_SHORT = 10
_POWER = 0.55
"""The best rate of a training of `_SHORT` updates may lie this many decades below the one at which this share of the
fall is done, and it falls with the training's updates to this power: measured on tasks trained ten times as long
(`benchmarks/truth`). What a hundred updates bring can't tell that."""
_BEGAN = 0.05
"""Share of the fall from which a rate is worth searching where nobody knows how long the training will be."""
_LOST = 0.4
"""Share of the fall that is lost again at the divergence edge. To wait for a loss that isn't finite would leave the
edge to chance: far too high a rate often stalls the loss at that of guessing."""
_SIGNIFICANCE = 4.0
"""Standard errors that count as a fall: the lowest of some twenty independent points is chosen."""


class RangeTestInconclusive(Exception):  # noqa: N818 - an outcome, not a mistake
    """The curve doesn't say where the learning rate should lie; the message says why."""


@dataclass(frozen=True)
class SmoothCurve:
    """A sweep, smoothed: what every rule reads. Shapes (n_steps,)."""

    decades: Array
    """log10 of the learning rates."""
    loss: Array
    slope: Array
    """Derivative of the loss per decade."""
    initial: float
    """The loss before anything was learned."""
    lowest: int
    """Where the loss is lowest."""
    exploded: int | None
    """The first point at which the sweep had exploded; None: it never did."""

    @property
    def fall(self) -> float:
        """How far the loss came down."""
        return self.initial - float(self.loss[self.lowest])


def smooth(lrs: Array, losses: Array, untrained: Array) -> SmoothCurve:
    """Return the curve of one sweep.

    Args:
        lrs: shape (n_steps,), strictly increasing, > 0.
        losses: shape (n_steps,), the loss after the update at each rate. One that isn't finite says that the sweep
            exploded there, and so do all after it.
        untrained: shape (n_steps,), what the untrained model would have lost on the same batches; not finite where that
            is not known.

    Raises:
        RangeTestInconclusive: fewer than 5 finite points, no descent, or one that begins with the first rate.
    """
    finite = np.isfinite(losses)
    exploded = None if finite.all() else int(np.argmin(finite))
    n = len(losses) if exploded is None else exploded
    if n < _FEWEST_POINTS:
        raise RangeTestInconclusive(
            f"the loss stayed finite for only {n} updates, at rates from {lrs[0]:.2g} on; start from a lower rate, or "
            "look for missing or infinite values in the data"
        )
    losses = np.concatenate((without_batches(lrs[:n], losses[:n], untrained[:n]), losses[n:]))
    if begins_too_high(lrs[:n], losses[:n], surely=True):
        raise RangeTestInconclusive(
            f"the loss falls from the first rate on, {lrs[0]:.2g}: lower ones learn as well; start from a lower rate"
        )
    decades = np.log10(lrs)
    n_initial = min(n, max(_FEWEST_INITIAL, int(np.sum(decades < decades[0] + _INITIAL_DECADES))))
    initial = float(np.median(losses[:n_initial]))
    bar = initial + _HEADROOM * (initial - float(losses[:n].min()))
    bounded = np.where(np.arange(len(losses)) < n, np.minimum(losses, bar), bar)
    values, slopes = _line_kernels(decades)
    curve = SmoothCurve(
        decades, values @ bounded, slopes @ bounded, initial, int(np.argmin(values @ bounded)), exploded
    )
    if curve.lowest < n_initial or not _has_fallen(curve, bounded, values[curve.lowest], n_initial):
        if exploded is not None and not _has_risen(curve, losses[:n]):
            raise RangeTestInconclusive(
                f"the loss became no number at a rate of {lrs[exploded]:.2g} without having moved before; look for "
                "missing or infinite values in the data"
            )
        raise RangeTestInconclusive(
            "the loss never fell clearly below where it began; give more steps, or another range of rates"
        )
    return curve


def without_batches(lrs: Array, losses: Array, untrained: Array) -> Array:
    """Return what the losses would be if all batches were equally hard, as far as the untrained model can tell.

    A batch that is hard for the untrained model is as hard for one that has learned nothing, and the less so the more
    was learned: what share of the untrained model's surplus to take off is estimated around each rate, as a control
    variate's coefficient is.

    Args:
        lrs: shape (n_steps,), strictly increasing, > 0.
        losses, untrained: shape (n_steps,), on the same batches. Where one of `untrained` is not finite, nothing is
            known of the batches.
    """
    if not np.isfinite(untrained).all():
        return losses
    decades = np.log10(lrs)
    surplus = untrained - untrained.mean()
    values, _ = _line_kernels(decades)
    bounded = np.minimum(losses, untrained.max())
    loss_beside, surplus_beside = bounded - values @ bounded, surplus - values @ surplus
    nearby = np.exp(-0.5 * ((decades[None, :] - decades[:, None]) / _WIDER) ** 2)
    spread = nearby @ surplus_beside**2
    share = np.clip((nearby @ (loss_beside * surplus_beside)) / np.where(spread > 0, spread, 1.0), 0.0, 1.0)
    return np.asarray(losses - share * surplus, dtype=np.float64)


def begins_too_high(lrs: Array, losses: Array, *, surely: bool = False) -> bool:
    """Tell whether a good part of a sweep's fall lies within its first decade: then lower rates learn as well.

    Args:
        lrs: shape (n_steps,), strictly increasing, > 0.
        losses: shape (n_steps,), the loss after the update at each rate, all finite.
        surely: that part must be more than noise too: to go on below for nothing costs little, a refusal much.
    """
    decades = np.log10(lrs)
    n_initial = int(np.sum(decades < decades[0] + _INITIAL_DECADES))
    if len(losses) < max(_FEWEST_POINTS, n_initial + 1):
        return False
    bounded = np.minimum(losses, losses[:n_initial].max())
    values, _ = _line_kernels(decades)
    smoothed = values @ bounded
    lowest = int(np.argmin(smoothed))
    noise = _noise(bounded[: lowest + 1], smoothed[: lowest + 1])
    fall = smoothed[0] - smoothed[lowest]
    end = min(n_initial, lowest)

    def beyond_noise(to: int) -> bool:
        error = noise * math.sqrt(float(values[0] @ values[0]) + float(values[to] @ values[to]))
        return bool(smoothed[0] - smoothed[to] > _SIGNIFICANCE * error + 1e-6 * abs(smoothed[0]))

    is_fall = beyond_noise(lowest) and (not surely or beyond_noise(end))
    return bool(is_fall and smoothed[0] - smoothed[end] > _ALREADY * fall)


def suggest_steepest(curve: SmoothCurve) -> float:
    """Return the learning rate where the smoothed loss falls fastest per decade."""
    return _rate(curve.decades[_steepest(curve)])


def suggest_valley(curve: SmoothCurve) -> float:
    """Return the middle, in decades, of the stretch over which the smoothed loss falls furthest without a rise."""
    turns = np.flatnonzero(np.diff(np.sign(np.diff(curve.loss)))) + 1
    first = _last_above(curve, curve.initial - _BEGAN * curve.fall) or 0  # slow drift before would draw it far down
    ends = np.concatenate(([first], turns[turns > first], [len(curve.loss) - 1]))
    stretch = int(np.argmin(np.diff(curve.loss[ends])))
    return _rate((curve.decades[ends[stretch]] + curve.decades[ends[stretch + 1]]) / 2)


def suggest_tenth_of_minimum(curve: SmoothCurve) -> float:
    """Return a tenth of the rate at which the smoothed loss is lowest."""
    return _rate(curve.decades[curve.lowest] - 1)


def suggest_before_rise(curve: SmoothCurve) -> float:
    """Return the rate half way, in decades, from the steepest point to where the smoothed loss begins to rise."""
    return _rate((curve.decades[_steepest(curve)] + curve.decades[curve.lowest]) / 2)


def suggest_nearest(curve: SmoothCurve, n_updates: int | None = None) -> float:
    """Return the rate that is nearest to the best over many tasks: a little below the lowest loss, more so the longer.

    Args:
        n_updates: of a whole training; None: not known.
    """
    longer = 0.0 if n_updates is None else math.log10(n_updates / _USUAL)
    before_rise, lowest = math.log10(suggest_before_rise(curve)), float(curve.decades[curve.lowest]) - _BELOW_LOWEST
    return _rate((before_rise + lowest) / 2 - _NEAREST_POWER * longer)


def suggest(curve: SmoothCurve, rule: RangeTestRule | None, n_updates: int | None = None) -> float:
    """Return the learning rate of a rule; None: of the one that is nearest to the best over many tasks."""
    return suggest_nearest(curve, n_updates) if rule is None else RULES[rule](curve)


RULES: Mapping[RangeTestRule, Callable[[SmoothCurve], float]] = {
    RangeTestRule.STEEPEST: suggest_steepest,
    RangeTestRule.VALLEY: suggest_valley,
    RangeTestRule.MINIMUM_OVER_10: suggest_tenth_of_minimum,
    RangeTestRule.LOSS_RISES: suggest_before_rise,
}


def find_low(curve: SmoothCurve, n_updates: int | None = None) -> float:
    """Return the lowest rate worth searching; it may lie below the sweep's first.

    Args:
        n_updates: of a whole training; None: not known.
    """
    if n_updates is None:
        return _rate(_reached(curve, _BEGAN))
    longer = math.log10(max(n_updates, _SHORT) / _SHORT)
    return _rate(_reached(curve, _FELL) - _ROOM - _POWER * longer)


def find_edge(curve: SmoothCurve) -> float | None:
    """Return the divergence edge, where two fifths of the loss's fall are lost for good; None: never reached.

    For good: noise at small batches, or on raw inputs, takes a loss above that level and back again.
    """
    level = float(curve.loss[curve.lowest]) + _LOST * curve.fall
    last_below = curve.lowest + int(np.flatnonzero(curve.loss[curve.lowest :] <= level)[-1])
    if last_below + 1 < len(curve.loss):
        return _rate(_crossing(curve, last_below, level))
    return None if curve.exploded is None else _rate(curve.decades[curve.exploded])


def _steepest(curve: SmoothCurve) -> int:
    """Return the point of the steepest slope on the fall itself: noise before it, or a stalled loss after, is none."""
    first = _last_above(curve, curve.initial - _BEGAN_TO_FALL * curve.fall) or 0
    return first + int(np.argmin(curve.slope[first : curve.lowest + 1]))


def _reached(curve: SmoothCurve, share: float) -> float:
    """Return log10 of the rate below which a share of the fall is done."""
    level = curve.initial - share * curve.fall
    index = _last_above(curve, level)
    return float(curve.decades[0]) if index is None else _crossing(curve, index, level)


def _last_above(curve: SmoothCurve, level: float) -> int | None:
    """Return the last point before the minimum whose smoothed loss is above a level; None: there is none."""
    above = np.flatnonzero(curve.loss[: curve.lowest] > level)
    return int(above[-1]) if len(above) else None


def _line_kernels(x: Array) -> tuple[Array, Array]:
    """Return the matrices, (n_steps, n_steps), that make of losses the values and slopes of the lines fitted around x.

    The fit is least squares with Gaussian weights; the formulas are those of a weighted straight line.
    """
    bandwidth = max(_BANDWIDTH, (x[-1] - x[0]) / (len(x) - 1))
    away = x[None, :] - x[:, None]
    weight = np.exp(-0.5 * (away / bandwidth) ** 2)
    s0, s1, s2 = (np.sum(weight * away**power, axis=1, keepdims=True) for power in range(3))
    determinant = s0 * s2 - s1**2
    return weight * (s2 - s1 * away) / determinant, weight * (s0 * away - s1) / determinant


def _has_fallen(curve: SmoothCurve, losses: Array, kernel: Array, n_initial: int) -> bool:
    """Tell whether the fall is more than the losses' noise would make of a flat curve.

    Args:
        kernel: the lowest point's row of the smoothing, shape (n_steps,).
    """
    before = slice(0, curve.lowest + 1)
    # Around the lowest point there may be more of it: losses less what their batches explain have none at first.
    weight = np.exp(-0.5 * ((curve.decades[before] - curve.decades[curve.lowest]) / _WIDER) ** 2)
    local = math.sqrt(float(weight @ (losses[before] - curve.loss[before]) ** 2 / weight.sum()))
    noise = max(_noise(losses[before], curve.loss[before]), local)
    # Variances of the lowest point and of the initial median, in units of σ².
    error = noise * math.sqrt(float(kernel @ kernel) + math.pi / 2 / n_initial)
    return curve.fall > _SIGNIFICANCE * error + 1e-6 * abs(curve.initial)


def _has_risen(curve: SmoothCurve, losses: Array) -> bool:
    """Tell whether the last losses before a sweep's end were higher than noise makes them."""
    last = losses[-_FEWEST_INITIAL:]
    noise = _noise(losses, curve.loss[: len(losses)])
    return bool(np.median(last) > curve.initial + _SIGNIFICANCE * noise + 1e-6 * abs(curve.initial))


def _noise(losses: Array, smoothed: Array) -> float:
    """Return the standard deviation of losses around their smoothed values."""
    return 1.4826 * float(np.median(np.abs(losses - smoothed)))  # a Gaussian's MAD is σ / 1.4826


def _crossing(curve: SmoothCurve, index: int, level: float) -> float:
    """Return where, between a point and the next, the smoothed loss crosses a level; in decades."""
    x, y = curve.decades[index : index + 2], curve.loss[index : index + 2]
    return float(x[0] + (level - y[0]) / (y[1] - y[0]) * (x[1] - x[0]))


def _rate(decades: float) -> float:
    return float(10.0**decades)
