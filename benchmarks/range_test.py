"""The LR range test beside full trainings: do its bounds hold the best rate, and how near are its suggestions?

`make bench-range-test` prints three tables and one JSON line; about fifteen minutes on one core, nothing is cached.

1. Over cells of data set × model × optimiser × batch size, the best rate of full (short) trainings on a dense grid, 3
   seeds each, beside [low, high] of range tests with 3 seeds.
2. The distance of every rule from that best rate, in decades, beside Lightning's rule on the same sweeps.
3. How many trials a search needs to come within 1 % of the best known accuracy, with the bounds of range tests, with
   the trainer's default bounds, and with the range of the sweep itself; 10 seeds.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.orchestration import print_table
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.range_test import RangeTestRule
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize_workers.search import Search
from stepsize_workers.trainers.base import Diverged, Params, Sweep, Trainer
from stepsize_workers.trainers.registry import load_trainer
from stepsize_workers.training.range_test import RULES, Array, find_edge, find_low, smooth
from tests.fakes import RecordingContext

SWEEP = Sweep(low=1e-7, high=10.0, steps=100)
RATES: Array = np.array([SWEEP.rate(step) for step in range(1, SWEEP.steps + 1)])
N_SEEDS = 3
GRID = [10 ** (quarter / 4) for quarter in range(-16, 5)]
"""Rates of the full trainings: four a decade from 1e-4 to 10."""
N_SEARCH_SEEDS = 10
N_SEARCH_TRIALS = 20
WORST_LOSS = 10.0
"""What a training that diverged counts as; none that did not comes near it."""

Values = Mapping[str, float]


@dataclass(frozen=True)
class Cell:
    """One thing to train."""

    trainer: str
    params: Mapping[str, Scalar]

    @property
    def label(self) -> str:
        names = ("dataset", "model", "optimizer", "batch_size")
        return " ".join(str(self.params[name]) for name in names if name in self.params)


def all_cells() -> list[Cell]:
    """Return the cells: momentum 0.9 under sgd and every other parameter at its default, too."""
    cells: list[Cell] = []
    for optimizer in ("sgd", "adam"):
        for model in ("mlp", "cnn"):
            for batch_size in (16, 128):
                digits: dict[str, Scalar] = {
                    "dataset": "digits",
                    "model": model,
                    "batch_size": batch_size,
                    "epochs": 10,
                }
                cells.append(Cell("image_classifier", digits | {"optimizer": optimizer}))
            mnist: dict[str, Scalar] = {"dataset": "mnist5k", "model": model, "epochs": 8, "train_fraction": 0.3}
            cells.append(Cell("image_classifier", mnist | {"batch_size": 64, "optimizer": optimizer}))
        for batch_size in (16, 64):
            table: dict[str, Scalar] = {
                "dataset": "breast_cancer",
                "model": "mlp",
                "batch_size": batch_size,
                "epochs": 10,
            }
            cells.append(Cell("tabular_classifier", table | {"optimizer": optimizer}))
    return cells


@dataclass
class QuietContext(RecordingContext[Params]):
    """Keeps reports and nothing on disk but the last model."""

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        """Skip it: no training here is interrupted."""


@dataclass(frozen=True)
class Lab:
    """Trains and sweeps cells in one directory."""

    directory: Path

    def train(self, cell: Cell, *, seed: int, **params: Scalar) -> Values | None:
        """Return the last epoch's measurements; None: the training diverged."""
        trainer, context = self._prepare(cell, seed, params)
        try:
            trainer.train(context)
        except Diverged:
            return None
        return context.reports[-1][1]

    def sweep(self, cell: Cell, *, seed: int) -> Array:
        """Return the losses of a sweep, infinite once it has exploded; shape (SWEEP.steps,)."""
        trainer, context = self._prepare(cell, seed, {})
        trainer.sweep(context, SWEEP)
        losses = np.full(SWEEP.steps, np.inf)
        losses[: len(context.reports)] = [values["loss"] for _, values in context.reports]
        return losses

    def _prepare(self, cell: Cell, seed: int, params: Mapping[str, Scalar]) -> tuple[Trainer[Params], QuietContext]:
        trainer = load_trainer(cell.trainer)
        chosen = trainer.Params.model_validate({**cell.params, **params})
        return trainer(), QuietContext(params=chosen, directory=self.directory, data_dir=self.directory, seed=seed)


# -- the best rate ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Landscape:
    """Full trainings of a cell over the grid: mean log of the last validation loss over seeds."""

    mean_log_losses: list[float]

    @property
    def best(self) -> float:
        """log10 of the best rate: the vertex of the parabola through the lowest point and its neighbours."""
        index = int(np.argmin(self.mean_log_losses))
        here = math.log10(GRID[index])
        if not 0 < index < len(GRID) - 1:
            return here
        below, at, above = self.mean_log_losses[index - 1 : index + 2]
        shift = (below - above) / (2 * (below - 2 * at + above))
        return here + min(max(shift, -0.5), 0.5) / 4


