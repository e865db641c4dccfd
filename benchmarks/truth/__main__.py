"""Trains every cell that is not kept yet: `make truth`. Hours on one core; stop it at any time, it goes on from there.

Each cell is kept when it is complete. `--scout` trains one seed at every third rate and prints what a cell looks like.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.truth.data import (
    TRACES,
    CellData,
    Traces,
    empty_cell,
    read_cells,
    read_traces,
    write_cells,
    write_traces,
)
from benchmarks.truth.inputs import write_inputs
from benchmarks.truth.judging import diverged_in, untrained_losses
from benchmarks.truth.sweeps import write_sweeps
from benchmarks.truth.tasks import MOST_SEEDS, N_SEEDS, TASKS, Length, TruthTask, find_task
from benchmarks.truth.training import Training, train
from benchmarks.truth.valleys import make_valley

_FEW_SEEDS = 3
_MORE = 16
"""Seeds added at once."""


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("tasks", nargs="*", help="names of tasks; all without any")
    parser.add_argument("--scout", action="store_true", help="look at the tasks, and keep nothing")
    parser.add_argument("--sketch", action="store_true", help="train a few seeds at every second rate only")
    parser.add_argument("--judge", action="store_true", help="judge anew which of the kept trainings diverged")
    args = parser.parse_args()
    torch.set_num_threads(1)
    write_inputs(TRACES / "datasets")
    tasks = [find_task(name) for name in args.tasks] or list(TASKS)
    cells = [(task, batch_size) for task in tasks for batch_size in task.batch_sizes]
    if args.scout:
        for cell in cells:
            scout(*cell)
        return
    if args.judge:
        for cell in cells:
            judge_again(*cell)
        return
    for task in tasks:
        if write_sweeps(task):
            say(f"{task.name}: swept")
    cells.sort(key=lambda cell: rank(*cell))  # the most cells for an hour first
    for work in (sketch,) if args.sketch else (complete, thicken):
        for cell in cells:
            work(*cell)


def rank(task: TruthTask, batch_size: int) -> int:
    """Return when a cell's turn is: small batches and long trainings take longest."""
    larger = sum(size > batch_size for size in task.batch_sizes)
    return max(0, larger - 2) + (task.length is Length.LONG)


def sketch(task: TruthTask, batch_size: int) -> None:
    """Train a few seeds at every second rate of a cell, unless there is more: they show where its best rate is."""
    if batch_size not in read_cells(task):
        few = [(row, seed) for row in range(0, len(task.rates), 2) for seed in range(_FEW_SEEDS)]
        train_and_keep(task, batch_size, empty_cell(task, task.metrics), few)


def complete(task: TruthTask, batch_size: int) -> None:
    """Train a cell with N_SEEDS seeds at every rate, as far as they are not kept."""
    cell = read_cells(task).get(batch_size) or empty_cell(task, task.metrics)
    missing = [(int(row), int(seed)) for row, seed in np.argwhere(~cell.trained[:, :N_SEEDS])]
    if missing:
        train_and_keep(task, batch_size, cell, missing)


def thicken(task: TruthTask, batch_size: int) -> None:
    """Train more seeds at rates that may be best until the best one is known well enough, or there are MOST_SEEDS."""
    for n_seeds in range(N_SEEDS + _MORE, MOST_SEEDS + 1, _MORE):
        cell = read_cells(task)[batch_size]
        valleys = [make_valley(task, batch_size, metric, cell) for metric in cell.values]
        unsure = [valley.may_be_best for valley in valleys if not valley.is_dense]
        rows = np.flatnonzero(np.any(unsure, axis=0)).tolist() if unsure else []
        missing = [(row, seed) for row in rows for seed in range(n_seeds) if not cell.trained[row, seed]]
        if missing:
            train_and_keep(task, batch_size, cell, missing)


def train_and_keep(task: TruthTask, batch_size: int, cell: CellData, missing: Sequence[tuple[int, int]]) -> None:
    """Train some (rate, seed) of a cell, and keep them with the rest."""
    began, began_cpu = time.perf_counter(), time.process_time()
    traces = read_traces(task, batch_size) if cell.trained.any() else {}
    for row, seed in missing:
        done = train(task, batch_size=batch_size, learning_rate=task.rates[row], seed=seed, data_dir=TRACES)
        if np.isfinite(done.losses).all():
            for metric in task.metrics:
                cell.values[metric][row, seed] = done.values[metric]
        cell.time_s[row, seed] = done.time_s
        traces[row, seed] = done.losses
    judge(task, batch_size, cell, traces)
    write_traces(task, batch_size, traces)
    write_cells(task, {**read_cells(task), batch_size: cell})
    say(
        f"{task.name} {batch_size}: {len(missing)} trainings in {time.perf_counter() - began:.0f} s "
        f"({time.process_time() - began_cpu:.0f} s of a core)"
    )


def judge(task: TruthTask, batch_size: int, cell: CellData, traces: Traces) -> None:
    """Write into a cell which trainings the product would have ended, by its rule of today."""
    updates, untrained = updates_per_epoch(task, list(traces.values())), untrained_losses(traces, batch_size)
    for (row, seed), losses in traces.items():
        cell.diverged[row, seed] = diverged_in(
            losses.tolist(), updates, batch_size=batch_size, untrained=untrained[seed]
        )


def judge_again(task: TruthTask, batch_size: int) -> None:
    """Judge the trainings that this machine made by the product's rule of today."""
    cell, traces = read_cells(task).get(batch_size), read_traces(task, batch_size)
    if cell is not None and traces:
        before = int((cell.diverged > 0).sum())
        judge(task, batch_size, cell, traces)
        write_cells(task, {**read_cells(task), batch_size: cell})
        say(f"{task.name} {batch_size}: {before} diverged before, {int((cell.diverged > 0).sum())} now")


def updates_per_epoch(task: TruthTask, traces: Sequence[np.ndarray]) -> int:
    """Return it from the longest training, which ran to its end."""
    epochs = task.params["epochs"]
    assert isinstance(epochs, int)
    return max(map(len, traces)) // epochs


def scout(task: TruthTask, batch_size: int) -> None:
    """Print one training at every third rate."""
    began = time.process_time()
    done: list[tuple[float, Training]] = [
        (rate, train(task, batch_size=batch_size, learning_rate=rate, seed=0, data_dir=TRACES))
        for rate in task.rates[::3]
    ]
    ms = 1000 * (time.process_time() - began) / len(done)
    shown = "  ".join(f"{rate:.1e}:{one.values.get('val_loss', np.nan):.3g}" for rate, one in done)
    say(f"{task.name} {batch_size} {ms:.0f} ms: {shown}")


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
