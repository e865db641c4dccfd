"""How every figure looks and becomes bytes: colour-blind safe, readable at 800 pixels, the same bytes each time."""

import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from stepsize.analysis.arrays import Floats
from stepsize.domain.evidence import Evidence
from stepsize.spec.objective import Direction, Objective

BATCH_LABEL, RATE_LABEL = "batch size (samples)", "learning rate"
WIDTH_IN, HEIGHT_IN = 8.0, 4.6
_PNG_DPI = 200
"""1,600 pixels wide: sharp where a page shows it at 800."""
_RASTER_DPI = 120
_LEGEND_CHARACTERS = 100
"""Of a row of the legend, its handles counted as seven each."""
MOST_VECTOR_POINTS = 1500
"""More points are drawn as one picture inside the SVG, which otherwise grows to megabytes."""


@dataclass(frozen=True)
class Palette:
    """Colours of one theme; the five hues are Okabe and Ito's, told apart by every kind of colour vision."""

    background: str
    ink: str
    faint: str
    grid: str
    blue: str
    orange: str
    green: str
    red: str
    purple: str
    colormap: str = "viridis"


LIGHT = Palette("#ffffff", "#1f2328", "#6b7280", "#e5e7eb", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7")
DARK = Palette("#0d1117", "#e6edf3", "#9aa4b2", "#263040", "#56b4e9", "#f0b429", "#2fbf9b", "#ff8247", "#e39bc4")
PALETTES = {"light": LIGHT, "dark": DARK}

Draw = Callable[[Palette], Figure]


def render(draw: Draw, *, image_format: str, theme: str) -> bytes:
    """Return a figure as SVG or PNG bytes."""
    palette = PALETTES[theme]
    with mpl.rc_context(_settings(palette)), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name in a script the font lacks is drawn as boxes
        figure = draw(palette)
        FigureCanvasAgg(figure)
        target = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if image_format == "svg" else {"Software": None}
        dpi = _PNG_DPI if image_format == "png" else _RASTER_DPI
        figure.savefig(target, format=image_format, dpi=dpi, metadata=metadata)
    return target.getvalue()


def new_figure(
    title: str, *, height: float = HEIGHT_IN, columns: int = 1, rows: int = 1, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its axes, row by row."""
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    figure.suptitle(clean(title), x=0.012, ha="left", fontsize=12.5, fontweight="bold")
    return figure, list(axes.flat)


def message_figure(title: str, message: str, palette: Palette) -> Figure:
    """Return a figure that says why there is nothing to show, and what to do about it."""
    figure, (axes,) = new_figure(title)
    axes.set_axis_off()
    axes.text(0.5, 0.5, message, ha="center", va="center", wrap=True, color=palette.faint, fontsize=12)
    return figure


def no_search_figure(evidence: Evidence, palette: Palette) -> Figure:
    """Return what a range test shows where a search would show its trials."""
    message = "This job is a learning-rate range test: it searches nothing.\nSee its own figure, `range_test`."
    return message_figure(title_of("LR range test", evidence), message, palette)


class _LogLocator(LogLocator):
    """Ticks at powers of ten; at 1, 2 and 5 times them too where an axis holds hardly one."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        is_short = 0 < vmin < vmax < 40 * vmin
        ticks = LogLocator(base=10, subs=(1.0, 2.0, 5.0)).tick_values(vmin, vmax) if is_short else None
        return list(super().tick_values(vmin, vmax) if ticks is None else ticks)


def log_axis(axes: Axes, which: str, *, most_ticks: int = 9) -> None:
    """Make an axis logarithmic, with plain numbers on it (0.001, 10,000) instead of powers."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(_LogLocator(base=10, numticks=most_ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


def batch_axis(axes: Axes, sizes: Sequence[float], which: str) -> None:
    """Make an axis of batch sizes logarithmic with base 2, and label the sizes that were tried."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log", base=2)
    shown = sizes if len(sizes) <= 10 else [sizes[int(i)] for i in np.linspace(0, len(sizes) - 1, 8)]
    axis.set_ticks(list(shown), [plain(size) for size in shown])
    axis.set_ticks([], minor=True)


def plain(value: float) -> str:
    """Return a tick's label: 0.001, 0.5, 64, 10,000, 1e-7."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:,.6f}".rstrip("0").rstrip(".")
        return text if text not in ("0", "-0") else f"{value:.0e}"
    mantissa, _, exponent = f"{value:.2g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def title_of(what: str, evidence: Evidence) -> str:
    """Return a figure's title: what it shows, of which job."""
    return f"{what} – {evidence.job_name or evidence.job_id}"


def metric_label(evidence: Evidence, objective: Objective) -> str:
    """Return an axis' label: `train_time_s in s (lower is better)`."""
    unit = evidence.units.get(objective.metric)
    better = "lower" if objective.direction is Direction.MINIMIZE else "higher"
    return clean(objective.metric, longest=40) + (f" in {unit}" if unit else "") + f" ({better} is better)"


def clean(text: str, *, longest: int = 90) -> str:
    """Return a user's text without what could break a label."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"


def value_limits(values: Floats, *, better_low: bool, shown: float = 0.8) -> tuple[float, float] | None:
    """Return limits that show about this share of the values, the better ones: a loss of 1e30 must not flatten them."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    best, ordinary = (
        (float(finite.min()), float(np.quantile(finite, shown)))
        if better_low
        else (float(finite.max()), float(np.quantile(finite, 1 - shown)))
    )
    span = abs(ordinary - best) or abs(best) * 0.1 or 1.0
    worst = float(finite.max() if better_low else finite.min())
    reach = min(abs(worst - best) * 1.06 + span * 0.02, span * 1.6)
    low, high = (best - 0.08 * span, best + reach) if better_low else (best - reach, best + 0.08 * span)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def spans_decades(values: Floats) -> bool:
    """Tell whether values are all positive and spread so far that only a log axis shows them."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and np.quantile(finite, 0.9) > 30 * finite.min())


def scale_values(
    axes: Axes, values: Floats, *, better_low: bool, which: Literal["x", "y"] = "y", shown: float = 0.8
) -> None:
    """Scale an axis to the values: logarithmic where they span decades towards the better end, else around that end."""
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    if better_low and spans_decades(values):
        finite = values[np.isfinite(values)]
        # Limits first: a log axis that still has to find its own trips over a loss of 1e300.
        set_limits(float(finite.min()) / 1.3, min(float(finite.max()) * 1.3, float(finite.min()) * 1e8))
        log_axis(axes, which)
    elif (limits := value_limits(values, better_low=better_low, shown=shown)) is not None:
        set_limits(*limits)


def mark_outside(axes: Axes, x: Floats, color: str, marker: str, *, label: str, at_top: bool) -> None:
    """Mark trials without a value (diverged ones) at the worse edge of the axes."""
    if len(x):
        axes.plot(
            x,
            np.full(len(x), 0.97 if at_top else 0.03),
            transform=axes.get_xaxis_transform(),
            linestyle="none",
            marker=marker,
            markersize=5.5,
            markeredgewidth=1.3,
            color=color,
            alpha=0.8,
            label=label,
            rasterized=len(x) > MOST_VECTOR_POINTS,
        )


def add_legend(figure: Figure, *panels: Axes) -> None:
    """Draw one legend below the panels, where it covers no trial, if there is anything to tell apart."""
    found = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if len(found) > 1:
        fits = sum(len(label) + 7 for label in found) <= _LEGEND_CHARACTERS
        columns = len(found) if fits else math.ceil(len(found) / 2)
        figure.legend(
            found.values(), found.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=9.5
        )


def count_axis(axes: Axes) -> None:
    """Label the x axis with whole numbers: trials, steps."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def _settings(palette: Palette) -> dict[Any, Any]:  # matplotlib types each of its 300 keys
    return {
        "svg.hashsalt": "stepsize",
        "svg.fonttype": "path",
        "text.parse_math": False,  # a parameter may be called `$x`
        "font.family": "DejaVu Sans",  # ships with matplotlib
        "font.size": 10.5,
        "figure.facecolor": palette.background,
        "savefig.facecolor": palette.background,
        "axes.facecolor": palette.background,
        "axes.edgecolor": palette.faint,
        "axes.labelcolor": palette.ink,
        "axes.titlesize": 11,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": palette.grid,
        "grid.linewidth": 0.8,
        "text.color": palette.ink,
        "xtick.color": palette.faint,
        "ytick.color": palette.faint,
        "xtick.labelcolor": palette.ink,
        "ytick.labelcolor": palette.ink,
        "legend.facecolor": palette.background,
        "legend.edgecolor": palette.grid,
        "legend.labelcolor": palette.ink,
        "image.cmap": palette.colormap,
    }
