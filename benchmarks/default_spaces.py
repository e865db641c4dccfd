"""Does the best rate lie well inside each trainer's default search space? Half a decade from either end, or more.

`make bench-default-spaces` trains every cell (a trainer, a model, a batch size) at one rate a decade over the default
space of its trainer without the outer half decades, some seeds a rate, everything else being the trainer's default.
Where the best of them is neither the lowest nor the highest, the best rate of all lies between these two, half a decade
or more inside: as far as there is one valley. Results are kept in a file: stop it at any time, it goes on from there.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.guide.serving import ROOT
from benchmarks.orchestration import print_table
from benchmarks.truth.training import QuietContext
from stepsize.spec.space import FloatParameter, Scalar
from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.registry import load_trainer

KEPT = ROOT / "build" / "default_spaces.jsonl"
N_SEEDS = 2
INSIDE_DECADES = 0.5


@dataclass(frozen=True)
class Cell:
    """One thing whose best rate is looked for."""

    trainer: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """What the user chooses: the data set, the model, the batch size."""

    @property
    def label(self) -> str:
        return " ".join([self.trainer, *(f"{value}" for value in self.params.values())])

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest rate of the default space."""
        space = load_trainer(self.trainer).default_search_space["learning_rate"]
        assert isinstance(space, FloatParameter)
        assert space.low is not None
        assert space.high is not None
        return space.low, space.high

    @property
    def rates(self) -> list[float]:
        """Those that are tried, in ascending order."""
        low, high = map(math.log10, self.ends)
        steps = round(high - low - 2 * INSIDE_DECADES)
        return [10 ** (low + INSIDE_DECADES + step) for step in range(steps + 1)]


def _with_batch_sizes(trainer: str, sizes: Sequence[int], params: Mapping[str, Scalar]) -> list[Cell]:
    return [Cell(trainer, {**params, "batch_size": size}) for size in sizes]


CELLS = (
    *_with_batch_sizes("tabular_classifier", (8, 64, 128), {"dataset": "breast_cancer"}),
    *_with_batch_sizes("tabular_regressor", (8, 64, 128), {"dataset": "diabetes"}),
    *_with_batch_sizes("image_classifier", (16, 64, 256), {"dataset": "digits", "model": "mlp"}),
    *_with_batch_sizes("image_classifier", (16, 64, 256), {"dataset": "digits", "model": "cnn"}),
    Cell("image_classifier", {"dataset": "mnist5k", "model": "mlp"}),
    Cell("text_classifier", {"model": "mlp"}),
    Cell("object_detector"),
    Cell("board_game"),
    Cell("reinforcement_learner", {"environment": "CartPole-v1"}),
    Cell("anomaly_detector", {"dataset": "shuttle"}),
    Cell("image_classifier", {"dataset": "mnist5k", "model": "cnn"}),
    Cell("image_classifier", {"dataset": "digits", "model": "resnet18"}),
    Cell("text_classifier", {"model": "lstm"}),
    Cell("language_model", {"model": "lstm"}),
    Cell("text_classifier", {"model": "transformer"}),
    Cell("language_model", {"model": "gpt"}),
    Cell("text_classifier", {"model": "gpt"}),
    Cell("reinforcement_learner", {"environment": "Acrobot-v1"}),
    Cell("image_classifier", {"dataset": "digits", "model": "resnet34"}),
    Cell("image_classifier", {"dataset": "digits", "model": "resnet50"}),
)


@dataclass(frozen=True)
class Outcome:
    """One training."""

    learning_rate: float
    seed: int
    value: float | None
    """Of the trainer's first objective, after the last epoch; None: it diverged."""
    time_s: float


def train(cell: Cell, learning_rate: float, seed: int, data_dir: Path) -> Outcome:
    """Train once, as a trial would."""
    trainer = load_trainer(cell.trainer)
    params = trainer.Params.model_validate({**cell.params, "learning_rate": learning_rate})
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        context = QuietContext(params=params, directory=Path(directory), data_dir=data_dir, seed=seed)
        try:
            trainer().train(context)
            value: float | None = context.reports[-1][1][trainer.default_objectives[0].metric]
        except Diverged:
            value = None
    return Outcome(learning_rate, seed, value, time.perf_counter() - started)


