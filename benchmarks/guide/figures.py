"""The guide's own figures, in the service's style."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.guide.answers import schedules, searches
from benchmarks.guide.answers.batch_sizes import batch_choices, exponent
from benchmarks.guide.answers.misconceptions import TARGETS, speed
from benchmarks.guide.answers.rates import best_of
from benchmarks.guide.answers.scans import Choice, choices_of
from benchmarks.guide.experiments import N_SEARCH_1, N_SEARCH_3, SAMPLERS
from benchmarks.guide.results import Results, Run
from benchmarks.guide.statistics import GUESSING, by_rate, difference, estimate, score
from stepsize.analysis.figures.style import (
    Draw,
    Palette,
    add_legend,
    batch_axis,
    count_axis,
    log_axis,
    new_figure,
    plain,
)

LOSS = "validation loss"
RATE = "learning rate"


def all_figures(results: Results) -> dict[str, Draw]:
    """Return every figure by the name of its file."""
    return {
        "curves": lambda palette: curves_figure(results, palette),
        "landscape": lambda palette: landscape_figure(results, palette),
        "speed": lambda palette: speed_figure(results, palette),
        "long": lambda palette: long_figure(results, palette),
        "schedules": lambda palette: schedules_figure(results, palette),
        "searches": lambda palette: searches_figure(results, palette),
        "batch_sizes": lambda palette: batch_figure(results, palette),
        "activations": lambda palette: scans_figure(results, ("activations",), "Activations", palette),
        "data": lambda palette: scans_figure(
            results, ("label_noise", "train_fraction"), "Quality and amount of data", palette
        ),
        "size": lambda palette: scans_figure(results, ("width", "depth"), "Size of the network", palette),
        "regularisation": lambda palette: scans_figure(
            results, ("weight_decay", "dropout", "label_smoothing"), "Regularisation, 314 samples", palette
        ),
    }


def _hues(palette: Palette) -> list[str]:
    return [palette.blue, palette.orange, palette.green, palette.red, palette.purple, palette.faint]


def _loss_axis(axes: Axes, *, lowest: float) -> None:
    """Make a logarithmic axis of losses that ends a little above guessing."""
    log_axis(axes, "y")
    axes.set_ylim(lowest / 1.3, 4.0)
    ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if tick >= lowest / 1.3]
    axes.set_yticks(ticks, [plain(tick) for tick in ticks])
    axes.set_ylabel(LOSS)


def _mark_guessing(axes: Axes, palette: Palette) -> None:
    axes.axhline(GUESSING, color=palette.faint, linewidth=1, linestyle=(0, (2, 3)))
    axes.annotate(
        "guessing", (1.0, GUESSING), xycoords=("axes fraction", "data"), xytext=(-2, 3), textcoords="offset points",
        ha="right", fontsize=9, color=palette.faint,
    )  # fmt: skip


def _mean_curve(runs: Sequence[Run]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Return epochs, and mean, lowest and highest loss of the runs that lasted so long."""
    n = max((len(run.losses) for run in runs), default=0)
    columns = [[run.losses[index] for run in runs if len(run.losses) > index] for index in range(n)]
    means, lows, highs = ([f(column) for column in columns] for f in (fmean, min, max))
    return list(range(1, n + 1)), means, lows, highs


def nearest(rates: Iterable[float], wanted: float) -> float:
    """Return the rate that is nearest on a logarithmic scale."""
    return min(rates, key=lambda rate: abs(math.log(rate / wanted)))


def curves_figure(results: Results, palette: Palette) -> Figure:
    """Return loss by epoch at rates from far too low to far too high: mean and range over seeds."""
    scan = by_rate(results.runs["rates"])
    best = best_of(scan)
    figure, (axes,) = new_figure("Too low, right and too high: loss by epoch")
    names = ("100 times too low", "10 times too low", "best", "10 times too high", "100 times too high")
    hues = [palette.purple, palette.blue, palette.green, palette.orange, palette.red]
    lowest = math.inf
    for power, (name, hue) in enumerate(zip(names, hues, strict=True), start=-2):
        rate = nearest(scan, best * 10.0**power)
        runs = list(scan[rate].values())
        epochs, means, lows, highs = _mean_curve(runs)
        if not epochs:
            continue
        lowest = min(lowest, *lows)
        n_diverged = sum(run.outcome == "diverged" for run in runs)
        note = f", {n_diverged} of {len(runs)} diverged (not drawn)" if n_diverged else ""
        axes.plot(epochs, means, color=hue, linewidth=2, label=f"{plain(float(f'{rate:.2g}'))}: {name}{note}")
        axes.fill_between(epochs, lows, highs, color=hue, alpha=0.15, linewidth=0)
    _loss_axis(axes, lowest=lowest)
    _mark_guessing(axes, palette)
    count_axis(axes)
    axes.set_xlabel("epoch")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
    return figure


