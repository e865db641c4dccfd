"""What asking costs a client, beside `study.ask()` on Optuna's own storage on the same PostgreSQL, in one run.

Stepsize is asked over HTTP, a real API and a real worker behind it; Optuna in its process, on its tables. Both use TPE
on the same space and the same past. `training` is what a client does between two asks, in seconds: with none, a client
is faster than the search, and waits for it.
"""

import argparse
import json
import math
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

import httpx
import optuna
from optuna.distributions import FloatDistribution, IntDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import Engine

from benchmarks.history import add_history
from benchmarks.orchestration import print_table
from stepsize.store import migrate
from stepsize.store.database import Database
from tests.postgres import PostgresServer
from tests.worker_process import WorkerProcess

HISTORIES = (100, 10_000)
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
}
LEARNING_RATE, BATCH_EXPONENT = FloatDistribution(1e-5, 1.0, log=True), IntDistribution(4, 8)


@dataclass(frozen=True)
class Latency:
    """Milliseconds until a client has its parameters."""

    system: str
    n_history: int
    training_s: float
    p50_ms: float
    p99_ms: float


def latency_of(system: str, n_history: int, training_s: float, spent: list[float]) -> Latency:
    ordered = sorted(spent)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    return Latency(system, n_history, training_s, 1000 * statistics.median(ordered), 1000 * p99)


@contextmanager
def serving(url: str, data_dir: Path) -> Iterator[tuple[httpx.Client, int]]:
    """Run the API in a process of its own; give a client of it, and its process id."""
    port = free_port()
    environment = {**os.environ, "STEPSIZE_DATABASE_URL": url, "STEPSIZE_DATA_DIR": str(data_dir)}
    command = [sys.executable, "-m", "stepsize.cli", "api", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=90) as client:
            while not is_ready(client):
                time.sleep(0.1)
            yield client, process.pid
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def vacuum(engine: Engine) -> None:
    """Do what PostgreSQL does by itself within a minute of so many new rows: without it both sides read them all."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def submit(client: httpx.Client) -> str:
    spec = {
        "engine": "external",
        "search_space": SPACE,
        "objectives": [{"metric": "loss", "direction": "minimize"}],
        "sampler": {"name": "tpe", "seed": 0},
        "budget": {"max_trials": 100_000},
    }
    response = client.post("/v1/jobs", json=spec).raise_for_status()
    job_id: str = response.json()["id"]
    return job_id


def ask_and_tell(client: httpx.Client, job_id: str, *, n_asks: int, training_s: float) -> list[float]:
    """Run trials of one client; return the seconds each waited for its parameters."""
    path, spent = f"/v1/jobs/{job_id}", []
    for _ in range(n_asks):
        started = time.perf_counter()
        answer = client.post(f"{path}/suggestions", json={"client_id": "bench", "wait_s": 60}).raise_for_status()
        spent.append(time.perf_counter() - started)
        (trial,) = answer.json()["trials"]
        time.sleep(training_s)
        loss = (math.log10(trial["params"]["learning_rate"]) + 2) ** 2
        told = {"lease_token": trial["lease"]["token"], "values": {"loss": loss}}
        client.post(f"{path}/trials/{trial['number']}/complete", json=told).raise_for_status()
    return spent


def measure_stepsize(
    url: str, work: Path, *, n_asks: int, trainings_s: Sequence[float] = (0.0, 0.2)
) -> Iterator[Latency]:
    migrate.upgrade(url)
    database = Database(url)
    with serving(url, work) as (client, _):
        for n_history in HISTORIES:
            job_id = submit(client)
            add_history(database, job_id, n_trials=n_history, n_reports=1)
            vacuum(database.engine)
            with WorkerProcess(url, work, slots=1, lease_s=30.0) as worker:
                client.post(f"/v1/jobs/{job_id}/suggestions", json={"client_id": "bench", "wait_s": 60})
                for training_s in trainings_s:
                    spent = ask_and_tell(client, job_id, n_asks=n_asks, training_s=training_s)
                    yield latency_of("stepsize over HTTP", n_history, training_s, spent)
                worker.stop()
            client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    database.dispose()


def add_optuna_history(storage: RDBStorage, study: optuna.Study, n_trials: int) -> None:
    """Record the same past as `add_history`, in bulk: through Optuna's own functions it takes minutes."""
    draw, now = random.Random(0), datetime.now()  # noqa: DTZ005 - as Optuna's tables have it
    with storage.scoped_session() as session:
        rows = [
            models.TrialModel(
                number=number, study_id=study._study_id, state="COMPLETE", datetime_start=now, datetime_complete=now
            )
            for number in range(n_trials)
        ]
        session.add_all(rows)
        session.flush()
        for row in rows:
            log_lr, exponent = draw.uniform(-5, 0), draw.randint(4, 8)
            params = {"learning_rate": (10**log_lr, LEARNING_RATE), "batch_size": (float(exponent), BATCH_EXPONENT)}
            for name, (value, distribution) in params.items():
                stored = {"param_value": value, "distribution_json": distribution_to_json(distribution)}
                session.add(models.TrialParamModel(trial_id=row.trial_id, param_name=name, **stored))
            loss = {"value": (log_lr + 2) ** 2 + 0.01, "value_type": models.TrialValueModel.TrialValueType.FINITE}
            session.add(models.TrialValueModel(trial_id=row.trial_id, objective=0, **loss))
        session.commit()


def measure_optuna(url: str, *, n_asks: int) -> Iterator[Latency]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = RDBStorage(url)
    for n_history in HISTORIES:
        sampler = optuna.samplers.TPESampler(seed=0)
        study = optuna.create_study(study_name=f"bench-{n_history}", storage=storage, sampler=sampler)
        add_optuna_history(storage, study, n_history)
        vacuum(storage.engine)
        spent = []
        for index in range(n_asks + 1):
            started = time.perf_counter()
            trial = study.ask()
            lr = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
            trial.suggest_int("batch_size", 4, 8)
            if index:  # the first reads the whole history once, as the worker does when it takes a job
                spent.append(time.perf_counter() - started)
            study.tell(trial, (math.log10(lr) + 2) ** 2)
        yield latency_of("optuna RDBStorage", n_history, 0.0, spent)


def main() -> None:
    """Run everything; about three minutes on two cores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suggestions", description=__doc__)
    parser.add_argument("--asks", type=int, default=100, help="how often each is asked")
    n_asks: int = parser.parse_args().asks
    work = Path(tempfile.mkdtemp(prefix="stepsize-bench-"))
    server = PostgresServer()
    try:
        rows = []
        for row in chain(
            measure_stepsize(server.create_database("stepsize"), work, n_asks=n_asks),
            measure_optuna(server.create_database("optuna"), n_asks=n_asks),
        ):
            print(row, file=sys.stderr)  # noqa: T201
            rows.append(row)
    finally:
        server.close()
        shutil.rmtree(work, ignore_errors=True)
    print_table(
        ("system", "history", "training s", "p50 ms", "p99 ms"),
        [(r.system, str(r.n_history), f"{r.training_s:g}", f"{r.p50_ms:.1f}", f"{r.p99_ms:.1f}") for r in rows],
    )
    print(json.dumps({"suggestions": [asdict(row) for row in rows], "python": sys.version.split()[0]}))  # noqa: T201


if __name__ == "__main__":
    main()
