"""The kept trainings: one small .npz a task in `data/`, and every loss of them beside it in `build/truth/`.

Arrays of a cell have shape (rates, MOST_SEEDS): every rate is trained with N_SEEDS seeds, those near the best one with
more where the mean would not be known well enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth.tasks import MOST_SEEDS, N_SEEDS, TruthTask

DATA = Path(__file__).parent / "data"
TRACES = Path("build") / "truth"
UNTRAINED = -1


@dataclass(frozen=True)
class CellData:
    """The trainings of one task at one batch size."""

    values: Mapping[str, NDArray[np.float32]]
    """Metric → its value at the end of each training; NaN where the loss became no number, or nothing was trained."""
    diverged: NDArray[np.int16]
    """The epoch in which the product's rule would have ended each training; 0: it would have run to its end; UNTRAINED:
    there was none."""
    time_s: NDArray[np.float32]
    """Seconds spent in updates."""

    @property
    def is_complete(self) -> bool:
        """Whether every rate has all seeds it must have."""
        return bool(self.trained[:, :N_SEEDS].all())

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Which trainings there are."""
        return np.not_equal(self.diverged, UNTRAINED)


def read_cells(task: TruthTask) -> dict[int, CellData]:
    """Return what is kept of a task: batch size → its trainings."""
    path = _path(task)
    if not path.exists():
        return {}
    with np.load(path) as saved:
        arrays = {name: saved[name] for name in saved.files}
    if len(arrays["rates"]) != len(task.rates) or not np.allclose(arrays["rates"], task.rates, rtol=1e-5):
        raise ValueError(f"{path} was trained at other rates; remove it")
    cells: dict[int, CellData] = {}
    for size in task.batch_sizes:
        mine = {name.split("/")[1]: array for name, array in arrays.items() if name.startswith(f"{size}/")}
        if mine:
            diverged, time_s = mine.pop("diverged"), mine.pop("time_s")
            cells[size] = _padded(CellData(mine, diverged, time_s))
    return cells


def write_cells(task: TruthTask, cells: Mapping[int, CellData]) -> None:
    """Keep a task's trainings; the file is replaced at once."""
    arrays: dict[str, NDArray[np.generic]] = {"rates": np.array(task.rates)}
    for size, cell in cells.items():
        arrays |= {f"{size}/{name}": array for name, array in cell.values.items()}
        arrays |= {f"{size}/diverged": cell.diverged, f"{size}/time_s": cell.time_s}
    DATA.mkdir(exist_ok=True)
    partial = DATA / f".{task.name}.npz"
    np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(_path(task))


def empty_cell(task: TruthTask, metrics: tuple[str, ...]) -> CellData:
    """Return a cell of which nothing is trained."""
    shape = (len(task.rates), MOST_SEEDS)
    values = {metric: np.full(shape, np.nan, dtype=np.float32) for metric in metrics}
    return CellData(values, np.full(shape, UNTRAINED, dtype=np.int16), np.zeros(shape, dtype=np.float32))


Traces = dict[tuple[int, int], NDArray[np.float32]]
"""(Index of the rate, seed) → training loss of each update."""


def read_traces(task: TruthTask, batch_size: int) -> Traces:
    """Return every training loss of a cell, as far as this machine trained it."""
    path = _trace_path(task, batch_size)
    if not path.exists():
        return {}
    with np.load(path) as saved:
        names = [name for name in saved.files if "/" in name]
        return {(int(name.split("/")[0]), int(name.split("/")[1])): saved[name] for name in names}


def write_traces(task: TruthTask, batch_size: int, traces: Traces) -> None:
    """Keep them on this machine: they are too large for the repository."""
    TRACES.mkdir(parents=True, exist_ok=True)
    path = _trace_path(task, batch_size)
    partial = path.with_name(f".{path.name}")
    np.savez_compressed(partial, **{f"{row}/{seed}": losses for (row, seed), losses in traces.items()})  # type: ignore[arg-type]
    partial.replace(path)


def _trace_path(task: TruthTask, batch_size: int) -> Path:
    return TRACES / f"{task.name}-{batch_size}.npz"


def _padded(cell: CellData) -> CellData:
    """Return a cell with room for all seeds."""
    missing = ((0, 0), (0, MOST_SEEDS - cell.diverged.shape[1]))
    return CellData(
        {name: np.pad(array, missing, constant_values=np.nan) for name, array in cell.values.items()},
        np.pad(cell.diverged, missing, constant_values=UNTRAINED),
        np.pad(cell.time_s, missing),
    )


def _path(task: TruthTask) -> Path:
    return DATA / f"{task.name}.npz"
