"""Figures along the learning rate: heat map over batch sizes, sensitivity, range tests, schedules."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stepsize.analysis.answer import batch_size_of
from stepsize.analysis.arrays import Floats, Mask
from stepsize.analysis.divergence import divergence
from stepsize.analysis.figures.style import (
    BATCH_LABEL,
    MOST_VECTOR_POINTS,
    RATE_LABEL,
    Palette,
    add_legend,
    batch_axis,
    clean,
    count_axis,
    log_axis,
    mark_outside,
    message_figure,
    metric_label,
    new_figure,
    plain,
    title_of,
    value_limits,
)
from stepsize.analysis.findings import Findings, Unclear
from stepsize.analysis.landscape import Landscape, Spot
from stepsize.analysis.sample import Sample
from stepsize.analysis.sensitivity import Plateau
from stepsize.domain.evidence import Evidence
from stepsize.domain.range_test import RangeTestResult

_TILES_PER_DECADE = 4
_NO_RATE = "No trial has a learning rate and a value yet.\nSearch `learning_rate` to see this figure."


def heatmap_figure(findings: Findings, evidence: Evidence, palette: Palette) -> Figure:
    """Return values over learning rate × batch size, with the fitted law and the divergence frontier."""
    title = title_of("Learning rate × batch size", evidence)
    sample = findings.sample
    used = sample.has_cost & np.isfinite(sample.log_rate) & np.isfinite(sample.log_batch)
    if not used.any():
        message = "No completed trial has both a learning rate and a batch size.\nSearch both to see this figure."
        return message_figure(title, message, palette)
    figure, (axes,) = new_figure(title, height=5.0)
    values = sample.sign * sample.cost[used]
    better_low = sample.sign > 0
    low, high = value_limits(values, better_low=better_low, shown=0.5) or (0.0, 1.0)
    colors = palette.colormap + ("_r" if better_low else "")
    x, y = 10 ** sample.log_rate[used], 10 ** sample.log_batch[used]
    sizes = sorted({float(round(size)) for size in 10 ** sample.log_batch[np.isfinite(sample.log_batch)]})
    log_axis(axes, "x")
    batch_axis(axes, sizes, "y")
    _tiles(axes, sample.log_rate[used], y, values, sizes, colors, (low, high))
    is_many = len(x) > MOST_VECTOR_POINTS
    spread = _jitter(y, sizes)
    for mask, marker, label in (
        (~sample.pruned[used], "o", "completed"),
        (sample.pruned[used], "D", "pruned (predicted)"),
    ):
        if not mask.any():
            continue
        dots = axes.scatter(
            x[mask], spread[mask], c=values[mask], cmap=colors, vmin=low, vmax=high, marker=marker, label=label,
            s=8 if is_many else (22 if marker == "o" else 13), rasterized=is_many,
            edgecolors=palette.ink, linewidths=0.2 if is_many else 0.5, alpha=0.9, zorder=3,
        )  # fmt: skip
    label = metric_label(evidence, evidence.objectives[0])
    figure.colorbar(dots, ax=axes, pad=0.015, extend="max" if better_low else "min", label=label)
    diverged = sample.diverged & np.isfinite(sample.log_rate) & np.isfinite(sample.log_batch)
    if diverged.any():
        apart = _jitter(10 ** sample.log_batch[diverged], sizes)
        axes.plot(
            10 ** sample.log_rate[diverged], apart, linestyle="none", marker="x",
            markersize=4.5, markeredgewidth=1.1, color=palette.red, label="diverged", zorder=3,
            rasterized=bool(diverged.sum() > MOST_VECTOR_POINTS),
        )  # fmt: skip
    _draw_frontier(axes, findings, palette)
    _draw_law(axes, findings, palette)
    axes.set_xlabel(RATE_LABEL)
    axes.set_ylabel(BATCH_LABEL)
    axes.grid(visible=False)
    rates = sample.log_rate[used | diverged]
    axes.set_xlim(10 ** (rates.min() - 0.1), 10 ** (rates.max() + 0.1))
    around = 1.15 * _tile_factors(sizes)
    axes.set_ylim(sizes[0] / around[0], sizes[-1] * around[-1])
    add_legend(figure, axes)
    return figure


def sensitivity_figure(findings: Findings, evidence: Evidence, palette: Palette) -> Figure:
    """Return the value over the learning rate around the valley's bottom, with the good region and the best rate."""
    title = title_of("Sensitivity to the learning rate", evidence)
    sample, spot, plateau = findings.about, findings.best, findings.plateau
    used = sample.completed & np.isfinite(sample.cost) & np.isfinite(sample.log_rate)
    if not used.any():
        return message_figure(title, _NO_RATE, palette)
    size = batch_size_of(findings, spot) if isinstance(spot, Spot) else None
    here = used & (sample.log_effective == spot.log_batch) if isinstance(spot, Spot) and size is not None else used
    figure, (axes,) = new_figure(title)
    where = "trials" if size is None else f"batch size {size}"
    _dots(axes, sample, used & ~here, palette.faint, "other batch sizes", alpha=0.35, size=11)
    _dots(axes, sample, here, palette.blue, where, alpha=0.75, size=20)
    _rings(axes, sample, palette)
    log_axis(axes, "x")
    limits = value_limits(sample.sign * sample.cost[here if here.any() else used], better_low=sample.sign > 0)
    if isinstance(spot, Spot) and plateau is not None:
        limits = _draw_spot(axes, spot, plateau, sample.sign, palette) or limits
    elif isinstance(spot, Unclear):
        axes.set_title(
            clean(f"No valley to tell: {spot.reason}", longest=110), fontsize=9.5, color=palette.faint, loc="left"
        )
    best = sample.log_rate[used][np.argmin(sample.cost[used])]
    axes.axvline(10**best, color=palette.orange, linewidth=1.6, linestyle="--", label=f"best trial {10**best:.3g}")
    diverged = 10 ** sample.log_rate[sample.diverged & np.isfinite(sample.log_rate)]
    mark_outside(axes, diverged, palette.red, "x", label="diverged", at_top=sample.sign > 0)
    if limits is not None:
        axes.set_ylim(*limits)
    if isinstance(spot, Spot):
        low, high = float(sample.log_rate[used].min()), float(sample.log_rate[used].max())
        axes.set_xlim(10 ** max(low - 0.1, spot.rate - 2.5), 10 ** min(high + 0.6, spot.rate + 2.5))
    axes.set_xlabel(RATE_LABEL)
    axes.set_ylabel(metric_label(evidence, evidence.objectives[0]))
    add_legend(figure, axes)
    return figure


