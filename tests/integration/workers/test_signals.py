"""Who may end a worker: whoever runs it, and not a trial of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials
from stepsize_workers.signals import is_ours
from tests.builders import make_job, make_spec
from tests.waiting import wait_for
from tests.worker_process import WorkerProcess

MUTINOUS = '''
import os, signal, time
from stepsize import Params, TrialContext, trainer

class NoParams(Params):
    """Nothing to choose."""

@trainer(name="mutinous", params=NoParams, metrics={"loss": "minimize"}, search_space={})
def train(context: TrialContext[NoParams]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getppid(), number)
    time.sleep(0.5)  # a worker that obeyed would have ended this trial by now, or be about to
    context.report(1, {"loss": 1.0})
'''


def test_a_process_that_we_started_is_ours_with_all_it_starts() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import os; print(os.getpid()); input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert is_ours(child.pid)
        assert is_ours(grandchild)
        child.communicate(b"\n")
    assert not is_ours(os.getppid())
    assert not is_ours(child.pid), "it has ended"


def test_a_trial_that_tells_its_worker_to_end_is_not_heeded(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mutinous.py").write_text(MUTINOUS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    database = Database(sqlite_url)
    with database.write() as connection:
        trainer = {"name": "mutinous", "version": "1", "params": {}}
        objectives = [{"metric": "loss", "direction": "minimize"}]
        spec = make_spec(trainer=trainer, search_space={}, objectives=objectives, budget={"max_trials": 1})
        job = make_job(connection, spec=spec)

    def ended() -> bool:
        with database.read() as connection:
            return get_job(connection, job.id).state is JobState.COMPLETED

    with WorkerProcess(sqlite_url, tmp_path, slots=1, lease_s=10.0, trainers="mutinous") as worker:
        wait_for(ended, timeout_s=120.0)
        assert "isn't heeded" in worker.log
        (slot,) = (one for one in worker.slots() if "stepsize_workers.engines.slot" in one.cmdline())
        slot.terminate()
        slot.wait(10.0)  # what the worker holds back its slots do not
        worker.stop()
    with database.read() as connection:
        (trial,) = load_trials(connection, job.id)
    assert (trial.state, trial.attempt) == (TrialState.COMPLETED, 1)
    database.dispose()
