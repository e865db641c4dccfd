"""The sweeps of range tests on every cell, kept as the product reports them: `make truth` makes them, in minutes.

A sweep may have gone on below where it began: losses stand at the rates of one that has, three times, and are NaN at
those it did not report.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth.data import DATA, TRACES
from benchmarks.truth.tasks import TruthTask
from benchmarks.truth.training import prepared
from stepsize_workers.trainers.base import TRAINING_UPDATES, UNTRAINED_LOSS, Diverged, Sweep

SWEEP = Sweep(low=1e-7, high=10.0, steps=100)
"""The service's own default."""
LONGEST = SWEEP.extended(3)
N_SWEEPS = 12
"""Four range tests of three seeds."""


@dataclass(frozen=True)
class CellSweeps:
    """The sweeps of one cell."""

    losses: NDArray[np.float64]
    """(N_SWEEPS, rates of LONGEST)."""
    untrained: NDArray[np.float64]
    """What the untrained model loses on the same batches, (N_SWEEPS, rates of LONGEST)."""
    training_updates: int


def write_sweeps(task: TruthTask) -> bool:
    """Sweep a task's cells, unless that is kept; return whether there was something to do."""
    path = _path(task)
    if path.exists():
        return False
    arrays: dict[str, NDArray[np.generic]] = {}
    for size in task.batch_sizes:
        swept = [sweep_cell(task, size, seed) for seed in range(N_SWEEPS)]
        for name, row in (("losses", 0), ("untrained", 1)):
            arrays[f"{size}/{name}"] = np.array([curves[row] for curves, _ in swept], dtype=np.float32)
        arrays[f"{size}/updates"] = np.array([updates for _, updates in swept]).max()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)
    return True


def read_sweeps(task: TruthTask) -> dict[int, CellSweeps]:
    """Return what is kept of a task, by batch size."""
    if not _path(task).exists():
        return {}
    with np.load(_path(task)) as saved:
        sizes = sorted(int(name.split("/")[0]) for name in saved.files if name.endswith("/losses"))
        return {
            size: CellSweeps(
                saved[f"{size}/losses"].astype(np.float64),
                saved[f"{size}/untrained"].astype(np.float64),
                int(saved[f"{size}/updates"]),
            )
            for size in sizes
        }


def sweep_cell(task: TruthTask, batch_size: int, seed: int) -> tuple[NDArray[np.float64], int]:
    """Return the losses of one sweep and the untrained model's, (2, rates of LONGEST), and a training's updates."""
    with (
        prepared(task, batch_size=batch_size, learning_rate=SWEEP.low, seed=seed, data_dir=TRACES) as (
            trainer,
            context,
        ),
        suppress(Diverged),
    ):
        trainer.sweep(context, SWEEP)
    curves = np.full((2, LONGEST.steps), math.nan)
    for _, values in context.reports:
        curves[:, _index(values["learning_rate"])] = values["loss"], values[UNTRAINED_LOSS]
    return curves, int(context.reports[0][1][TRAINING_UPDATES]) if context.reports else 0


def _index(rate: float) -> int:
    spacing = math.log10(SWEEP.high / SWEEP.low) / (SWEEP.steps - 1)
    return round(math.log10(rate / LONGEST.low) / spacing)


def _path(task: TruthTask) -> Path:
    return DATA / "sweeps" / f"{task.name}.npz"