def range_test_figure(evidence: Evidence, palette: Palette) -> Figure:
    """Return the sweeps of a range test, one panel a batch size, with the low, suggested and high rates."""
    title = title_of("LR range test", evidence)
    findings = evidence.range_test
    results = [result for result in findings.results if result.curve.learning_rate] if findings else []
    if not results:
        message = "No range test has finished here.\nSubmit one: POST /v1/range-tests."
        return message_figure(title, message, palette)
    shown = results[:6]
    columns = min(len(shown), 2)
    rows = math.ceil(len(shown) / columns)
    figure, panels = new_figure(title, columns=columns, rows=rows, height=1.2 + 3.2 * rows)
    for result, axes in zip(shown, panels, strict=False):
        _sweep(axes, result, palette)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    return figure


def schedule_figure(title: str, steps: Sequence[int], rates: Sequence[float], palette: Palette) -> Figure:
    """Return a schedule: the learning rate at each step."""
    figure, (axes,) = new_figure(title, height=3.8)
    axes.plot(
        steps, rates, color=palette.blue, linewidth=2.2, drawstyle="steps-post" if len(steps) <= 30 else "default",
        marker="o" if len(steps) <= 30 else None, markersize=4,
    )  # fmt: skip
    axes.set_ylim(0, 1.08 * max([*rates, 1e-300]))
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))
    count_axis(axes)
    axes.set_xlabel("step")
    axes.set_ylabel(RATE_LABEL)
    return figure