def measure_landscape(lab: Lab, cell: Cell) -> Landscape:
    return Landscape(
        [float(np.mean([_log_loss(lab.train(cell, seed=seed, learning_rate=rate)) for seed in range(N_SEEDS)]))
         for rate in GRID]
    )  # fmt: skip


def _log_loss(values: Values | None) -> float:
    return math.log(WORST_LOSS if values is None else min(values["val_loss"], WORST_LOSS))


# -- what range tests say --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """log10 of a range test's bounds: geometric means over seeds, as the service gives them."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


def read_bounds(sweeps: Sequence[Array]) -> Bounds:
    curves = [smooth(RATES, losses) for losses in sweeps]
    edges = [find_edge(curve) or SWEEP.high for curve in curves]
    return Bounds(_mean_decades([find_low(curve) for curve in curves]), _mean_decades(edges))


def suggestions(sweeps: Sequence[Array]) -> dict[str, float]:
    """Return log10 of every rule's suggestion."""
    curves = [smooth(RATES, losses) for losses in sweeps]
    ours = {f"{rule}": _mean_decades([RULES[rule](curve) for curve in curves]) for rule in RangeTestRule}
    return ours | {
        "Lightning, against lr": _mean_decades([lightning(losses, per_point=False) for losses in sweeps]),
        "Lightning, per point": _mean_decades([lightning(losses, per_point=True) for losses in sweeps]),
    }


def lightning(losses: Array, *, per_point: bool) -> float:
    """Return what PyTorch Lightning's finder suggests: the steepest point of a one-sided average of the loss.

    Args:
        per_point: differentiate against the index of the point, as some of its versions do, not against lr.
    """
    decay, skip_first, skip_last, stop_at = 0.98, 10, 1, 4.0
    average, smoothed, lowest = 0.0, [], math.inf
    for step, loss in enumerate(losses[np.isfinite(losses)], start=1):
        average = decay * average + (1 - decay) * float(loss)
        smoothed.append(average / (1 - decay**step))
        if step > 1 and smoothed[-1] > stop_at * lowest:
            break
        lowest = min(lowest, smoothed[-1])
    kept = np.array(smoothed[skip_first:-skip_last])
    slope = np.gradient(kept) if per_point else np.gradient(kept, RATES[skip_first : skip_first + len(kept)])
    return float(RATES[skip_first + int(np.argmin(slope))])


def _mean_decades(rates: Sequence[float]) -> float:
    return float(np.mean(np.log10(rates)))


# -- searches --------------------------------------------------------------------------------------------------------

SEARCH_CELLS = [
    Cell("image_classifier", {"dataset": "digits", "model": "mlp", "optimizer": optimizer, "epochs": 4})
    for optimizer in ("sgd", "adam")
]
BATCH_SIZES = (16, 32, 64, 128, 256)


@dataclass
class Searched:
    """One search: the best accuracy after each trial, and how many trials diverged."""

    best_so_far: list[float] = field(default_factory=list)
    n_diverged: int = 0

    def trials_to(self, accuracy: float) -> float:
        """Return how many trials it took; infinite if it never came there."""
        return next((n for n, best in enumerate(self.best_so_far, start=1) if best >= accuracy), math.inf)


def search(lab: Lab, cell: Cell, bounds: tuple[float, float], *, seed: int) -> Searched:
    """Search learning rate × batch size by TPE, as a worker does."""
    searcher = Search("bench", _search_spec(cell, bounds, seed))
    found = Searched()
    best, worst = 0.0, 0.0
    for number in range(N_SEARCH_TRIALS):
        proposal = searcher.propose(number)
        assert proposal is not None, "a continuous space has no end"
        searcher.open(number, proposal)
        values = lab.train(cell, seed=seed, **proposal.params)
        if values is None:
            found.n_diverged += 1
            searcher.close(number, TrialState.INFEASIBLE, [worst], reason=TrialReason.DIVERGED)
        else:
            accuracy = values["val_accuracy"]
            best, worst = max(best, accuracy), min(worst, accuracy) if best else accuracy
            searcher.close(number, TrialState.COMPLETED, [accuracy])
        found.best_so_far.append(best)
    return found


def _search_spec(cell: Cell, bounds: tuple[float, float], seed: int) -> ResolvedJobSpec:
    return ResolvedJobSpec.model_validate(
        {
            "trainer": {"name": cell.trainer, "version": "1"},
            "search_space": {
                "learning_rate": {"type": "float", "low": bounds[0], "high": bounds[1], "log": True},
                "batch_size": {"type": "int", "low": BATCH_SIZES[0], "high": BATCH_SIZES[-1], "powers_of_two": True},
            },
            "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
            "sampler": {"name": "tpe", "seed": seed},
            "budget": {"max_trials": N_SEARCH_TRIALS},
        }
    )


