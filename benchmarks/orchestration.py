"""What a trial costs beyond its training, beside Optuna's own storage on the same database, in one run.

`make bench` prints two tables and one JSON line. Everything is durable: SQLite with synchronous=FULL, PostgreSQL with
synchronous_commit=on. Ratios of one run count; the absolute numbers belong to the machine and its mood.
"""

import argparse
import json
import multiprocessing
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna

from benchmarks.history import add_history
from stepsize.clock import new_id
from stepsize.settings import Settings
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.jobs import NewJob, get_job, insert_job
from stepsize.store.trials import load_trials
from stepsize_workers.engines.devices import detect_slots
from stepsize_workers.engines.local import LocalEngine
from stepsize_workers.loop import WorkerLoop
from stepsize_workers.search import Search
from stepsize_workers.trainers.synthetic import Synthetic
from tests.postgres import PostgresServer
from tests.worker_process import WorkerProcess

N_TRIALS = 400
N_REPORTS = 5
N_MEASURED = 200
"""Trials run on top of a history to measure its cost."""


@dataclass(frozen=True)
class Throughput:
    """One way to run N_TRIALS trials, from the first trial's start to the last one's result."""

    system: str
    database: str
    sampler: str
    n_parallel: int
    trials_per_s: float


@dataclass(frozen=True)
class HistoryCost:
    """Milliseconds a trial, with so many trials of history."""

    database: str
    pruner: str
    n_history: int
    wall_ms: float
    ask_ms: float
    should_prune_ms: float

    @property
    def rest_ms(self) -> float:
        return self.wall_ms - self.ask_ms - self.should_prune_ms


def spec_of(sampler: str, *, n_trials: int, pruner: str = "none", n_parallel: int = 4) -> ResolvedJobSpec:
    return ResolvedJobSpec.model_validate(
        {
            "trainer": {"name": "synthetic", "version": "1", "params": {"n_reports": N_REPORTS}},
            "search_space": {
                "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
                "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
            },
            "objectives": [{"metric": "loss", "direction": "minimize"}],
            "sampler": {"name": sampler, "seed": 0},
            "pruner": {"name": pruner},
            "confirm": False,
            "budget": {"max_trials": n_trials, "max_parallel_trials": n_parallel},
        }
    )


def submit(database: Database, spec: ResolvedJobSpec) -> str:
    with database.write() as connection:
        return insert_job(connection, NewJob(new_id("job"), spec, (), None)).id


def wait_for_end(database: Database, job_id: str) -> None:
    while True:
        with database.read() as connection:
            if get_job(connection, job_id).state.is_finished:
                return
        time.sleep(0.1)


def measure_stepsize(url: str, data_dir: Path, sampler: str, n_parallel: int) -> float:
    """Return the trials per second of a real worker process."""
    database = Database(url)
    with WorkerProcess(url, data_dir, slots=n_parallel, lease_s=30.0) as worker:
        warm_up = submit(database, spec_of(sampler, n_trials=20, n_parallel=n_parallel))
        wait_for_end(database, warm_up)
        job_id = submit(database, spec_of(sampler, n_trials=N_TRIALS, n_parallel=n_parallel))
        wait_for_end(database, job_id)
        worker.stop()
    with database.read() as connection:
        trials = load_trials(connection, job_id)
    database.dispose()
    starts = [trial.started_at for trial in trials if trial.started_at]
    ends = [trial.finished_at for trial in trials if trial.finished_at]
    assert len(ends) == N_TRIALS, "every trial must have ended"
    return N_TRIALS / (max(ends) - min(starts))


def valley(trial: optuna.Trial) -> float:
    """Optuna's side of the same work: the same space, the same reports."""
    params = {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)}
    params["batch_size"] = 1 << trial.suggest_int("batch_size", 4, 8)
    from stepsize_workers.trainers.synthetic import SyntheticParams, loss_at  # noqa: PLC0415 - in the child process

    model = SyntheticParams(**params, n_reports=N_REPORTS)
    for step in range(1, N_REPORTS + 1):
        trial.report(loss_at(model, step=step), step)
    return loss_at(model, step=N_REPORTS)


def make_sampler(name: str) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=0) if name == "tpe" else optuna.samplers.RandomSampler(seed=0)


def run_optuna(url: str, sampler: str, n_trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="bench", storage=url, sampler=make_sampler(sampler))
    study.optimize(valley, n_trials=n_trials)


def measure_optuna_storage(url: str, sampler: str, n_parallel: int, *, wal: bool = False) -> float:
    """Return the trials per second of `n_parallel` processes sharing an Optuna RDBStorage."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if wal:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    optuna.create_study(study_name="bench", storage=url)
    spawn = multiprocessing.get_context("spawn")
    share = N_TRIALS // n_parallel
    processes = [spawn.Process(target=run_optuna, args=(url, sampler, share)) for _ in range(n_parallel)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    trials = optuna.load_study(study_name="bench", storage=url).trials
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    return len(ends) / (max(ends) - min(starts)).total_seconds()


def measure_optuna_in_memory(sampler: str) -> float:
    """Return the trials per second of one process without any storage: the ceiling of Optuna's own search."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=make_sampler(sampler))
    started = time.perf_counter()
    study.optimize(valley, n_trials=N_TRIALS)
    return N_TRIALS / (time.perf_counter() - started)