def _tiles(
    axes: Axes, x: Floats, y: Floats, values: Floats, sizes: Sequence[float], colors: str, limits: tuple[float, float]
) -> None:
    """Draw the median value of each quarter decade at each batch size behind the trials.

    A tile lies around a round rate and around its batch size: the trials of a grid stand in the middle of theirs.
    """
    if len(sizes) > 24:
        return
    first, last = round(x.min() * _TILES_PER_DECADE), round(x.max() * _TILES_PER_DECADE)
    edges = (np.arange(first, last + 2) - 0.5) / _TILES_PER_DECADE
    if len(edges) > 80:
        return
    column = np.clip(np.digitize(x, edges) - 1, 0, len(edges) - 2)
    for size, factor in zip(sizes, _tile_factors(sizes), strict=True):
        mine = np.isclose(y, size, rtol=1e-6)
        tiles = np.full((1, len(edges) - 1), np.nan)
        for index in np.unique(column[mine]):
            tiles[0, index] = np.median(values[mine & (column == index)])
        axes.pcolormesh(
            10**edges, [size / factor, size * factor], tiles, cmap=colors, vmin=limits[0], vmax=limits[1], alpha=0.45,
            linewidth=0, rasterized=True,
        )  # fmt: skip


def _tile_factors(sizes: Sequence[float]) -> Floats:
    """Return by which factor a tile reaches above and below its batch size: half of the way to its neighbour."""
    gaps = np.diff(np.log2(sizes), prepend=-np.inf, append=np.inf)
    nearest = np.minimum(gaps[1:], gaps[:-1])
    return np.asarray(2.0 ** np.where(np.isfinite(nearest), np.minimum(nearest / 2, 1.0), 0.5))


def _jitter(y: Floats, sizes: Sequence[float]) -> Floats:
    """Return batch sizes a little apart, so that trials at one rate don't hide each other."""
    return y if len(sizes) > 24 else y * 2 ** np.random.default_rng(0).uniform(-0.22, 0.22, len(y))


def _draw_law(axes: Axes, findings: Findings, palette: Palette) -> None:
    """Draw the best rate at each batch size with its interval; hollow where it is a guess."""
    landscape = findings.landscape
    if not isinstance(landscape, Landscape) or not landscape.layout.has_batch:
        return
    told = [spot for at, spot in sorted(findings.spots.items()) if at not in findings.edges]
    if not told:
        return
    sizes = np.array([10**spot.log_batch for spot in told])
    intervals = np.array([spot.interval for spot in told])
    rates = np.array([10**spot.rate for spot in told])
    slopes = landscape.slopes()
    label = "best rate" if slopes is None else f"best rate ∝ batch size^{np.median(slopes):.2f}"
    axes.fill_betweenx(
        sizes, 10 ** intervals[:, 0], 10 ** intervals[:, 1], color=palette.ink, alpha=0.18, linewidth=0, zorder=4
    )
    axes.plot(rates, sizes, color=palette.ink, linewidth=2.2, label=label, zorder=5)
    guessed = np.array([spot.flag is not None for spot in told])
    if guessed.any():
        axes.plot(
            rates[guessed], sizes[guessed], linestyle="none", marker="o", markerfacecolor="none", markersize=9,
            color=palette.ink, label="a guess: few trials, or beyond those tried", zorder=6,
        )  # fmt: skip


def _draw_frontier(axes: Axes, findings: Findings, palette: Palette) -> None:
    points = [
        (row.learning_rate.value, row.batch_size)
        for row in divergence(findings.about, findings.danger).frontier
        if row.learning_rate.value is not None and row.batch_size is not None
    ]
    if points:
        axes.plot(
            *zip(*points, strict=True), color=palette.red, linewidth=1.8, linestyle="--", label="divergence frontier",
            marker="o" if len(points) == 1 else None, zorder=5,
        )  # fmt: skip


