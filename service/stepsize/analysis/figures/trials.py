"""Figures with one mark a trial: history, slices, learning curves, fronts, importances."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stepsize.analysis.arrays import Floats, Mask
from stepsize.analysis.figures.style import (
    BATCH_LABEL,
    MOST_VECTOR_POINTS,
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
    scale_values,
    title_of,
)
from stepsize.analysis.sample import Sample
from stepsize.domain.evidence import Curve, Evidence
from stepsize.domain.front import non_dominated
from stepsize.domain.report import Importances
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.objective import Direction
from stepsize.spec.roles import BATCH_NAME
from stepsize.spec.space import CategoricalParameter, IntParameter, Parameter
from stepsize.spec.wording import counted

NO_TRIALS = "No trial has a value yet.\nThe figure appears with the first completed trial."
_MOST_SLICES = 6


def history_figure(sample: Sample, evidence: Evidence, palette: Palette) -> Figure:
    """Return every trial's value in order, and the best so far."""
    title = title_of("History", evidence)
    completed = sample.completed & np.isfinite(sample.cost)
    if not completed.any():
        return message_figure(title, NO_TRIALS, palette)
    figure, (axes,) = new_figure(title)
    _scatter_states(axes, sample.number.astype(np.float64), sample, palette)
    numbers, costs = sample.number[completed], sample.cost[completed]
    axes.step(
        numbers,
        sample.sign * np.minimum.accumulate(costs),
        where="post",
        color=palette.orange,
        linewidth=2.2,
        label="best so far",
    )
    axes.set_xlabel("trial number")
    count_axis(axes)
    axes.set_ylabel(metric_label(evidence, evidence.objectives[0]))
    scale_values(axes, sample.sign * costs, better_low=sample.sign > 0)
    add_legend(figure, axes)
    return figure


def slice_figure(sample: Sample, evidence: Evidence, palette: Palette) -> Figure:
    """Return the value over each searched parameter."""
    title = title_of("Slices", evidence)
    names = list(evidence.space)[:_MOST_SLICES]
    if not names or not (sample.completed & np.isfinite(sample.cost)).any():
        return message_figure(title, NO_TRIALS, palette)
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure, panels = new_figure(title, columns=columns, rows=rows, height=1.0 + 2.9 * rows, sharey=True)
    for name, axes in zip(names, panels, strict=False):
        _slice(axes, name, evidence.space[name], sample, palette)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    values = sample.sign * sample.cost[sample.completed]
    scale_values(panels[0], values, better_low=sample.sign > 0)
    add_legend(figure, *panels[: len(names)])
    for row in range(rows):
        panels[row * columns].set_ylabel(metric_label(evidence, evidence.objectives[0]))
    return figure


def curves_figure(curves: Sequence[Curve], n_trials: int, evidence: Evidence, palette: Palette) -> Figure:
    """Return learning curves, better final values brighter; ends of pruned and diverged trials are marked."""
    shown = f" ({len(curves)} of {counted(n_trials, 'trial')})" if n_trials > len(curves) else ""
    title = title_of("Learning curves", evidence) + shown
    if not curves:
        return message_figure(title, "No trial has reported yet.\nThe figure appears with the first report.", palette)
    figure, (axes,) = new_figure(title)
    direction = evidence.objectives[0].direction
    better_low = direction is Direction.MINIMIZE
    completed = [curve for curve in curves if curve.state == TrialState.COMPLETED]
    ranked = sorted(completed, key=lambda curve: -direction.cost(curve.values[-1]))
    for curve in curves:
        if curve.state != TrialState.COMPLETED:
            axes.plot(curve.steps, curve.values, color=palette.faint, linewidth=0.8, alpha=0.45)
    for index, curve in enumerate(ranked):  # the best are drawn last, on top
        is_best = index == len(ranked) - 1
        axes.plot(
            curve.steps,
            curve.values,
            color=palette.orange if is_best else palette.blue,
            linewidth=2.4 if is_best else 1.0,
            alpha=1.0 if is_best else 0.25 + 0.5 * index / len(ranked),
            marker="o" if len(curve.steps) == 1 else None,
            markersize=3,
            label="best trial" if is_best else ("completed" if index == 0 else None),
        )
    _mark_ends(axes, curves, TrialState.PRUNED, None, "|", palette.purple, "pruned")
    _mark_ends(axes, curves, TrialState.INFEASIBLE, TrialReason.DIVERGED, "x", palette.red, "diverged")
    axes.set_xlabel(clean(evidence.step_unit))
    count_axis(axes)
    axes.set_ylabel(metric_label(evidence, evidence.objectives[0]))
    scale_values(axes, np.array([value for curve in curves for value in curve.values]), better_low=better_low)
    add_legend(figure, axes)
    return figure


