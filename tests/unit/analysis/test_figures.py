"""Figures: they exist for every job, are the same bytes each time, and survive what users call things."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from PIL import Image

from stepsize.analysis.figures.rates import heatmap_figure, range_test_figure, schedule_figure, sensitivity_figure
from stepsize.analysis.figures.style import LIGHT, Draw, Palette, log_axis, new_figure, no_search_figure, plain, render
from stepsize.analysis.figures.trials import (
    curves_figure,
    history_figure,
    importances_figure,
    pareto_figure,
    slice_figure,
)
from stepsize.analysis.findings import find
from stepsize.analysis.importances import importances
from stepsize.analysis.sample import make_sample
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Curve, Evidence
from stepsize.domain.range_test import RangeTestCurve, RangeTestFindings, RangeTestResult
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import CategoricalParameter
from tests.unit.analysis.designs import SPACE, evidence, trial, valley_evidence

FIGURES: dict[str, Callable[[Evidence, Palette], Figure]] = {
    "history": lambda found, palette: history_figure(make_sample(found), found, palette),
    "slice": lambda found, palette: slice_figure(make_sample(found), found, palette),
    "curves": lambda found, palette: curves_figure(_curves(found), len(found.trials.number), found, palette),
    "heatmap": lambda found, palette: heatmap_figure(find(make_sample(found), found), found, palette),
    "sensitivity": lambda found, palette: sensitivity_figure(find(make_sample(found), found), found, palette),
    "importances": lambda found, palette: importances_figure(importances(make_sample(found), found), found, palette),
    "pareto": pareto_figure,
}


def _curves(found: Evidence) -> list[Curve]:
    trials = found.trials
    return [
        Curve(number, state, reason, [1, 2, 3], [3.0, 2.0, 1.0])
        for number, state, reason in zip(trials.number[:20], trials.state, trials.reason, strict=False)
    ]


def _mixed() -> Evidence:
    """Everything that can be: names in markup, diverged and pruned trials, two objectives, absurd values."""
    space = {**SPACE, "$opt_{i}mizer^": CategoricalParameter(type="categorical", choices=["$sgd$", "ädam\n", True])}
    base = valley_evidence(40)
    trials = [
        trial({**params, "$opt_{i}mizer^": ["$sgd$", "ädam\n", True][row % 3]}, seconds=float(row), **values)
        for row, (params, values) in enumerate(zip(base.trials.params, base.trials.values, strict=True))
    ]
    trials += [trial({"learning_rate": 1.0, "batch_size": 64}, state="infeasible", reason="diverged") for _ in range(5)]
    trials += [trial({"learning_rate": 0.5, "batch_size": 16}, state="pruned", step=1, loss=3.0, seconds=1.0)]
    trials += [trial({"learning_rate": 0.9, "batch_size": 16}, loss=1e300, seconds=1.0)]
    objectives = tuple(Objective(metric=name, direction=Direction.MINIMIZE) for name in ("loss", "seconds"))
    return evidence(trials, space=space, objectives=objectives, job_name="$x^{2}$ <b> 学")


def _drawing(kind: str, found: Evidence) -> Draw:
    return lambda palette: FIGURES[kind](found, palette)


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("found", [_mixed(), valley_evidence(0), valley_evidence(1)], ids=["mixed", "none", "one"])
def test_every_figure_is_drawn_for_every_job(kind: str, found: Evidence) -> None:
    svg = render(_drawing(kind, found), image_format="svg", theme="light")

    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    assert b"<dc:date>" not in svg


@pytest.mark.parametrize("kind", ["history", "heatmap"])
def test_a_figure_is_the_same_bytes_each_time(kind: str) -> None:
    drawn = [render(_drawing(kind, valley_evidence(40)), image_format="svg", theme="light") for _ in range(2)]

    assert drawn[0] == drawn[1]


def test_a_png_is_wide_enough_for_a_page_and_dark_where_asked() -> None:
    light, dark = (
        Image.open(io.BytesIO(render(_drawing("sensitivity", valley_evidence(40)), image_format="png", theme=theme)))
        for theme in ("light", "dark")
    )

    assert light.width == dark.width == 1600
    assert light.convert("L").getpixel((2, 2)) == 255
    corner = dark.convert("L").getpixel((2, 2))
    assert isinstance(corner, int)
    assert corner < 40


@pytest.mark.parametrize("kind", ["slice", "heatmap"])
def test_no_tick_runs_into_the_next(kind: str) -> None:
    assert _colliding_ticks(FIGURES[kind](_mixed(), LIGHT)) == []


def _colliding_ticks(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of neighbouring labels of an x axis that overlap as drawn."""
    figure.draw_without_rendering()
    collisions = []
    for axes in figure.axes:
        low, high = sorted(axes.get_xlim())
        shown = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
        for left, right in pairwise(shown):
            if left.get_window_extent().x1 > right.get_window_extent().x0:
                collisions.append((left.get_text(), right.get_text()))
    return collisions