def key_of(cell: Cell) -> str:
    """Return what tells a cell's trainings from all others."""
    version = load_trainer(cell.trainer).version
    return json.dumps([cell.trainer, version, dict(cell.params)], sort_keys=True)


def read(path: Path) -> dict[str, list[Outcome]]:
    """Return what is kept, by cell."""
    kept: dict[str, list[Outcome]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        kept.setdefault(row.pop("cell"), []).append(Outcome(**row))
    return kept


def missing(cell: Cell, kept: Sequence[Outcome], seed: int) -> list[float]:
    """Return the rates that are not kept yet with a seed."""
    done = {f"{one.learning_rate:.6g}" for one in kept if one.seed == seed}
    return [rate for rate in cell.rates if f"{rate:.6g}" not in done]


@dataclass(frozen=True)
class Finding:
    """Where a cell's best rate lies."""

    cell: Cell
    means: Mapping[float, float | None]
    """Mean value by rate; None: a training diverged."""
    best: float
    n_seeds: int
    """Trainings at each rate, at least."""

    @property
    def is_well_inside(self) -> bool:
        """Whether the best rate is neither the lowest nor the highest that was tried."""
        return self.best not in (self.cell.rates[0], self.cell.rates[-1])


def find(cell: Cell, outcomes: Sequence[Outcome]) -> Finding | None:
    """Return what a cell's trainings show; None: not all were made."""
    objective = load_trainer(cell.trainer).default_objectives[0]
    sign = 1 if objective.direction.is_better(1.0, 0.0) else -1
    by_rate = {rate: [one.value for one in outcomes if math.isclose(one.learning_rate, rate)] for rate in cell.rates}
    if not all(by_rate.values()):
        return None
    trained = {
        rate: fmean(value for value in values if value is not None)
        for rate, values in by_rate.items()
        if None not in values
    }
    best = max(trained, key=lambda rate: sign * trained[rate])
    n_seeds = min(len(values) for values in by_rate.values())
    return Finding(cell, {rate: trained.get(rate) for rate in cell.rates}, best, n_seeds)


def row_of(finding: Finding) -> list[str]:
    """Return a line of the table."""
    cell = finding.cell
    low, high = cell.ends
    values = [
        f"{rate:.2g}: " + ("diverged" if value is None else f"{value:.3g}") for rate, value in finding.means.items()
    ]
    return [
        cell.label,
        f"{low:g} to {high:g}",
        load_trainer(cell.trainer).default_objectives[0].metric,
        "; ".join(
            f"**{text}**" if rate == finding.best else text for rate, text in zip(finding.means, values, strict=True)
        ),
        f"{finding.n_seeds}",
        "yes" if finding.is_well_inside else "**no**",
    ]


HEADER = ("trainer, data or model, batch size", "default space", "metric", "rate: mean value", "seeds", "inside")


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.default_spaces", description=__doc__)
    parser.add_argument("--minutes", type=float, default=25, help="begin no training after so long")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help="trainings a rate")
    parser.add_argument("--only", default="", help="cells whose label has this in it")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where trainings are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * arguments.minutes
    arguments.kept.parent.mkdir(parents=True, exist_ok=True)
    cells = [cell for cell in CELLS if arguments.only in cell.label]
    for seed, cell in product(range(arguments.seeds), cells):
        for rate in missing(cell, read(arguments.kept).get(key_of(cell), ()), seed):
            if time.monotonic() > end:
                break
            outcome = train(cell, rate, seed, arguments.kept.parent)
            with arguments.kept.open("a") as file:
                file.write(json.dumps({"cell": key_of(cell), **vars(outcome)}) + "\n")
            sys.stderr.write(f"{cell.label}: rate {rate:.2g}, seed {seed}: {outcome.value}, {outcome.time_s:.1f} s\n")
    kept = read(arguments.kept)
    findings = [found for cell in cells if (found := find(cell, kept.get(key_of(cell), ()))) is not None]
    print_table(HEADER, [row_of(one) for one in findings])
    print(json.dumps({one.cell.label: one.best for one in findings}))  # noqa: T201


if __name__ == "__main__":
    main()