def union_of_bounds(lab: Lab, cell: Cell, *, seed: int) -> tuple[float, float]:
    """Return the bounds a job with `range_test: true` takes: over all its batch sizes, three sweeps each."""
    found = [
        read_bounds([lab.sweep(Cell(cell.trainer, {**cell.params, "batch_size": size}), seed=1000 * seed + index)
                     for index in range(N_SEEDS)])
        for size in BATCH_SIZES
    ]  # fmt: skip
    return 10 ** min(one.low for one in found), 10 ** max(one.high for one in found)


def say(progress: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(f"{progress}\n")


# -- tables ----------------------------------------------------------------------------------------------------------


def measure_cells(lab: Lab, cells: Sequence[Cell]) -> dict[str, object]:
    """Print the first two tables; return their summary."""
    rows: list[list[str]] = []
    distances: dict[str, list[float]] = {}
    widths, n_inside = [], 0
    for cell in cells:
        say(cell.label)
        best = measure_landscape(lab, cell).best
        sweeps = [lab.sweep(cell, seed=seed) for seed in range(N_SEEDS)]
        bounds, suggested = read_bounds(sweeps), suggestions(sweeps)
        is_inside = bounds.low <= best <= bounds.high
        n_inside += is_inside
        widths.append(bounds.width)
        for name, decades in suggested.items():
            distances.setdefault(name, []).append(decades - best)
        rates = (f"{10**decades:.2g}" for decades in (best, bounds.low, bounds.high, suggested["steepest"]))
        rows.append([cell.label, *rates, f"{bounds.width:.2f}", "yes" if is_inside else "NO"])
    print_table(("cell", "best rate", "low", "high", "steepest", "width, decades", "best inside"), rows)
    print_table(
        ("rule", "distance, median", "distance, worst", "offset, median"),
        [
            [name, f"{median(map(abs, found)):.2f}", f"{max(map(abs, found)):.2f}", f"{median(found):+.2f}"]
            for name, found in distances.items()
        ],
    )
    return {
        "cells": len(cells),
        "inside": n_inside,
        "median_width": median(widths),
        "median_distance": {name: median(map(abs, found)) for name, found in distances.items()},
    }


def measure_searches(lab: Lab) -> dict[str, object]:
    """Print the third table; return its summary."""
    rows: list[list[str]] = []
    summary: dict[str, object] = {}
    for cell in SEARCH_CELLS:
        found: dict[str, list[Searched]] = {}
        for seed in range(N_SEARCH_SEEDS):
            say(f"{cell.label}, seed {seed}")
            for name, bounds in _search_bounds(lab, cell, seed):
                found.setdefault(name, []).append(search(lab, cell, bounds, seed=seed))
        # The best known with each seed, by whichever search: all of them train with the same seed.
        targets = [
            0.99 * max(one.best_so_far[-1] for one in same_seed) for same_seed in zip(*found.values(), strict=True)
        ]
        for name, searched in found.items():
            needed = [one.trials_to(target) for one, target in zip(searched, targets, strict=True)]
            n_diverged = sum(one.n_diverged for one in searched)
            share = n_diverged / N_SEARCH_TRIALS / N_SEARCH_SEEDS
            rows.append([cell.label, name, _count(median(needed)), _count(max(needed)), f"{share:.0%}"])
            summary[f"{cell.params['optimizer']}, {name}"] = _count(median(needed))
    print_table(("task", "learning rate", "trials to 1 %, median", "worst", "diverged"), rows)
    return summary


def _count(n_trials: float) -> str:
    return f"{n_trials:g}" if math.isfinite(n_trials) else f"> {N_SEARCH_TRIALS}"


def _search_bounds(lab: Lab, cell: Cell, seed: int) -> Iterator[tuple[str, tuple[float, float]]]:
    yield "range_test: true", union_of_bounds(lab, cell, seed=seed)
    yield "default, 1e-4 to 1", (1e-4, 1.0)
    yield "the sweep's, 1e-7 to 10", (SWEEP.low, SWEEP.high)


def main() -> None:
    """Measure everything and print three tables and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.range_test", description=__doc__)
    parser.add_argument("--part", choices=("cells", "searches"), help="only the first two tables, or only the third")
    part = parser.parse_args().part
    torch.set_num_threads(1)
    summary: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        if part != "searches":
            summary |= measure_cells(lab, all_cells())
        if part != "cells":
            summary["trials_to_1_percent"] = measure_searches(lab)
    print(json.dumps(summary))  # noqa: T201


if __name__ == "__main__":
    main()
