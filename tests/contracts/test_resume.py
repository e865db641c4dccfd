"""A search killed anywhere and resumed equals the uninterrupted one, trial by trial: every sampler and pruner."""

import math
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.domain.trial import Report, Trial, TrialState
from service.spec.space import Scalar
from service.store.database import Database
from service.store.leases import claim_job
from service.store.trials import load_trials
from tests.builders import expire_lease, make_job, make_spec
from tests.fake_engine import FakeEngine
from workers.engines.base import Outcome
from workers.search import Search
from workers.site import Site
from workers.slot_runner import SlotRunner

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 10.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99, "step": 0.33, "when": {"optimizer": ["sgd"]}},
}
N_TRIALS = 40
N_REPORTS = 4


def valley(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """A valley at 0.1 that diverges above a rate of 1, with steps that fall towards it."""
    lr = float(params["learning_rate"])
    if lr > 1.0:
        yield Outcome.DIVERGED
    for step in range(1, N_REPORTS + 1):
        yield (math.log10(lr) + 1) ** 2 + int(params["batch_size"]) / 256 + 1 / step


def play(database: Database, spec: dict[str, Any], data_dir: Path, *, kill_chance: float, seed: int = 0) -> list[Trial]:
    """Run a job to its end; after each event the worker is killed with the chance given, and another takes over."""
    moments = random.Random(seed)
    with database.write() as connection:
        job_id = make_job(connection, id="job-under-test", spec=make_spec(**spec)).id
    while True:
        runner, engine = take_over(database, job_id, data_dir)
        while not runner.is_over and moments.random() >= kill_chance:
            runner.handle(engine.poll(0.0))
            runner.start(engine.free_slots()[: runner.wants_slots()])
            runner.settle()
        with database.write() as connection:
            if runner.is_over:
                return load_trials(connection, job_id)
            expire_lease(connection, job_id)


def take_over(database: Database, job_id: str, data_dir: Path) -> tuple[SlotRunner, FakeEngine]:
    with database.write() as connection:
        claimed = claim_job(connection, job_id, owner="worker", lease_s=600.0)
    assert claimed is not None
    engine = FakeEngine(valley)
    runner = SlotRunner(*claimed, Site(database, engine, "worker", data_dir))
    runner.restore()
    return runner, engine


def essence(trial: Trial) -> dict[str, Any]:
    """What must be equal: everything but times and the number of attempts."""
    differs = ("attempt", "created_at", "started_at", "finished_at", "change")
    return {name: value for name, value in vars(trial).items() if name not in differs}


@pytest.fixture
def two_databases(tmp_path: Path, sqlite_template: Path) -> Iterator[tuple[Database, Database]]:
    databases = []
    for name in ("uninterrupted", "killed"):
        path = tmp_path / f"{name}.db"
        path.write_bytes(sqlite_template.read_bytes())
        databases.append(Database(f"sqlite:///{path}"))
    yield databases[0], databases[1]
    for database in databases:
        database.dispose()


PRUNERS = [
    {"name": "none"},
    {"name": "median"},
    {"name": "percentile", "percentile": 40},
    {"name": "asha"},
    {"name": "hyperband", "max_resource": N_REPORTS},
    {"name": "threshold", "upper": 8.0},
    {"name": "patient", "patience": 1},
]


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: pruner["name"])
@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_resumed_search_equals_uninterrupted(
    sampler: str, pruner: dict[str, object], two_databases: tuple[Database, Database], tmp_path: Path
) -> None:
    spec = {
        "search_space": SPACE,
        "sampler": {"name": sampler, "seed": 3} | ({"points": 3} if sampler == "grid" else {}),
        "pruner": pruner,
        "budget": {"max_trials": N_TRIALS, "max_attempts": 100, "max_failed_trials": None},
    }
    whole = play(two_databases[0], spec, tmp_path, kill_chance=0.0)
    killed = play(two_databases[1], spec, tmp_path, kill_chance=0.1)

    assert len(whole) == N_TRIALS
    assert sum(trial.attempt > 1 for trial in killed) >= 5, "the kills must have hit running trials"
    assert any(trial.state is TrialState.INFEASIBLE for trial in whole)
    assert [essence(trial) for trial in killed] == [essence(trial) for trial in whole]


def test_ten_thousand_trials_are_rebuilt_in_two_seconds() -> None:
    spec = make_spec(pruner={"name": "median"}, sampler={"name": "tpe", "seed": 0})
    trials = [finished_trial(number) for number in range(10_000)]
    reports = [Report(number, step, {"loss": 1.0}, 0.1) for number in range(10_000) for step in range(1, 6)]
    started = time.process_time()  # not wall time: the machine may be busy with other things
    search = Search("job", spec)
    search.restore(trials, reports)
    assert time.process_time() - started < 2.0
    proposal = search.propose(10_000)
    assert proposal is not None
    assert set(proposal.params) == {"learning_rate"}


def finished_trial(number: int) -> Trial:
    loss = 1.0 + number % 7
    return Trial(
        job_id="job",
        number=number,
        state=TrialState.COMPLETED,
        reason=None,
        params={"learning_rate": 1e-5 * (1 + number)},
        values={"loss": loss},
        objective=loss,
        told=None,
        study_attrs={},
        cell=None,
        enqueued=False,
        cancel_requested=False,
        step=5,
        checkpoint_step=None,
        attempt=1,
        lease_token=0,
        lease_expires_at=None,
        verdict=None,
        judged_step=None,
        data_hash=None,
        replicate_of=None,
        seed=0,
        worker="w",
        device="cpu",
        created_at=0.0,
        started_at=0.0,
        finished_at=1.0,
        gpu_seconds=0.0,
        error=None,
        artifacts=(),
        change=number,
    )
