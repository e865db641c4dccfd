"""The search of a job whose trials clients run: the same whoever has it, and no dearer for a long history."""

import math
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from benchmarks.history import add_history
from stepsize.application.suggestions import (
    Asking,
    Ending,
    Measurement,
    Told,
    add_reports,
    end_trial,
    note_asking,
    read_suggestions,
    read_verdict,
    take_trials,
)
from stepsize.domain.job import JobState
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials
from tests.builders import expire_lease, make_job, make_spec
from tests.searching import Searcher

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 10.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
}
N_TRIALS = 24
ASKING = Asking("gpu-1", 1, 600.0)


def external_spec(**changes: Any) -> Any:
    fields = {"engine": "external", "trainer": {"name": "external"}, "search_space": SPACE}
    return make_spec(**(fields | changes))


class Play:
    """One client that trains trial after trial, and a worker that may be killed between any two of its words."""

    def __init__(self, database: Database, data_dir: Path, *, kill_chance: float, seed: int = 0) -> None:
        self.database = database
        self.data_dir = data_dir
        self.kill_chance = kill_chance
        self.moments = random.Random(seed)
        self.n_kills = 0

    def run(self, **spec: Any) -> list[Trial]:
        with self.database.write() as connection:
            self.job_id = make_job(connection, id="job-under-test", spec=external_spec(**spec)).id
        self.searcher = Searcher(self.database, self.job_id, self.data_dir)
        while trial := self.take():
            self.train(trial)
        with self.database.read() as connection:
            assert get_job(connection, self.job_id).state is JobState.COMPLETED
            return load_trials(connection, self.job_id)

    def take(self) -> Trial | None:
        with self.database.write() as connection:
            take_trials(connection, self.job_id, [ASKING])
            held = read_suggestions(connection, self.job_id, ASKING.client_id, lease_s=60.0).trials
        self.let_search()
        return held[0] if held else None

    def train(self, trial: Trial) -> None:
        """A valley at 0.1 that diverges above a rate of 1."""
        token, number = trial.lease_token, trial.number
        lr, batch_size = float(trial.params["learning_rate"]), int(trial.params["batch_size"])
        if lr > 1.0:
            self.end(number, token, Ending(TrialState.INFEASIBLE, TrialReason.DIVERGED))
            return
        for step in range(1, 4):
            loss = (math.log10(lr) + 1) ** 2 + batch_size / 256 + 1 / step
            with self.database.write() as connection:
                add_reports(
                    connection, self.job_id, number, token=token, measurements=[Measurement(step, {"loss": loss})]
                )
            self.let_search()
            with self.database.read() as connection:
                if read_verdict(connection, self.job_id, number, token=token).should_stop:
                    return
        self.end(number, token, Ending(TrialState.COMPLETED, values={"loss": loss}))

    def end(self, number: int, token: int, ending: Ending) -> None:
        with self.database.write() as connection:
            end_trial(connection, self.job_id, Told(number, token, ending))
        self.let_search()

    def let_search(self) -> None:
        """Let the worker take in what was said; or kill it before it could, and let another take over."""
        if self.searcher.holder.is_over or self.moments.random() >= self.kill_chance:
            self.searcher.work()
            return
        self.n_kills += 1
        self.searcher.holder.abandon()
        with self.database.write() as connection:
            expire_lease(connection, self.job_id)
        self.searcher = Searcher(self.database, self.job_id, self.data_dir)


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


def essence(trial: Trial) -> dict[str, Any]:
    """What must be equal: everything but times."""
    differs = ("created_at", "started_at", "finished_at", "lease_expires_at", "change")
    return {name: value for name, value in vars(trial).items() if name not in differs}


