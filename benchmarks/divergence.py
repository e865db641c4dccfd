"""Which trainings are ended as diverged? Healthy ones should not be, exploded ones should be, and soon.

`make bench-divergence` trains cells of data set × model × optimiser × batch size (1 to 256) at rates over the whole
axis, each to its end whatever the watch says, and asks the watch along the way. A table and one JSON line.

The constants of `stepsize_workers.trainers.divergence` were chosen on the cells marked "chosen on"; the others report.
Healthy: in the better half of its cell by the last validation loss, and more accurate than guessing the largest class.
Exploded: a loss that wasn't finite, or a last validation loss above ten times that of the untrained model.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.orchestration import print_table
from stepsize.spec.space import Scalar
from stepsize_workers.trainers.classifier import Classifier, ClassifierParams
from stepsize_workers.trainers.registry import load_trainer
from stepsize_workers.training.devices import use_device
from stepsize_workers.training.run import Run

RATES = [10 ** (half / 2) for half in range(-10, 3)]
"""Two a decade from 1e-5 to 10."""
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CPU = use_device("cpu")


@dataclass(frozen=True)
class Cell:
    """One thing to train at every rate."""

    trainer: str
    params: Mapping[str, Scalar]
    chosen_on: bool
    """Whether the constants were chosen on it."""

    @property
    def label(self) -> str:
        return " ".join(str(self.params[name]) for name in ("dataset", "model", "optimizer") if name in self.params)


@dataclass(frozen=True)
class Outcome:
    """One training, run to its end."""

    learning_rate: float
    untrained_loss: float
    val_loss: float
    """Infinite where a loss was not finite."""
    val_accuracy: float
    flagged_at: float | None
    """Epochs until the watch would have ended it; None: never."""
    old_rule_flags: bool
    """One batch's loss against ten times the first batch's."""

    @property
    def exploded(self) -> bool:
        return not self.val_loss <= 10 * self.untrained_loss

    def __str__(self) -> str:
        when = "never ended" if self.flagged_at is None else f"ended after {self.flagged_at:.2f} epochs"
        return (
            f"rate {self.learning_rate:.2g}: validation loss {self.untrained_loss:.3g} untrained, "
            f"{self.val_loss:.3g} at the end, accuracy {self.val_accuracy:.2f}, {when}"
        )


def all_cells(batch_sizes: Sequence[int]) -> list[Cell]:
    """Return the cells, those with the largest batches, which are the quickest, first."""
    cells = []
    for batch_size in sorted(batch_sizes, reverse=True):
        for optimizer in ("sgd", "adam"):
            both: dict[str, Scalar] = {"optimizer": optimizer, "batch_size": batch_size}
            cells += [
                Cell("tabular_classifier", {"dataset": "breast_cancer", "epochs": 4, **both}, chosen_on=True),
                Cell("image_classifier", {"dataset": "digits", "model": "mlp", "epochs": 2, **both}, chosen_on=True),
                Cell("image_classifier", {"dataset": "digits", "model": "cnn", "epochs": 2, **both}, chosen_on=False),
                Cell(
                    "image_classifier",
                    {"dataset": "mnist5k", "model": "mlp", "epochs": 2, "train_fraction": 0.2, **both},
                    chosen_on=False,
                ),
            ]
    return cells


def train(cell: Cell, learning_rate: float, seed: int, data_dir: Path) -> Outcome:
    """Train to the end, as the loop does but for what ends a training."""
    trainer = load_trainer(cell.trainer)
    assert issubclass(trainer, Classifier)
    params = trainer.Params.model_validate({**cell.params, "learning_rate": learning_rate})
    assert isinstance(params, ClassifierParams)
    task: Classifier[ClassifierParams] = trainer()
    task.prepare(params, device=CPU, data_dir=data_dir)
    run = Run.begin(task, params, seed=seed, device=CPU)
    untrained = run.evaluate()["val_loss"]
    flagged_at: float | None = None
    first: float | None = None
    old_rule_flags, values = False, {"val_loss": math.inf, "val_accuracy": 0.0}
    for epoch in range(1, params.epochs + 1):
        groups = run.groups(epoch)
        run.model.train()
        watch = run.watch(groups)
        for index, group in enumerate(groups):
            run.rates.set(run.rate((epoch - 1) * len(groups) + index, updates_per_epoch=len(groups)))
            loss = run.backward(group)
            first = loss if first is None else first
            old_rule_flags |= not loss - first <= 9 * abs(first)
            if watch.has_exploded(loss) and flagged_at is None:
                flagged_at = epoch - 1 + (index + 1) / len(groups)
            if not math.isfinite(loss):
                return Outcome(learning_rate, untrained, math.inf, 0.0, flagged_at, old_rule_flags)
            run.step()
        if watch.is_alarmed and watch.has_exploded_with(run.loss_behind(groups, epoch=epoch)) and flagged_at is None:
            flagged_at = float(epoch)
        run.progress.recent_losses = watch.recent
        values = run.evaluate()
    val_loss = values["val_loss"] if math.isfinite(values["val_loss"]) else math.inf
    return Outcome(learning_rate, untrained, val_loss, values["val_accuracy"], flagged_at, old_rule_flags)


def guessing(cell: Cell, data_dir: Path) -> float:
    """Return the validation accuracy of always naming the most frequent class."""
    task = load_trainer(cell.trainer)()
    assert isinstance(task, Classifier)
    task.prepare(task.Params.model_validate(dict(cell.params)), device=CPU, data_dir=data_dir)
    labels = task.data.validation.labels
    return float(torch.bincount(labels).max()) / len(labels)


def healthy(outcomes: Sequence[Outcome], chance: float) -> list[Outcome]:
    """Return the trainings of a cell that would have been worth their time."""
    middle = median(one.val_loss for one in outcomes)
    return [one for one in outcomes if one.val_loss <= middle and one.val_accuracy > chance + 0.02]


@dataclass
class Tally:
    """What is counted over cells."""

    n: int = 0
    n_healthy: int = 0
    flagged: int = 0
    flagged_by_old_rule: int = 0
    n_exploded: int = 0
    caught: int = 0
    caught_in_epoch: int = 0

    def add(self, outcomes: Sequence[Outcome], chance: float) -> None:
        """Count a cell in."""
        good = healthy(outcomes, chance)
        exploded = [one for one in outcomes if one.exploded and one not in good]
        self.n += len(outcomes)
        self.n_healthy += len(good)
        self.flagged += sum(one.flagged_at is not None for one in good)
        self.flagged_by_old_rule += sum(one.old_rule_flags for one in good)
        self.n_exploded += len(exploded)
        self.caught += sum(one.flagged_at is not None for one in exploded)
        self.caught_in_epoch += sum(one.flagged_at is not None and one.flagged_at <= 1 for one in exploded)

    def row(self, name: str) -> list[str]:
        """Return the counts as a line of a table."""
        return [
            name,
            f"{self.n}",
            f"{self.n_healthy}",
            f"{self.flagged}",
            f"{self.flagged_by_old_rule}",
            f"{self.n_exploded}",
            f"{self.caught}",
            f"{self.caught_in_epoch}",
        ]


HEADER = (
    "trainings",
    "n",
    "healthy",
    "of them ended",
    "… by one batch × 10",
    "exploded",
    "of them ended",
    "within the first epoch",
)


def mistakes(outcomes: Sequence[Outcome], chance: float) -> Iterator[str]:
    """Yield the healthy trainings of a cell that were ended, and the exploded ones that were not within an epoch."""
    good = healthy(outcomes, chance)
    for one in outcomes:
        if one in good and one.flagged_at is not None:
            yield f"healthy, {one}"
        elif one not in good and one.exploded and not (one.flagged_at is not None and one.flagged_at <= 1):
            yield f"exploded, {one}"


def measure(cells: Iterable[Cell], data_dir: Path, *, is_over: Callable[[], bool], seed: int = 0) -> dict[str, Tally]:
    """Return the tallies by group of cells; cells that would begin after the time is over are left out, and named."""
    tallies: dict[str, Tally] = {}
    chances: dict[str, float] = {}
    for index, cell in enumerate(cells):
        if is_over():
            sys.stderr.write(f"no time for {cell.label}, batch size {cell.params['batch_size']}\n")
            continue
        chance = chances.setdefault(cell.label, guessing(cell, data_dir))
        seeds = (1_000_000 * seed + 1000 * index + place for place in range(len(RATES)))
        outcomes = [train(cell, rate, own, data_dir) for rate, own in zip(RATES, seeds, strict=True)]
        where = "chosen on" if cell.chosen_on else "reported on"
        for name in (where, f"{cell.label} ({where})", f"batch size {cell.params['batch_size']}"):
            tallies.setdefault(name, Tally()).add(outcomes, chance)
        name = f"{cell.label}, batch size {cell.params['batch_size']}"
        sys.stderr.write("".join(f"{line}\n" for line in (name, *(f"  {one}" for one in mistakes(outcomes, chance)))))
    return tallies


def main() -> None:
    """Train everything and print a table and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.divergence", description=__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES, help="powers of two")
    parser.add_argument("--minutes", type=float, default=60, help="begin no cell after so long")
    parser.add_argument("--seed", type=int, default=0, help="other numbers: other trainings of the same cells")
    parser.add_argument("--reported", action="store_true", help="only cells on which no constant was chosen")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as directory:
        cells = [cell for cell in all_cells(arguments.batch_sizes) if not (arguments.reported and cell.chosen_on)]
        tallies = measure(cells, Path(directory), is_over=lambda: time.monotonic() > end, seed=arguments.seed)
    print_table(HEADER, [tally.row(name) for name, tally in tallies.items()])
    print(json.dumps({name: vars(tally) for name, tally in tallies.items() if name.endswith("on")}))  # noqa: T201


if __name__ == "__main__":
    main()