def _draw_scan(axes: Axes, runs: Sequence[Run], color: str, label: str, *, band: bool = True) -> float:
    """Draw mean loss against rate with its interval, and return the lowest mean."""
    scan = by_rate(runs)
    found = [estimate(map(score, at.values())) for at in scan.values()]
    rates = list(scan)
    axes.plot(rates, [one.value for one in found], color=color, marker="o", markersize=4, linewidth=1.8, label=label)
    if band:
        axes.fill_between(
            rates,
            [max(one.low, 0.01) for one in found],
            [one.high for one in found],
            color=color,
            alpha=0.15,
            linewidth=0,
        )
    return min(one.value for one in found)


def landscape_figure(results: Results, palette: Palette) -> Figure:
    """Return loss after the last epoch against the rate, and where trainings diverged."""
    runs = results.runs["rates"]
    figure, (axes,) = new_figure(
        f"Loss after the last epoch, mean and 95 % interval of {len({run.seed for run in runs})} seeds"
    )
    lowest = _draw_scan(axes, runs, palette.blue, "mean")
    log_axis(axes, "x")
    _loss_axis(axes, lowest=lowest / 1.4)
    _mark_guessing(axes, palette)
    diverged = [run for run in runs if run.outcome == "diverged"]
    if diverged:
        axes.plot(
            [run.rate for run in diverged], [0.97] * len(diverged), transform=axes.get_xaxis_transform(),
            linestyle="none", marker="x", color=palette.red, label="some diverged, counted as guessing", clip_on=False,
        )  # fmt: skip
    axes.set_xlabel(RATE)
    add_legend(figure, axes)
    return figure


def speed_figure(results: Results, palette: Palette) -> Figure:
    """Return epochs to several accuracies against the rate."""
    scan = by_rate(results.runs["rates"])
    n_epochs = max(len(run.accuracies) for found in scan.values() for run in found.values())
    figure, (axes,) = new_figure("Is higher faster? Median epochs to an accuracy")
    for target, hue in zip(TARGETS, _hues(palette), strict=False):
        found = speed(scan, target)
        never = n_epochs + 1.5
        axes.plot(
            list(found),
            [min(value, never) for value in found.values()],
            color=hue,
            marker="o",
            markersize=5,
            label=f"{100 * target:.0f} %",
        )
    axes.axhline(n_epochs + 0.75, color=palette.faint, linewidth=1, linestyle=(0, (2, 3)))
    axes.set_ylim(0, n_epochs + 2.2)
    axes.set_yticks([*range(2, n_epochs + 1, 2), n_epochs + 1.5], [*map(str, range(2, n_epochs + 1, 2)), "never"])
    log_axis(axes, "x")
    axes.set_xlabel(RATE)
    axes.set_ylabel("epochs")
    add_legend(figure, axes)
    return figure


def long_figure(results: Results, palette: Palette) -> Figure:
    """Return loss against rate after short and long trainings."""
    figure, (axes,) = new_figure("Is lower better, given time?")
    lowest = math.inf
    for name, hue in (("rates", palette.blue), ("long", palette.orange)):
        runs = results.runs[name]
        n_epochs = max(len(run.losses) for run in runs)
        lowest = min(lowest, _draw_scan(axes, runs, hue, f"{n_epochs} epochs", band=False))
    log_axis(axes, "x")
    _loss_axis(axes, lowest=lowest / 1.4)
    _mark_guessing(axes, palette)
    axes.set_xlabel(RATE)
    add_legend(figure, axes)
    return figure


def schedules_figure(results: Results, palette: Palette) -> Figure:
    """Return each schedule's tuned loss minus the constant rate's, with intervals, and their peak rates."""
    choices = schedules.ranked(results)
    gains = schedules.differences(choices)
    names = [str(choice.value) for choice in choices]
    figure, (left, right) = new_figure(
        "Schedules beside a constant rate, each at its best peak rate", columns=2, height=4.8
    )
    for place, choice in enumerate(reversed(choices)):
        gain = gains.get(str(choice.value))
        if gain is None:
            left.plot([0], [place], marker="o", color=palette.faint)
        else:
            paired = difference(choice.losses, _constant(choices).losses)
            hue = palette.green if gain.is_clear and gain.value < 0 else palette.red if gain.is_clear else palette.blue
            left.errorbar([gain.value], [place], xerr=[gain.half], color=hue, elinewidth=1)
            left.errorbar([paired.value], [place], xerr=[paired.half], color=hue, fmt="o", markersize=5, elinewidth=3)
        best = choice.best_rate
        right.errorbar(
            [10**best.value], [place], xerr=[[10**best.value - 10**best.low], [10**best.high - 10**best.value]],
            color=palette.blue, fmt="o", markersize=5, elinewidth=2,
        )  # fmt: skip
    left.axvline(0, color=palette.faint, linewidth=1)
    left.set_yticks(range(len(names)), list(reversed(names)))
    right.set_yticks(range(len(names)), [""] * len(names))
    left.set_xlabel("loss − constant's (lower is better)")
    right.set_xlabel("best peak learning rate")
    log_axis(right, "x")
    right.set_xticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
    right.set_xlim(0.015, 0.7)
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
    return figure


