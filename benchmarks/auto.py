"""Whether letting measurement choose how many trials train as one ever costs time: `fuse: "auto"` beside `fuse: 1`.

Each run is one group's worth of trials in one process: alone, one after another; under auto, measured first and then
trained as the measurement says. `make bench-auto` takes hours at its full size (5 pairs of 8 trials of 10 s for each of
ten trainings); `--only`, `--pairs` and `--seconds` make it less. Prints a line for each training, then one of JSON:
the ratio of times, auto to alone, by training, and over all of them with the upper end of its 95 % interval.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stepsize_workers.trainers.base import Checkpoint, GroupReports, TrialContext
from stepsize_workers.trainers.registry import load_trainer
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.venues.choosing import Choice, choose_size

_IMAGES = "image_classifier"
_DIGITS = {"dataset": "digits"}
_TEXTS = {"width": 64, "depth": 2, "context": 64, "train_fraction": 0.05}
CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"mlp {size}": (_IMAGES, {**_DIGITS, "model": "mlp", "batch_size": size}) for size in (16, 64, 256)},
    **{f"cnn {size}": (_IMAGES, {**_DIGITS, "model": "cnn", "batch_size": size}) for size in (16, 64, 256)},
    **{f"resnet18 {size}": (_IMAGES, {**_DIGITS, "model": "resnet18", "batch_size": size}) for size in (16, 256)},
    **{f"gpt {size}": ("language_model", {**_TEXTS, "model": "gpt", "batch_size": size}) for size in (16, 64)},
}
_DRAWS = 4000


@dataclass(eq=False)
class Context:
    """A trial that nobody listens to."""

    params: TrainingParams
    directory: Path
    seed: int
    data_dir: Path
    attempt: int = 1
    device: str = "cpu"
    checkpoint: Checkpoint | None = None

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        return False

    def should_stop(self) -> bool:
        return False

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        write(self.artifact("checkpoint"))

    def artifact(self, name: str) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        return self.directory / name

    def figure(self, name: str, picture: str | bytes) -> None:
        pass

    def remark(self, text: str) -> None:
        pass

    def note_data(self, content_hash: str) -> None:
        pass


@dataclass
class Group:
    """Trials that nobody joins."""

    members: Sequence[TrialContext[Any]]
    errors: list[BaseException] = field(default_factory=list)

    def joined(self) -> Sequence[TrialContext[Any]]:
        return ()

    def report(self, values: GroupReports[Any]) -> AbstractSet[TrialContext[Any]]:
        return set()

    def ended(self, member: TrialContext[Any], error: BaseException | None = None) -> None:
        self.errors += [] if error is None else [error]


@dataclass(frozen=True)
class Cell:
    """One training, as often as a group has members."""

    trainer: str
    params: Mapping[str, Any]
    folder: Path
    n: int

    def contexts(self, epochs: int) -> list[Context]:
        """Return fresh trials that differ in rate and seed."""
        kind = load_trainer(self.trainer).Params
        rates = np.logspace(-3.5, -2.5, self.n)
        made = [kind(**{**self.params, "epochs": epochs, "learning_rate": float(rate)}) for rate in rates]
        data_dir = self.folder / "data"
        return [
            Context(params, self.folder / str(k), seed=k, data_dir=data_dir)
            for k, params in enumerate(made)
            if isinstance(params, TrainingParams)
        ]

    def train_alone(self, contexts: Sequence[Context]) -> None:
        """Train one after another."""
        for context in contexts:
            load_trainer(self.trainer)().train(context)

    def train_auto(self, contexts: Sequence[Context]) -> Choice:
        """Measure, and train as that says."""
        trainer = load_trainer(self.trainer)
        choice = choose_size(trainer().measure_together(contexts[0], most=len(contexts)), len(contexts))
        if choice.size == 1:
            self.train_alone(contexts)
            return choice
        for first in range(0, len(contexts), choice.size):
            group = Group(contexts[first : first + choice.size])
            trainer().train_group(group)
            assert not group.errors, group.errors
        return choice


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that something takes; on one thread other work on the machine blurs it little."""
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(cell: Cell, *, pairs: int, trial_s: float) -> tuple[list[float], Choice, float]:
    """Return the ratios auto to alone, what was chosen last, and how long a trial took alone."""
    cell.train_alone(cell.contexts(1)[:1])  # loads what is loaded once
    epoch_s = seconds(lambda: cell.train_alone(cell.contexts(1)[:1]))
    epochs = max(1, round(trial_s / epoch_s))
    ratios: list[float] = []
    choice, alone_s = Choice(1, ""), 0.0
    for pair in range(pairs):

        def auto() -> None:
            nonlocal choice
            choice = cell.train_auto(cell.contexts(epochs))

        def alone() -> None:
            cell.train_alone(cell.contexts(epochs))

        took = {work: seconds(work) for work in ((auto, alone) if pair % 2 else (alone, auto))}
        ratios.append(took[auto] / took[alone])
        alone_s = took[alone] / cell.n
    return ratios, choice, alone_s


def main() -> None:
    """Compare, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(CELLS), help="names of trainings")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one trial alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logs: list[list[float]] = []
    rows: dict[str, object] = {}
    for name in options.only:
        trainer, params = CELLS[name]
        with tempfile.TemporaryDirectory() as folder:
            cell = Cell(trainer, params, Path(folder), options.members)
            ratios, choice, alone_s = compare(cell, pairs=options.pairs, trial_s=options.seconds)
        logs.append([math.log(ratio) for ratio in ratios])
        rows[name] = round(statistics.median(ratios), 3)
        shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{name}: {shown}; a trial alone {alone_s:.1f} s; {choice.why}", flush=True)  # noqa: T201
    rng = np.random.default_rng(0)
    of_cells = np.array(logs)
    draws = [of_cells[rng.integers(0, len(logs), len(logs))].mean() for _ in range(_DRAWS)]
    pooled = [round(float(math.exp(one)), 3) for one in (of_cells.mean(), np.quantile(draws, 0.975))]
    sys.stdout.write(json.dumps({"ratio_by_training": rows, "pooled_and_upper": pooled, **vars(options)}) + "\n")


if __name__ == "__main__":
    main()
