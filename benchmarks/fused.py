"""Updates a second of trainings that train as one, beside the same trainings one after another on the same core.

`make bench-fused`: about three minutes. What counts is the ratio: members' updates a second together, over updates a
second alone. On a CPU seconds are those this process had of it, so that a busy machine blurs less. On a GPU
(`benchmarks/fused_gpu.sh`) they are the clock's, and K processes that share it are measured too.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize_workers.training.devices import use_device
from stepsize_workers.training.fused.joint_run import JointRun
from stepsize_workers.training.models import Sizes, build_model
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.run import Run
from stepsize_workers.training.task import Metrics, Task

_N_CLASSES = 10
_VOCABULARY = 84
_UPDATES_A_LOOK = 8
"""As in the loop of groups."""
_WINDOWS = 2
_WARM_UP = 16
"""Updates that nobody counts."""
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Cell:
    """A training to measure."""

    model: str
    batch_size: int
    width: int
    depth: int
    side: int = 28
    """Of an image, or tokens of a sample."""
    optimizer: str = "adamw"

    @property
    def name(self) -> str:
        shape = f"{self.model} {self.depth} × {self.width}"
        return f"{shape}, {self.optimizer}, {self.side}, batch {self.batch_size}"


CELLS = [
    *(Cell("mlp", size, 32, 2, side) for side in (8, 28) for size in (16, 64)),
    Cell("mlp", 16, 32, 2, 8, "rmsprop"),
    Cell("mlp", 16, 128, 2),
    *(Cell("cnn", size, 16, 2, side) for side, size in ((8, 16), (28, 16), (28, 64))),
    Cell("resnet18", 16, 8, 2, 8),
    Cell("gpt", 16, 64, 2, 64),
]
GPU_CELLS = [
    *(Cell("mlp", size, 128, 2) for size in (16, 64)),
    *(Cell("cnn", size, 32, 2) for size in (16, 64)),
    *(Cell("gpt", size, 128, 4, 128) for size in (16, 64)),
]


class _RandomData(Task[TrainingParams, Tensor]):
    """Learns numbers that mean nothing; a batch is a tensor of indices (B,)."""

    name = "random_data"
    version = "1"
    help = "For benchmarks."
    Params = TrainingParams
    metrics = (Metric(name="val_loss", direction=Direction.MINIMIZE),)
    default_search_space = {}  # noqa: RUF012
    default_objectives = (Objective(metric="val_loss", direction=Direction.MINIMIZE),)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def train(self, context: object) -> None:
        raise NotImplementedError

    def prepare(self, params: TrainingParams, *, device: torch.device, data_dir: Path) -> None:
        n, side = 40 * params.batch_size, self._cell.side
        self._is_text = self._cell.model == "gpt"
        if self._is_text:
            self._x = torch.randint(1, _VOCABULARY, (n, side), device=device)
            self._y = torch.randint(1, _VOCABULARY, (n, side), device=device)
        else:
            self._x = torch.randn(n, 1, side, side, device=device)
            self._y = torch.randint(_N_CLASSES, (n,), device=device)

    def build(self, params: TrainingParams, rng: torch.Generator) -> nn.Module:
        cell = self._cell
        sizes = Sizes(
            in_shape=self._x.shape[1:],
            n_out=_VOCABULARY if self._is_text else _N_CLASSES,
            width=cell.width,
            depth=cell.depth,
            activation="gelu" if self._is_text else "relu",
            dropout=0.0,
            vocabulary=_VOCABULARY if self._is_text else 0,
            heads=4,
            each_token=self._is_text,
        )
        return build_model(cell.model, sizes, rng=rng)

    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[Tensor]:
        return torch.split(torch.randperm(len(self._x), generator=rng).to(self._x.device), self._cell.batch_size)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        logits, labels = model(self._x[batch]), self._y[batch]
        return cross_entropy(logits.flatten(0, 1), labels.flatten()) if self._is_text else cross_entropy(logits, labels)

    def evaluate(self, model: nn.Module) -> Metrics:
        return {}


def make_runs(cell: Cell, device: torch.device, n: int) -> list[Run[TrainingParams, Tensor]]:
    """Return trainings that differ in rate and seed."""
    task = _RandomData(cell)
    runs = []
    for k in range(n):
        params = TrainingParams.model_validate(
            {"optimizer": cell.optimizer, "batch_size": cell.batch_size, "learning_rate": 1e-3 * (1 + k / n)}
        )
        if k == 0:
            task.prepare(params, device=device, data_dir=Path("/nonexistent"))
        runs.append(Run.begin(task, params, seed=k, device=device))
        runs[-1].model.train()
    return runs


def updates_alone(cell: Cell, device: torch.device) -> Iterator[None]:
    """Make an update of one training at every step."""
    (run,) = make_runs(cell, device, 1)
    groups = run.groups(1)
    while True:
        for group in groups:
            run.rates.set(1e-3)
            run.backward(group)
            run.step()
            yield


def updates_together(cell: Cell, device: torch.device, n: int) -> Iterator[None]:
    """Make an update of n trainings at every step."""
    runs = make_runs(cell, device, n)
    joint = JointRun(runs)
    groups = [run.groups(1) for run in runs]
    losses: list[Tensor] = []
    while True:
        joint.begin_epoch([[1e-3] * n] * len(groups[0]))
        for update in range(len(groups[0])):
            losses.append(joint.make_update(update, [each[update] for each in groups]))
            if len(losses) == _UPDATES_A_LOOK:
                torch.stack(losses).tolist()
                losses.clear()
            yield


def rate_of(updates: Iterator[None], device: torch.device, seconds: float) -> float:
    """Return the updates a second, over a window of some seconds."""
    clock = _clock(device)
    for _ in range(_WARM_UP):
        next(updates)
    started = clock()
    count = 0
    while (elapsed := clock() - started) < seconds or count == 0:
        for _ in range(_UPDATES_A_LOOK):
            next(updates)
        count += _UPDATES_A_LOOK
    return count / elapsed


def _clock(device: torch.device) -> Callable[[], float]:
    if device.type == "cpu":
        return time.process_time

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


class Processes:
    """Processes that each make updates of one training, all at once."""

    def __init__(self, n: int) -> None:
        context = get_context("spawn")
        self._n = n
        self._pool = context.Pool(n, _meet_at, (context.Barrier(n),))

    def rate(self, cell: Cell, device: str, seconds: float) -> float:
        """Return their updates a second, together."""
        return sum(self._pool.starmap(_rate_in_process, [(cell, device, seconds)] * self._n, chunksize=1))

    def close(self) -> None:
        """End them."""
        self._pool.terminate()
        self._pool.join()


_meeting: list[Barrier] = []
"""Where the processes wait for each other, so that each takes one training and all begin together."""


def _meet_at(barrier: Barrier) -> None:
    _meeting.append(barrier)


def _rate_in_process(cell: Cell, device: str, seconds: float) -> float:
    used = use_device(device)
    updates = updates_alone(cell, used)
    for _ in range(_WARM_UP):
        next(updates)
    _meeting[0].wait(_PATIENCE_S)
    return rate_of(updates, used, seconds)


def measure(
    cell: Cell, device: str, sizes: Sequence[int], seconds: float, processes: Processes | None = None
) -> dict[str, object]:
    """Return what there is to say of a cell."""
    used = use_device(device)
    alone, together = 0.0, dict.fromkeys(sizes, 0.0)
    for _ in range(_WINDOWS):  # in turn, so that what else the machine does falls on all; the best counts
        alone = max(alone, rate_of(updates_alone(cell, used), used, seconds))
        for n in sizes:
            together[n] = max(together[n], n * rate_of(updates_together(cell, used, n), used, seconds))
    row: dict[str, object] = {
        "cell": cell.name,
        "alone": round(alone, 1),
        "together": {n: round(rate, 1) for n, rate in together.items()},
        "ratio": {n: round(rate / alone, 2) for n, rate in together.items()},
    }
    if processes:
        apart = processes.rate(cell, device, seconds)
        row["processes"] = round(apart, 1)
        row["ratio_to_processes"] = round(together[sizes[-1]] / apart, 2)
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table, or one JSON line of a GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fused", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="on a GPU, beside K processes; one JSON line")
    parser.add_argument("--seconds", type=float, help="of each window")
    parser.add_argument("--only", default="", help="cells whose name begins so")
    parser.add_argument("--sizes", type=int, nargs="+", default=None, help="members of a group")
    given = parser.parse_args(arguments)
    if given.gpu:
        if not torch.cuda.is_available():
            print(json.dumps({"gpu": None, "why": "no GPU"}))  # noqa: T201 - its product
            return 0
        cells = [cell for cell in GPU_CELLS if cell.name.startswith(given.only)]
        sizes = given.sizes or [16]
        processes = Processes(sizes[-1])
        try:
            rows = [measure(cell, "cuda:0", sizes, given.seconds or 5.0, processes) for cell in cells]
        finally:
            processes.close()
        print(json.dumps({"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "cells": rows}))  # noqa: T201
        return 0
    torch.set_num_threads(1)
    sizes = given.sizes or [4, 8, 16]
    print("| cell | alone, updates/s |", " | ".join(f"{n} together" for n in sizes), "|")  # noqa: T201
    print("| --- |", " | ".join("---" for _ in range(len(sizes) + 1)), "|")  # noqa: T201
    for cell in CELLS:
        if cell.name.startswith(given.only):
            row = measure(cell, "cpu", sizes, given.seconds or 1.0)
            ratios = row["ratio"]
            assert isinstance(ratios, dict)
            shown = " | ".join(f"{ratio:.2f} ×" for ratio in ratios.values())
            print(f"| {row['cell']} | {row['alone']} | {shown} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