def _constant(choices: Sequence[Choice]) -> Choice:
    return next(choice for choice in choices if choice.value == schedules.BASELINE)


def searches_figure(results: Results, palette: Palette) -> Figure:
    """Return mean best loss so far of each search, over one and over three parameters."""
    figure, panels = new_figure("Best loss so far, mean over seeds", columns=2)
    titles = {1: f"learning rate, {N_SEARCH_1} trials", 3: f"learning rate, momentum, width, {N_SEARCH_3} trials"}
    for axes, (n, title) in zip(panels, titles.items(), strict=True):
        courses = searches.courses_of(results, n)
        lowest = math.inf
        for sampler, hue in zip(SAMPLERS, (palette.orange, palette.green, palette.blue), strict=True):
            _, found = zip(*_means(courses[sampler]), strict=True)
            lowest = min(lowest, *found)
            axes.plot(
                range(1, len(found) + 1), found, color=hue, linewidth=2, label=searches.NAMES[sampler].replace("`", "")
            )
        _loss_axis(axes, lowest=lowest)
        axes.set_title(title, loc="left")
        axes.set_xlabel("trials")
        count_axis(axes)
    _, found_cyclical, _ = searches.best_cyclical(results)
    panels[0].axhline(
        found_cyclical.value, color=palette.purple, linewidth=1.8, linestyle="--", label="one training, cyclical rate"
    )
    panels[1].set_ylabel("")
    add_legend(figure, *panels)
    return figure


def _means(course: Mapping[int, Sequence[float]]) -> list[tuple[int, float]]:
    n = min(len(values) for values in course.values())
    return [(k, fmean(values[k] for values in course.values())) for k in range(n)]


def batch_figure(results: Results, palette: Palette) -> Figure:
    """Return the best rate at each batch size with its interval, and the fitted power."""
    choices = batch_choices(results)
    sizes = [float(choice.value) for choice in choices]
    found = [choice.best_rate for choice in choices]
    power = exponent(choices)
    figure, (axes,) = new_figure("Best learning rate by batch size")
    values = [10**one.value for one in found]
    errors = [[10**one.value - 10**one.low for one in found], [10**one.high - 10**one.value for one in found]]
    axes.errorbar(
        sizes, values, yerr=errors, fmt="o", color=palette.blue, elinewidth=2, label="best rate, 95 % interval"
    )
    middle_x = fmean(math.log10(size) for size in sizes)
    middle_y = fmean(one.value for one in found)
    laws = {
        f"fitted: power {power.value:.2f} ± {power.half:.2f}": (power.value, palette.blue, "-"),
        "square-root rule: power 0.5": (0.5, palette.green, "--"),
        "linear rule: power 1": (1.0, palette.orange, ":"),
    }
    for label, (b, hue, line) in laws.items():
        ends = [10 ** (middle_y + b * (math.log10(size) - middle_x)) for size in sizes]
        axes.plot(sizes, ends, color=hue, linestyle=line, linewidth=1.6, label=label)
    batch_axis(axes, sizes, "x")
    log_axis(axes, "y")
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2]
    axes.set_yticks(ticks, [plain(tick) for tick in ticks])
    axes.set_xlabel("batch size")
    axes.set_ylabel("learning rate")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
    return figure


_PARAMETER = {"activations": "activation"}


def scans_figure(results: Results, experiments: Sequence[str], title: str, palette: Palette) -> Figure:
    """Return a panel for each experiment: loss against rate, a line for each choice."""
    figure, panels = new_figure(title, columns=len(experiments), sharey=True)
    lowest = math.inf
    for axes, experiment in zip(panels, experiments, strict=True):
        name = _PARAMETER.get(experiment, experiment)
        for choice, hue in zip(choices_of(results.runs[experiment], name), _hues(palette), strict=False):
            lowest = min(lowest, _draw_scan(axes, choice.runs, hue, str(choice.value), band=False))
        log_axis(axes, "x")
        axes.set_xlabel(RATE)
        if len(experiments) > 1:
            axes.set_title(name, loc="left")
        axes.legend(frameon=False, fontsize=9, loc="upper center", ncols=2)
    for axes in panels:
        _loss_axis(axes, lowest=lowest)
        axes.set_ylim(top=6.0)
    for axes in panels[1:]:
        axes.set_ylabel("")
    return figure
