"""Who watches the watchers: a worker whose watcher dies says so, ends in order, and is started anew."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from stepsize.cli.supervisor import Supervisor
from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.settings import Settings
from stepsize.spec.space import Scalar
from stepsize.store.workers import list_workers
from stepsize_workers import lease, watchers
from stepsize_workers.engines.base import Outcome
from stepsize_workers.loop import WorkerLoop
from tests.builders import make_card
from tests.fake_engine import FakeEngine
from tests.job_play import Stage
from tests.waiting import wait_for


def endless(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """Report for ever."""
    while True:
        yield 1.0


@pytest.mark.parametrize(
    ("module", "name", "watcher"),
    [(lease, "renew_leases", "lease-keeper"), (watchers, "open_signal", "change-watcher")],
    ids=["lease-keeper", "change-watcher"],
)
def test_a_worker_whose_watcher_dies_says_so_and_ends_in_order(
    module: Any, name: str, watcher: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = stage.add()

    def give_way(*_: Any, **__: Any) -> Any:
        wait_for(lambda: stage.job(job_id).counts[TrialState.RUNNING] == 1)
        raise RuntimeError("no such luck")

    monkeypatch.setattr(module, name, give_way)
    settings = Settings(data_dir=stage.data_dir, lease_s=6.0)
    loop = WorkerLoop(stage.database, FakeEngine(endless), settings, [make_card()])
    with capture_logs() as logs:
        assert not loop.run(), "it did not end because it was asked to"
    died = [line for line in logs if line["event"] == "a watcher of this worker died"]
    assert [(line["watcher"], line["log_level"]) for line in died] == [(watcher, "error")]
    job = stage.job(job_id)
    assert (job.state, job.lease_live) == (JobState.QUEUED, False)
    assert {trial.state for trial in stage.trials(job_id)} == {TrialState.QUEUED}
    with stage.database.read() as connection:
        assert list_workers(connection, lease_s=600.0) == []


def test_a_worker_that_is_asked_to_end_has_lost_no_watcher(stage: Stage) -> None:
    loop = WorkerLoop(stage.database, FakeEngine(endless), Settings(data_dir=stage.data_dir), [make_card()])
    loop.stop()
    assert loop.run()


BLIND_WORKER = """
import os, pathlib, sys
import stepsize_workers.watchers
from stepsize_workers.process import main

def give_way(*_):
    raise RuntimeError("no such luck")

stepsize_workers.watchers.open_signal = give_way
sys.argv = ["worker", "--slots", "1"]
try:
    main()
except SystemExit as end:
    (pathlib.Path(os.environ["FOLDER"]) / str(os.getpid())).write_text(str(end.code))
    raise
"""


def test_the_worker_beside_the_api_is_started_anew_when_a_watcher_of_it_died(sqlite_url: str, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    ends.mkdir()
    environment = {
        **os.environ,
        "FOLDER": str(ends),
        "STEPSIZE_DATABASE_URL": sqlite_url,
        "STEPSIZE_DATA_DIR": str(tmp_path),
    }
    supervisor = Supervisor([sys.executable, "-c", BLIND_WORKER], env=environment, first_pause_s=0.01)
    supervisor.start()
    try:
        wait_for(lambda: len(list(ends.iterdir())) >= 2, timeout_s=120.0)
    finally:
        supervisor.stop(timeout_s=10.0)
    assert all("could not go on" in end.read_text() for end in ends.iterdir())
