"""The sweeps of range tests on every cell, kept like the trainings: `python -m benchmarks.truth.sweeps`, minutes.

Sweeps run on to the highest rate unless the loss becomes no number; what the product's watch would have ended is cut
when they are read.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.truth.data import DATA, TRACES
from benchmarks.truth.inputs import write_inputs
from benchmarks.truth.tasks import TASKS, TruthTask
from benchmarks.truth.training import prepared
from stepsize_workers.trainers.base import Diverged, Sweep
from stepsize_workers.trainers.divergence import SweepWatch

SWEEP = Sweep(low=1e-7, high=10.0, steps=100)
"""The service's own default."""
N_SWEEPS = 12
"""Four range tests of three seeds."""


def sweep_cell(task: TruthTask, batch_size: int, seed: int, sweep: Sweep = SWEEP) -> tuple[float, ...]:
    """Return the loss before the first update and after each one; NaN from where it is no number."""
    began: list[float] = []
    with (
        prepared(task, batch_size=batch_size, learning_rate=sweep.low, seed=seed, data_dir=TRACES) as (
            trainer,
            context,
        ),
        _watch_off(began),
        suppress(Diverged),
    ):
        trainer.sweep(context, sweep)
    losses = [values["loss"] for _, values in context.reports]
    return (*began, *losses, *[math.nan] * (sweep.steps - len(losses)))


def read_sweeps(task: TruthTask) -> dict[int, NDArray[np.float64]]:
    """Return batch size → losses as the product would have reported them, (sweeps, steps); infinite once it ended."""
    with np.load(_path(task)) as saved:
        return {
            int(name): np.array([_cut(row, int(name)) for row in saved[name].astype(float)]) for name in saved.files
        }


def _cut(row: NDArray[np.float64], batch_size: int) -> NDArray[np.float64]:
    watch, losses = SweepWatch(float(row[0]), batch_size=batch_size), row[1:].copy()
    for index, loss in enumerate(losses):
        if not watch.is_finite(float(loss)):
            losses[index:] = np.inf
            break
        if watch.has_exploded(float(loss)):
            losses[index + 1 :] = np.inf
            break
    return losses


@contextmanager
def _watch_off(began: list[float]) -> Iterator[None]:
    begin = SweepWatch.__init__

    def keep(watch: SweepWatch, initial: float, *, batch_size: int) -> None:
        began.append(initial)
        begin(watch, initial, batch_size=batch_size)

    with patch.object(SweepWatch, "__init__", keep), patch.object(SweepWatch, "has_exploded", lambda *_: False):
        yield


def _path(task: TruthTask) -> Path:
    return DATA / "sweeps" / f"{task.name}.npz"


def main() -> None:
    """Sweep every cell that is not kept yet."""
    torch.set_num_threads(1)
    write_inputs(TRACES / "datasets")
    (DATA / "sweeps").mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        if not _path(task).exists():
            swept = {
                str(size): np.array([sweep_cell(task, size, seed) for seed in range(N_SWEEPS)], dtype=np.float32)
                for size in task.batch_sizes
            }
            np.savez_compressed(_path(task), **swept)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
