"""Generated misbehaviour in the slots of a real worker, beside an innocent job, on both databases.

What a trial does or says can end that trial only: it ends in its first attempt, no lease is lost, the worker stays the
same, and the innocent job completes. Draw others with STEPSIZE_TEST_SEED.
"""

import os
import random
from pathlib import Path

import pytest

from stepsize.api.schemas import TrialOut
from stepsize.application.files import read_log
from stepsize.clock import new_id
from stepsize.domain.job import JobState
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import NewJob, get_job, insert_job
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.trials import load_trials
from stepsize.store.workers import list_workers
from tests.builders import make_spec
from tests.contracts.misdeeds import DEADLY, DEEDS, ENDLESS, FORGIVEN
from tests.waiting import wait_for
from tests.worker_process import WorkerProcess

SEED = int(os.environ.get("STEPSIZE_TEST_SEED", "11"))
_ATTEMPTS = 1
"""A trial whose process dies is started again until it has used these up."""


def draw_deeds(n: int, rng: random.Random) -> list[str]:
    """Return `n` deeds, each of them about as often as the others."""
    deeds = [name for _ in range(-(-n // len(DEEDS))) for name in rng.sample(sorted(DEEDS), len(DEEDS))]
    return deeds[:n]


class Story:
    """One worker, misbehaving jobs with and without a pruner, and an innocent one."""

    def __init__(self, database: Database, data_dir: Path, n: int) -> None:
        self.database = database
        self.data_dir = data_dir
        rng = random.Random(SEED)
        deeds = draw_deeds(n, rng)
        self.rogues = [
            self._submit_rogue(deeds[: n // 2], rng, {"name": "none"}),
            self._submit_rogue(deeds[n // 2 :], rng, {"name": "median", "n_startup_trials": 1000}),
        ]
        params = {"n_reports": 10, "step_s": 0.02}
        spec = make_spec(trainer={"name": "synthetic", "version": "1", "params": params}, budget={"max_trials": n})
        with database.write() as connection:
            new = NewJob(id=new_id("job"), spec=spec, warnings=(), total_cells=None)
            self.innocent = insert_job(connection, new).id

    def _submit_rogue(self, deeds: list[str], rng: random.Random, pruner: dict[str, object]) -> tuple[str, list[str]]:
        spec = make_spec(
            trainer={"name": "misbehaving", "version": "1"},
            search_space={
                "deed": {"type": "categorical", "choices": sorted(DEEDS)},
                "x": {"type": "float", "low": 0.0, "high": 1.0},
            },
            budget={
                "max_trials": len(deeds),
                "max_attempts": _ATTEMPTS,
                "stall_timeout_s": 5.0,
                "max_failed_trials": None,
            },
            pruner=pruner,
        )
        with self.database.write() as connection:
            job = insert_job(connection, NewJob(id=new_id("job"), spec=spec, warnings=(), total_cells=None))
            with open_ledger(connection, job.id) as ledger:
                ledger.insert_trials(
                    [
                        NewTrial(
                            number=number,
                            state=TrialState.QUEUED,
                            params={"deed": deed, "x": rng.random()},
                            seed=rng.randrange(2**31),
                        )
                        for number, deed in enumerate(deeds)
                    ]
                )
        return job.id, deeds

    def trials(self, job_id: str) -> list[Trial]:
        with self.database.read() as connection:
            return load_trials(connection, job_id)

    def is_over(self, job_id: str) -> bool:
        with self.database.read() as connection:
            return get_job(connection, job_id).state.is_finished

    def tell(self, *, limit_s: float) -> None:
        """Run it to its end, and judge it."""
        url = self.database.engine.url.render_as_string(hide_password=False)
        with WorkerProcess(url, self.data_dir, lease_s=5.0, trainers="tests.contracts.misdeeds") as worker:
            job_ids = [self.innocent, *(job_id for job_id, _ in self.rogues)]
            wait_for(lambda: all(self.is_over(job_id) for job_id in job_ids), timeout_s=limit_s)
            assert "lease lost" not in worker.log
            with self.database.read() as connection:
                assert [one.pid for one in list_workers(connection, lease_s=5.0)] == [worker.pid]
                assert {get_job(connection, job_id).state for job_id in job_ids} == {JobState.COMPLETED}
            assert worker.stop() == 0
        for trial in self.trials(self.innocent):
            assert (trial.state, trial.attempt) in ((TrialState.COMPLETED, 1), (TrialState.INFEASIBLE, 1)), trial
        for job_id, deeds in self.rogues:
            for deed, trial in zip(deeds, self.trials(job_id), strict=True):
                self.judge(deed, trial)

    def judge(self, deed: str, trial: Trial) -> None:
        assert (trial.attempt, trial.losses_of_worker) == (1, 0), (deed, trial)
        TrialOut.of(trial).model_dump_json()
        log = read_log(self.data_dir, trial.job_id, trial.number)
        assert len(log) <= 1 << 20
        if deed in FORGIVEN:
            assert trial.state is TrialState.COMPLETED, (deed, trial, log[-500:])
            return
        assert trial.error is not None, (deed, trial)
        assert trial.error.message.isprintable() or deed in ("odd_exception", "odd_but_fair_name"), (deed, trial)
        if deed in DEADLY:
            assert trial.reason is TrialReason.LOST, (deed, trial)
            assert "ended: " in trial.error.message
        elif deed in ENDLESS:
            assert trial.reason is TrialReason.STALLED, (deed, trial)
        else:
            assert trial.reason in (TrialReason.ERROR, TrialReason.DIVERGED), (deed, trial)


@pytest.mark.timeout(280)
def test_misdeeds_end_their_own_trials_alone(database: Database, tmp_path: Path) -> None:
    Story(database, tmp_path, 40).tell(limit_s=250.0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_five_hundred_misdeeds_end_their_own_trials_alone(database: Database, tmp_path: Path) -> None:
    Story(database, tmp_path, 500).tell(limit_s=2900.0)