def _draw_spot(axes: Axes, spot: Spot, plateau: Plateau, sign: float, palette: Palette) -> tuple[float, float] | None:
    """Draw the fitted valley, the good region and the rate that is told; return y limits that show them."""
    axes.axvspan(10**plateau.low, 10**plateau.high, color=palette.green, alpha=0.16, linewidth=0, label="good")
    low, middle, high = sign * plateau.curve
    axes.fill_between(10**plateau.curve_x, low, high, color=palette.ink, alpha=0.15, linewidth=0)
    axes.plot(10**plateau.curve_x, middle, color=palette.ink, linewidth=2, label="fitted valley")
    first, last = spot.interval
    axes.axvspan(10**first, 10**last, ymax=0.02, color=palette.green, linewidth=0)
    axes.axvline(10**spot.rate, color=palette.green, linewidth=2, label=f"recommended {10**spot.rate:.3g}")
    bottom = float(plateau.curve[1].min())
    near = np.abs(plateau.curve_x - spot.rate) <= 1.0
    depth = float(plateau.curve[1][near].max()) - bottom
    below = max(0.06 * depth, 3 * plateau.tolerance)
    ends = sorted([sign * (bottom - below), sign * (bottom + 1.15 * depth)])
    return (ends[0], ends[1]) if ends[0] < ends[1] else None


def _sweep(axes: Axes, result: RangeTestResult, palette: Palette) -> None:
    curve = result.curve
    rates = np.array(curve.learning_rate)
    for index, losses in enumerate(curve.losses):
        known = np.array([math.nan if loss is None else loss for loss in losses], dtype=np.float64)
        axes.plot(
            rates[: len(known)], known, color=palette.faint, linewidth=0.8, alpha=0.6,
            label="one seed" if index == 0 else None,
        )  # fmt: skip
    smoothed = np.array([math.nan if one is None else one for one in curve.smoothed], dtype=np.float64)
    axes.plot(rates[: len(smoothed)], smoothed, color=palette.ink, linewidth=2, label="mean, smoothed")
    log_axis(axes, "x", most_ticks=5)
    for estimate, color, style, label in (
        (result.low, palette.blue, ":", "low"),
        (result.suggestion, palette.green, "-", "suggestion"),
        (result.high, palette.red, "--", "diverges"),
    ):
        if estimate is not None and estimate.value is not None:
            axes.axvline(
                estimate.value, color=color, linestyle=style, linewidth=2, label=f"{label} {estimate.value:.2g}"
            )
            if estimate.low and estimate.high and len(rates):
                ends = np.clip([estimate.low, estimate.high], rates[0], rates[-1])  # it may be wider than any axis
                axes.axvspan(*ends, color=color, alpha=0.1, linewidth=0)
    finite = smoothed[np.isfinite(smoothed)]
    if len(finite):
        span = float(np.quantile(finite, 0.9) - finite.min()) or 1.0
        axes.set_ylim(float(finite.min()) - 0.15 * span, float(np.quantile(finite, 0.9)) + 0.6 * span)
    heading = "" if result.batch_size is None else f"batch size {result.batch_size}"
    if result.inconclusive:
        heading += f" – {clean(result.inconclusive, longest=60)}"
    axes.set_title(heading, loc="left")
    axes.set_xlabel(RATE_LABEL)
    axes.set_ylabel("training loss")
    axes.legend(loc="best", framealpha=0.85, fontsize=9)


def _rings(axes: Axes, sample: Sample, palette: Palette) -> None:
    pruned = sample.pruned & sample.has_cost & np.isfinite(sample.log_rate)
    if pruned.any():
        axes.scatter(
            10 ** sample.log_rate[pruned], sample.sign * sample.cost[pruned], s=14, facecolors="none",
            edgecolors=palette.purple, linewidths=0.9, alpha=0.7, label="pruned (predicted)",
            rasterized=bool(pruned.sum() > MOST_VECTOR_POINTS),
        )  # fmt: skip


def _dots(axes: Axes, sample: Sample, mask: Mask, color: str, label: str, *, alpha: float, size: float) -> None:
    if mask.any():
        axes.scatter(
            10 ** sample.log_rate[mask], sample.sign * sample.cost[mask], s=size, color=color, alpha=alpha,
            linewidths=0, label=label, rasterized=bool(mask.sum() > MOST_VECTOR_POINTS),
        )  # fmt: skip