def pareto_figure(evidence: Evidence, palette: Palette) -> Figure:
    """Return the trials in the plane of the first two objectives, the front marked."""
    title = title_of("Pareto front", evidence)
    if len(evidence.objectives) < 2:
        return message_figure(
            title, "The job has one objective, so its front is its best trial.\nSee the history.", palette
        )
    first, second = evidence.objectives[:2]
    rows = [
        [values.get(objective.metric, math.nan) for objective in evidence.objectives]
        for values, state, of in zip(
            evidence.trials.values, evidence.trials.state, evidence.trials.replicate_of, strict=True
        )
        if state == TrialState.COMPLETED and of is None
    ]
    points = np.array(rows, dtype=np.float64).reshape(-1, len(evidence.objectives))
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return message_figure(title, NO_TRIALS, palette)
    signs = [one.direction.cost(1.0) for one in evidence.objectives]
    on_front = np.zeros(len(points), dtype=bool)
    on_front[non_dominated([tuple(row) for row in (points * signs).tolist()])] = True
    figure, (axes,) = new_figure(title)
    _dots(axes, points[~on_front, 0], points[~on_front, 1], palette.blue, "dominated", alpha=0.35)
    front = points[on_front][np.argsort(points[on_front, 0])]
    axes.plot(front[:, 0], front[:, 1], color=palette.orange, linewidth=1.2, alpha=0.8 if len(signs) == 2 else 0.0)
    _dots(axes, front[:, 0], front[:, 1], palette.orange, f"front ({counted(len(front), 'trial')})", size=34)
    scale_values(axes, points[:, 0], better_low=signs[0] > 0, which="x", shown=0.9)
    scale_values(axes, points[:, 1], better_low=signs[1] > 0, which="y", shown=0.9)
    axes.set_xlabel(metric_label(evidence, first))
    axes.set_ylabel(metric_label(evidence, second))
    add_legend(figure, axes)
    return figure


def importances_figure(found: Importances, evidence: Evidence, palette: Palette) -> Figure:
    """Return each parameter's share as a bar with its interval."""
    title = title_of("Parameter importances", evidence)
    items = [item for item in found.items if item.importance.value is not None][:20]
    if not items:
        return message_figure(title, f"No importances yet:\n{clean(found.caveat or '')}.", palette)
    figure, (axes,) = new_figure(title, height=max(2.2, 1.5 + 0.42 * len(items)))
    values = np.array([item.importance.value for item in items], dtype=np.float64)
    lows = np.array([item.importance.value if item.importance.low is None else item.importance.low for item in items])
    highs = np.array(
        [item.importance.value if item.importance.high is None else item.importance.high for item in items]
    )
    axes.barh(
        np.arange(len(items)),
        100 * values,
        xerr=100 * np.vstack([values - lows, highs - values]),
        color=palette.blue,
        ecolor=palette.ink,
        capsize=3,
        height=0.62,
    )
    axes.set_yticks(np.arange(len(items)), [clean(item.parameter, longest=30) for item in items])
    axes.invert_yaxis()
    axes.set_xlim(0, max(100.0 * float(highs.max()) * 1.05, 10.0))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"importance in % ({found.method}, {counted(found.n_trials, 'trial')}; bars: 95 % interval)")
    return figure


def _slice(axes: Axes, name: str, parameter: Parameter, sample: Sample, palette: Palette) -> None:
    if isinstance(parameter, CategoricalParameter):
        choices = {repr(choice): index for index, choice in enumerate(parameter.choices)}
        x = np.array([choices.get(repr(value), math.nan) for value in sample.column(name)], dtype=np.float64)
        jitter = np.random.default_rng(0).uniform(-0.18, 0.18, len(x))
        _scatter_states(axes, x + jitter, sample, palette, size=11)
        axes.set_xticks(range(len(choices)), [clean(str(choice), longest=12) for choice in parameter.choices])
        axes.set_xlim(-0.6, len(choices) - 0.4)
        axes.grid(visible=False, axis="x")
    else:
        x = np.array([value if isinstance(value, int | float) else math.nan for value in sample.column(name)], float)
        _scatter_states(axes, x, sample, palette, size=11)
        if isinstance(parameter, IntParameter) and parameter.powers_of_two:
            batch_axis(axes, sorted({float(value) for value in x[np.isfinite(x)]}), "x")
        elif parameter.log:
            log_axis(axes, "x", most_ticks=4)
    axes.set_xlabel(BATCH_LABEL if name == BATCH_NAME else clean(name, longest=30))


def _scatter_states(axes: Axes, x: Floats, sample: Sample, palette: Palette, *, size: float = 16) -> None:
    """Draw completed trials as dots, pruned ones hollow, diverged ones as crosses at the worse edge."""
    values = sample.sign * sample.cost
    completed = sample.completed & np.isfinite(values)
    _dots(axes, x[completed], values[completed], palette.blue, "completed", size=size, alpha=0.6)
    pruned = sample.pruned & np.isfinite(values)
    if pruned.any():
        axes.scatter(
            x[pruned],
            values[pruned],
            s=size,
            facecolors="none",
            edgecolors=palette.purple,
            linewidths=1.0,
            label="pruned (predicted)",
            rasterized=bool(pruned.sum() > MOST_VECTOR_POINTS),
        )
    at_top = sample.sign > 0
    unknown = sample.pruned & ~pruned
    mark_outside(axes, _finite(x, unknown), palette.purple, "|", label="pruned (too early to predict)", at_top=at_top)
    mark_outside(axes, _finite(x, sample.diverged), palette.red, "x", label="diverged", at_top=at_top)


def _finite(x: Floats, mask: Mask) -> Floats:
    return x[mask & np.isfinite(x)]


def _dots(axes: Axes, x: Floats, y: Floats, color: str, label: str, *, size: float = 16, alpha: float = 1.0) -> None:
    is_many = len(x) > MOST_VECTOR_POINTS
    axes.scatter(
        x, y, s=size / 2 if is_many else size, color=color, alpha=alpha / 2 if is_many else alpha, linewidths=0,
        label=label, rasterized=is_many,
    )  # fmt: skip


def _mark_ends(
    axes: Axes, curves: Sequence[Curve], state: str, reason: str | None, marker: str, color: str, label: str
) -> None:
    ends = [
        (curve.steps[-1], curve.values[-1])
        for curve in curves
        if curve.state == state and (reason is None or curve.reason == reason)
    ]
    if ends:
        x, y = zip(*ends, strict=True)
        axes.plot(
            x, y, linestyle="none", marker=marker, markersize=8, markeredgewidth=1.8, color=color, label=label, zorder=5
        )