@pytest.mark.parametrize("pruner", ["none", "asha", pytest.param("median", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sampler", ["tpe", pytest.param("grid", marks=pytest.mark.slow)])
def test_a_search_that_changes_hands_equals_one_that_does_not(
    sampler: str, pruner: str, two_databases: tuple[Database, Database], tmp_path: Path
) -> None:
    spec = {
        "sampler": {"name": sampler, "seed": 3} | ({"points": 5} if sampler == "grid" else {}),
        "pruner": {"name": pruner},
        "budget": {"max_trials": N_TRIALS},
    }
    whole = Play(two_databases[0], tmp_path, kill_chance=0.0).run(**spec)
    killed_play = Play(two_databases[1], tmp_path, kill_chance=0.25)
    killed = killed_play.run(**spec)

    assert killed_play.n_kills >= 6
    assert len(whole) == N_TRIALS
    assert any(trial.state is TrialState.INFEASIBLE for trial in whole)
    assert any(trial.state is TrialState.PRUNED for trial in whole) == (pruner != "none")
    assert [essence(trial) for trial in killed] == [essence(trial) for trial in whole]


def test_infeasible_trials_are_told_the_worst_feasible_value_before_them(database: Database, tmp_path: Path) -> None:
    play = Play(database, tmp_path, kill_chance=0.0)
    half_diverge = {"learning_rate": {**SPACE["learning_rate"], "high": 1e5}, "batch_size": SPACE["batch_size"]}
    trials = play.run(search_space=half_diverge, sampler={"name": "random", "seed": 1}, budget={"max_trials": 12})
    by_end = sorted(trials, key=lambda trial: trial.finished_at or 0.0)
    losses = [trial.values["loss"] for trial in by_end if trial.state is TrialState.COMPLETED]
    worst = losses[0]
    n_infeasible = 0
    for trial in by_end:
        if trial.state is TrialState.COMPLETED:
            worst = max(worst, trial.values["loss"])
        else:
            n_infeasible += 1
            assert trial.stand_in == (worst,)
    assert n_infeasible >= 2
    assert len(losses) >= 2


@pytest.mark.slow
def test_a_wake_up_costs_no_more_on_top_of_thousands_of_trials(sqlite_url: str, tmp_path: Path) -> None:
    counts, times = [], []
    for n_trials in (100, 3000):
        database = Database(sqlite_url)
        with database.write() as connection:
            spec = external_spec(pruner={"name": "median"}, budget={"max_trials": 20_000})
            job_id = make_job(connection, id=f"job-{n_trials}", spec=spec).id
        add_history(database, job_id, n_trials=n_trials, n_reports=1)
        searcher = Searcher(database, job_id, tmp_path)
        with database.write() as connection:
            take_trials(connection, job_id, [ASKING])
        n_statements = 0

        def count(*_: object) -> None:
            nonlocal n_statements
            n_statements += 1

        event.listen(database.engine, "before_cursor_execute", count)
        searcher.holder.look()
        counts.append(n_statements)
        searcher.work()
        spent = []
        for _ in range(20):
            started = time.perf_counter()
            searcher.holder.look()
            searcher.holder.settle()
            spent.append(time.perf_counter() - started)
        times.append(statistics.median(spent))
        searcher.holder.abandon()
        database.dispose()
    assert counts[0] == counts[1]
    # One short read. Reading 3,000 trials would take some 60 ms; 20 ms are the noise of shared cores.
    assert times[1] < 3 * times[0] + 0.02


@pytest.mark.parametrize(("parallel", "n_offered"), [(None, 21), (5, 5)])
def test_trials_are_offered_at_once_to_all_who_are_said_to_wait(
    database: Database, tmp_path: Path, parallel: int | None, n_offered: int
) -> None:
    spec = external_spec(
        budget={"max_trials": 100, "max_parallel_trials": parallel}, sampler={"name": "random", "seed": 0}
    )
    with database.write() as connection:
        job_id = make_job(connection, spec=spec).id
    searcher = Searcher(database, job_id, tmp_path)
    searcher.work()
    with database.write() as connection:
        note_asking(connection, job_id, 20)
    searcher.work()
    searcher.work()
    with database.read() as connection:
        assert len(load_trials(connection, job_id)) == n_offered, "one for whoever comes first, then for all"
        assert get_job(connection, job_id).n_asking == (0 if parallel is None else 20 - 4)
    searcher.holder.abandon()