@contextmanager
def timed(owner: type, name: str, spent: list[float]) -> Iterator[None]:
    """Note the seconds of every call of a method while the context lasts."""
    original: Callable[..., Any] = getattr(owner, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent.append(time.perf_counter() - started)

    setattr(owner, name, wrapper)
    try:
        yield
    finally:
        setattr(owner, name, original)


def measure_history(url: str, kind: str, data_dir: Path, pruner: str, n_history: int) -> HistoryCost:
    """Return what one of N_MEASURED further trials costs on top of a history, with one slot in this process."""
    database = Database(url)
    job_id = submit(database, spec_of("random", n_trials=n_history + N_MEASURED, pruner=pruner, n_parallel=1))
    add_history(database, job_id, n_trials=n_history, n_reports=N_REPORTS)
    asks: list[float] = []
    verdicts: list[float] = []
    settings = Settings(data_dir=data_dir, database_url=url)
    loop = WorkerLoop(database, LocalEngine(detect_slots(1)), settings, [Synthetic.card()])
    with timed(Search, "propose", asks), timed(Search, "report", verdicts):
        thread = threading.Thread(target=loop.run)
        thread.start()
        wait_for_end(database, job_id)
        loop.stop()
        thread.join()
    with database.read() as connection:
        ends = sorted(t.finished_at or 0.0 for t in load_trials(connection, job_id) if t.number >= n_history)
    database.dispose()
    per_trial = 1000 / (N_MEASURED - 1)
    return HistoryCost(
        kind, pruner, n_history, per_trial * (ends[-1] - ends[0]), per_trial * sum(asks), per_trial * sum(verdicts)
    )


def run_throughput(new_database: Callable[[str], str], data_dir: Path) -> Iterator[Throughput]:
    for sampler in ("random", "tpe"):
        ceiling = measure_optuna_in_memory(sampler)
        yield Throughput("optuna, in memory", "none", sampler, 1, ceiling)
        for kind in ("sqlite", "postgresql"):
            for n_parallel in (1, 4):
                url = new_database(kind)
                migrate.upgrade(url)
                yield Throughput(
                    "stepsize", kind, sampler, n_parallel, measure_stepsize(url, data_dir, sampler, n_parallel)
                )
                modes = (False, True) if kind == "sqlite" else (False,)
                for wal in modes:
                    rate = measure_optuna_storage(new_database(kind), sampler, n_parallel, wal=wal)
                    yield Throughput("optuna RDBStorage" + " (WAL)" * wal, kind, sampler, n_parallel, rate)


def run_history(new_database: Callable[[str], str], data_dir: Path) -> Iterator[HistoryCost]:
    for kind in ("sqlite", "postgresql"):
        for pruner in ("none", "median"):
            for n_history in (100, 10_000):
                url = new_database(kind)
                migrate.upgrade(url)
                yield measure_history(url, kind, data_dir, pruner, n_history)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")  # noqa: T201
    print()  # noqa: T201


def verdicts(throughput: Sequence[Throughput], history: Sequence[HistoryCost]) -> dict[str, float]:
    """Return the ratios that the budgets name."""

    def rate(system: str, database: str, sampler: str, n_parallel: int) -> float:
        return next(
            row.trials_per_s
            for row in throughput
            if (row.system, row.database, row.sampler, row.n_parallel) == (system, database, sampler, n_parallel)
        )

    ratios = {
        "random_postgresql_vs_optuna_rdb": rate("stepsize", "postgresql", "random", 4)
        / rate("optuna RDBStorage", "postgresql", "random", 4)
    }
    for kind in ("sqlite", "postgresql"):
        ceiling = rate("optuna, in memory", "none", "tpe", 1)
        ratios[f"tpe_{kind}_vs_optuna_in_memory"] = rate("stepsize", kind, "tpe", 4) / ceiling
        for pruner in ("none", "median"):
            few, many = (row for row in history if (row.database, row.pruner) == (kind, pruner))
            ratios[f"history_{kind}_{pruner}"] = many.rest_ms / few.rest_ms
    return ratios


def main() -> None:
    """Run everything; about ten minutes on two cores."""
    argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__).parse_args()
    work = Path(tempfile.mkdtemp(prefix="stepsize-bench-"))
    server = PostgresServer(durable=True)
    names = (f"bench_{number}" for number in range(1000))

    def new_database(kind: str) -> str:
        name = next(names)
        return f"sqlite:///{work / name}.db" if kind == "sqlite" else server.create_database(name)

    try:
        throughput = list(run_throughput(new_database, work))
        history = list(run_history(new_database, work))
    finally:
        server.close()
        shutil.rmtree(work, ignore_errors=True)
    print_table(
        ("system", "database", "sampler", "parallel", "trials/s"),
        [(r.system, r.database, r.sampler, str(r.n_parallel), f"{r.trials_per_s:.1f}") for r in throughput],
    )
    print_table(
        ("database", "pruner", "history", "wall ms", "ask ms", "should_prune ms", "rest ms"),
        [
            (
                r.database,
                r.pruner,
                str(r.n_history),
                *(f"{x:.2f}" for x in (r.wall_ms, r.ask_ms, r.should_prune_ms, r.rest_ms)),
            )
            for r in history
        ],
    )
    document = {
        "throughput": [asdict(row) for row in throughput],
        "history": [asdict(row) for row in history],
        "ratios": verdicts(throughput, history),
        "python": sys.version.split()[0],
    }
    print(json.dumps(document))  # noqa: T201


if __name__ == "__main__":
    main()