def test_axes_say_what_they_measure_in_which_unit() -> None:
    found = replace(valley_evidence(40), units={"loss": "nats"}, step_unit="epoch")

    labels = {kind: FIGURES[kind](found, LIGHT).axes[0] for kind in ("history", "curves", "heatmap")}

    assert labels["history"].get_ylabel() == "loss in nats (lower is better)"
    assert labels["curves"].get_xlabel() == "epoch"
    assert (labels["heatmap"].get_xlabel(), labels["heatmap"].get_ylabel()) == ("learning rate", "batch size (samples)")


def test_the_trials_of_a_grid_stand_in_the_middle_of_their_tiles() -> None:
    rates, sizes = (1e-3, 1e-2, 1e-1), (16, 64)
    grid = [trial({"learning_rate": rate, "batch_size": size}, loss=rate * size) for rate in rates for size in sizes]

    axes = FIGURES["heatmap"](evidence(grid), LIGHT).axes[0]

    filled = []
    for row in [found for found in axes.collections if isinstance(found, QuadMesh)]:
        corners = np.log2(row.get_coordinates())  # shape (2, columns + 1, 2), x before y
        middles = (corners[1, 1:] + corners[0, :-1]) / 2
        filled += list(middles[~np.ma.getmaskarray(np.ma.asarray(row.get_array())).ravel()])
    expected = [(np.log2(rate), np.log2(size)) for size in sizes for rate in rates]
    np.testing.assert_allclose(filled, expected, atol=1e-9)  # rounding alone


@pytest.mark.parametrize(("low", "high", "n"), [(0.02, 0.08, 2), (1e-5, 1.0, 3)])
def test_a_log_axis_has_ticks_however_short_it_is(low: float, high: float, n: int) -> None:
    _, (axes,) = new_figure("")
    log_axis(axes, "x")
    axes.set_xlim(low, high)

    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]

    assert n <= len(shown) <= 9


def test_a_search_is_not_looked_for_in_a_range_test() -> None:
    svg = render(partial(no_search_figure, evidence([])), image_format="svg", theme="light")

    assert ET.fromstring(svg).tag.endswith("svg")


def test_many_trials_do_not_make_a_huge_svg() -> None:
    svg = render(_drawing("history", valley_evidence(5000)), image_format="svg", theme="light")

    assert len(svg) < 400_000, "as vectors it would be over a megabyte"


def test_a_range_test_is_drawn_with_its_rates_and_without_findings() -> None:
    rate = [10 ** (-5 + step / 10) for step in range(60)]
    loss = [2.3 - min(step, 40) / 30 + max(0, step - 50) for step in range(60)]
    curve = RangeTestCurve(learning_rate=rate, losses=[loss, loss[:55]], smoothed=[*loss[:55], *[None] * 5])
    estimate = Estimate(value=1e-2, low=5e-3, high=2e-2)
    result = RangeTestResult(batch_size=32, low=estimate, suggestion=estimate, high=None, curve=curve)
    refused = result.model_copy(update={"batch_size": 64, "suggestion": None, "inconclusive": "no descent"})
    findings = RangeTestFindings(sweep_low=1e-5, sweep_high=10.0, results=[result, refused])

    for found in (evidence([], range_test=findings), evidence([])):
        svg = render(partial(range_test_figure, found), image_format="svg", theme="light")
        assert ET.fromstring(svg).tag.endswith("svg")
    figure = range_test_figure(evidence([], range_test=findings), LIGHT)
    assert _colliding_ticks(figure) == []


def test_an_interval_over_all_rates_does_not_hide_the_sweep_it_comes_from() -> None:
    rate = [10 ** (-5 + step / 10) for step in range(60)]
    curve = RangeTestCurve(learning_rate=rate, losses=[[2.0] * 60], smoothed=[2.0] * 60)
    wide = Estimate(value=1e-3, low=1e-25, high=1e19)
    result = RangeTestResult(batch_size=32, low=wide, suggestion=wide, high=wide, curve=curve)
    findings = RangeTestFindings(sweep_low=1e-5, sweep_high=10.0, results=[result])

    low, high = range_test_figure(evidence([], range_test=findings), LIGHT).axes[0].get_xlim()

    assert low > 1e-6
    assert high < 100


def test_a_schedule_is_drawn() -> None:
    svg = render(
        lambda palette: schedule_figure("cosine", range(100), [1.0 - step / 99 for step in range(100)], palette),
        image_format="svg",
        theme="dark",
    )

    assert ET.fromstring(svg).tag.endswith("svg")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001, "0.001"), (1e-5, "1e-5"), (0.5, "0.5"), (64.0, "64"), (10000.0, "10,000"), (0.0, "0"), (1e9, "1e9")],
)
def test_ticks_are_plain_numbers(value: float, text: str) -> None:
    assert plain(value) == text
