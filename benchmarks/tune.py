"""What a trial costs beside its training: `stepsize.tune` beside `study.optimize` with SQLite, in one run.

    python -m benchmarks.tune

Both tune the same function, which trains nothing and reports five times, one trial after the other, with TPE, and
record everything in SQLite on the same disk. Optuna's `RDBStorage` is measured as it comes, and in WAL with
`synchronous=FULL`, as Stepsize's database is. They take turns, block by block, so that a busy machine slows all.
Counted is, of each trial, the time from the end of the function to its next beginning, and the time inside its reports.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import event

import stepsize
from benchmarks.orchestration import print_table
from stepsize.tuning.local_service import local_service

N_REPORTS = 5
LOW, HIGH = 1e-5, 1.0


@dataclass
class Clock:
    """Milliseconds that trials spend outside their training: between two of them, and in their reports."""

    between_ms: list[float] = field(default_factory=list)
    reports_ms: list[float] = field(default_factory=list)
    ended: float | None = None

    def begin(self) -> None:
        if self.ended is not None:
            self.between_ms.append(1000 * (time.perf_counter() - self.ended))

    def report(self, tell: Callable[[], object]) -> None:
        started = time.perf_counter()
        tell()
        self.reports_ms.append(1000 * (time.perf_counter() - started))

    def end(self) -> None:
        self.ended = time.perf_counter()

    @property
    def per_trial_ms(self) -> float:
        """The median time between two trials, and that of all reports of one."""
        return statistics.median(self.between_ms) + N_REPORTS * statistics.median(self.reports_ms)


def loss_of(rate: float, step: int) -> float:
    return (math.log10(rate) + 2) ** 2 + 1 / step


def run_stepsize(clock: Clock, server: str, n_trials: int) -> None:
    def train(trial: stepsize.TuneTrial) -> float:
        clock.begin()
        loss = 0.0
        for step in range(1, N_REPORTS + 1):
            loss = loss_of(float(trial["learning_rate"]), step)
            clock.report(lambda: trial.report(step, loss))  # noqa: B023 - called at once
        clock.end()
        return loss

    space = {"learning_rate": stepsize.Float(LOW, HIGH, log=True)}
    clock.ended = None
    stepsize.tune(
        train,
        space,
        name="bench",
        server=server,
        max_trials=n_trials,
        sampler={"name": "tpe", "seed": 0},
        spec={"confirm": False},
        progress=False,
    )


def run_optuna(clock: Clock, study: optuna.Study, n_more: int) -> None:
    def train(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", LOW, HIGH, log=True)
        clock.begin()  # once its parameters are there, as they are when the other's function begins
        loss = 0.0
        for step in range(1, N_REPORTS + 1):
            loss = loss_of(rate, step)
            clock.report(lambda: _report(trial, loss, step))  # noqa: B023 - called at once
        clock.end()
        return loss

    clock.ended = None
    study.optimize(train, n_trials=n_more)


def _report(trial: optuna.Trial, loss: float, step: int) -> bool:
    trial.report(loss, step)
    return trial.should_prune()


def make_study(path: Path, *, wal: bool) -> optuna.Study:
    storage = RDBStorage(f"sqlite:///{path}")
    if wal:

        @event.listens_for(storage.engine, "connect")
        def prepare(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

        storage.engine.dispose()  # connections made before know nothing of it
    sampler = optuna.samplers.TPESampler(seed=0)
    return optuna.create_study(storage=storage, sampler=sampler, pruner=optuna.pruners.NopPruner())


def main() -> None:
    """Run everything; about a minute and a half on two cores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="trials of each system")
    parser.add_argument("--blocks", type=int, default=5, help="turns they are done in")
    given = parser.parse_args()
    os.environ["STEPSIZE_LOG_LEVEL"] = "ERROR"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clocks = {name: Clock() for name in ("stepsize.tune", "optuna, SQLite", "optuna, SQLite in WAL")}
    block = given.trials // given.blocks
    with tempfile.TemporaryDirectory(prefix="stepsize-bench-") as folder:
        work = Path(folder)
        server = local_service(work / "stepsize")
        studies = [make_study(work / f"optuna-{wal}.db", wal=wal) for wal in (False, True)]
        for turn in range(1, given.blocks + 1):
            run_stepsize(clocks["stepsize.tune"], server, turn * block)
            for study, name in zip(studies, list(clocks)[1:], strict=True):
                run_optuna(clocks[name], study, block)
    ours = clocks["stepsize.tune"].per_trial_ms
    rows = [
        (
            name,
            f"{statistics.median(clock.between_ms):.1f}",
            f"{statistics.median(clock.reports_ms):.1f}",
            f"{clock.per_trial_ms:.1f}",
            f"{clock.per_trial_ms / ours:.2f}",
        )
        for name, clock in clocks.items()
    ]
    print_table(("system", "between trials ms", "a report ms", "a trial ms", "of stepsize's"), rows)
    figures = {name: clock.per_trial_ms for name, clock in clocks.items()}
    print(json.dumps({"tune": figures, "trials": given.trials, "python": sys.version.split()[0]}))  # noqa: T201


if __name__ == "__main__":
    main()
