"""Trials that train as one, under real processes that are killed anywhere: the same trials, to the last bit."""

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stepsize.domain.job import JobState
from stepsize.domain.trial import GroupHow, Report, Trial, TrialState
from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_reports, load_trials
from tests.builders import make_job, make_spec
from tests.waiting import wait_for
from tests.worker_process import WorkerProcess

N_TRIALS, N_EPOCHS = 20, 5
PACED = "tests.integration.workers.paced_trainer"
_LIMIT_S = 120.0
"""A start of a worker takes seconds on a busy machine."""


class Play:
    """One job in a database of its own, and what became of it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        folder.mkdir()
        self.folder, self.url = folder, f"sqlite:///{folder}/stepsize.db"
        migrate.upgrade(self.url)
        self.database = Database(self.url)
        spec = {
            "trainer": {
                "name": "paced_classifier",
                "version": "1",
                "params": {"dataset": "digits", "model": "mlp", "epochs": N_EPOCHS},
            },
            "search_space": {
                "learning_rate": {"type": "float", "low": 1e-4, "high": 10.0, "log": True},
                "batch_size": {"type": "int", "low": 64, "high": 128, "powers_of_two": True},
            },
            "objectives": [{"metric": "val_loss", "direction": "minimize"}],
            "sampler": {"name": "tpe", "seed": 1},
            "budget": {"max_trials": N_TRIALS, "max_attempts": 100},
        }
        with self.database.write() as connection:
            make_job(connection, spec=make_spec(**spec | changes), id="job-played")

    def trials(self) -> list[Trial]:
        with self.database.read() as connection:
            return load_trials(connection, "job-played")

    def reports(self) -> list[Report]:
        with self.database.read() as connection:
            return list(load_reports(connection, "job-played"))

    def is_over(self) -> bool:
        with self.database.read() as connection:
            return get_job(connection, "job-played").state is JobState.COMPLETED

    def worker(self) -> WorkerProcess:
        return WorkerProcess(self.url, self.folder, slots=1, lease_s=1.0, trainers=PACED)

    def kill_a_worker(self, *, once: Callable[[], object], after_s: float = 0.0) -> bool:
        """Kill a worker some time after something has come to be; False: the job was over before."""
        with self.worker() as worker:
            wait_for(lambda: once() or self.is_over(), timeout_s=_LIMIT_S)
            time.sleep(after_s)
            is_over = self.is_over()
            worker.kill()
        return not is_over

    def play_on(self) -> "Play":
        with self.worker():
            wait_for(self.is_over, timeout_s=_LIMIT_S)
        return self

    def essence(self) -> list[object]:
        """What must be equal: all but times, and what had to be tried again."""
        differs = {"attempt", "losses_of_worker", "losses_in_a_row", "worker", "provenance"}
        differs |= {"created_at", "started_at", "finished_at", "gpu_seconds", "change"}
        trials = [{name: value for name, value in vars(one).items() if name not in differs} for one in self.trials()]
        reports = {(one.number, one.step): _without_times(one.values) for one in self.reports()}
        return [*({**one, "values": _without_times(one["values"])} for one in trials), reports]


def _without_times(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not name.endswith("_s")}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("fuse", [8, "auto"])
def test_a_judged_search_in_groups_replays_to_the_last_bit(tmp_path: Path, fuse: int | str, seed: int) -> None:
    job = {"resources": {"fuse": fuse}, "pruner": {"name": "median"}, "sampler": {"name": "tpe", "seed": seed}}
    whole = Play(tmp_path / "whole", **job).play_on()
    assert {TrialState.PRUNED, TrialState.COMPLETED} <= {trial.state for trial in whole.trials()}
    assert GroupHow.FUSED in {trial.group.how for trial in whole.trials() if trial.group}
    killed = Play(tmp_path / "killed", **job)
    moments = random.Random(seed)
    n_kills = 0
    for _ in range(4):
        known = len(killed.reports())
        n_kills += killed.kill_a_worker(
            once=lambda: len(killed.reports()) > known,  # noqa: B023 - called before the loop goes on
            after_s=moments.uniform(0.0, 0.3),
        )
    assert n_kills >= 3, "the job must outlast the kills, or they prove nothing"
    assert killed.play_on().essence() == whole.essence()


@pytest.mark.slow
def test_killed_while_it_measures_and_in_a_group_nothing_is_lost(tmp_path: Path) -> None:
    search_space = {"learning_rate": {"type": "float", "low": 1e-3, "high": 1e-2, "log": True}}
    play = Play(tmp_path / "job", resources={"fuse": "auto"}, search_space=search_space)

    def measures(attempt: int) -> bool:
        trials = play.trials()
        return any(one.attempt == attempt and one.group and one.group.how is GroupHow.MEASURING for one in trials)

    for attempt in (1, 2):
        assert play.kill_a_worker(once=partial(measures, attempt), after_s=0.1)
        (only,) = play.trials()
        assert (only.number, only.step, only.group and only.group.measured) == (0, None, ())
    assert play.kill_a_worker(once=play.reports)
    seen = {(one.number, one.step): _without_times(one.values) for one in play.reports()}
    play.play_on()
    trials = play.trials()
    assert [trial.number for trial in trials] == list(range(N_TRIALS)), "what was tried out is no trial"
    assert {trial.state for trial in trials} == {TrialState.COMPLETED}
    assert Counter(one.number for one in play.reports()) == Counter(dict.fromkeys(range(N_TRIALS), N_EPOCHS))
    assert seen.items() <= {(one.number, one.step): _without_times(one.values) for one in play.reports()}.items()
    assert trials[0].losses_of_worker >= 2
    assert {trial.group.measured for trial in trials if trial.group and trial.group.how is GroupHow.FUSED} == {
        (100.0, 150.0, 240.0)
    }
