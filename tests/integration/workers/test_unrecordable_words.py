"""What a database refuses to keep costs the trial that said it, and nothing else, on both databases.

An engine checks what slots say (stepsize_workers/engines/wire.py), so that none of this should come so far.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepsize.domain.job import JobState
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials
from stepsize_workers.engines.base import Ended, Event, Outcome, Reported, TrialKey
from tests.builders import make_job, make_spec
from tests.fake_engine import FakeEngine
from tests.job_play import take_over


def endless(params: Any) -> Iterator[float | Outcome]:
    while True:
        yield 1.0


def words(key: TrialKey, kind: str) -> list[Event]:
    match kind:
        case "step":
            return [Reported(key, 2**63, {"loss": 0.5}, 1.0)]
        case "elapsed":
            seconds: Any = "soon"
            return [Reported(key, 2, {"loss": 0.5}, seconds)]
        case "value":
            value: Any = object()
            return [Reported(key, 2, {"loss": value}, 1.0)]
        case _:
            return [Reported(key, 2**70, {"loss": 0.5}, 1.0), Ended(key, Outcome.COMPLETED)]


def trials_of(database: Database, job_id: str) -> list[Trial]:
    with database.read() as connection:
        return load_trials(connection, job_id)


@pytest.mark.parametrize("kind", ["step", "elapsed", "value", "end"])
def test_words_that_cant_be_written_fail_their_trial_alone(database: Database, tmp_path: Path, kind: str) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(budget={"max_trials": 3})).id
    engine = FakeEngine(endless, n_slots=2)
    holder = take_over(database, job_id, engine, tmp_path)
    holder.start(engine.free_slots())
    rogue, innocent = TrialKey(job_id, 0, 1), TrialKey(job_id, 1, 1)
    holder.handle([Reported(innocent, 1, {"loss": 0.3}, 1.0), Reported(rogue, 1, {"loss": 0.9}, 1.0)])
    holder.handle([*words(rogue, kind), Reported(innocent, 2, {"loss": 0.2}, 2.0)])
    first, second = trials_of(database, job_id)
    assert (first.state, first.reason, first.step) == (TrialState.FAILED, TrialReason.ERROR, 1)
    assert first.error is not None
    assert first.error.message.startswith("what the trial said can't be recorded: ")
    assert (second.state, second.values) == (TrialState.RUNNING, {"loss": 0.2})
    assert holder.n_running == 1
    holder.handle([Ended(rogue, Outcome.STOPPED), Ended(innocent, Outcome.COMPLETED)])
    with database.read() as connection:
        assert get_job(connection, job_id).state is JobState.RUNNING
    _, second = trials_of(database, job_id)
    assert (second.state, second.objective) == (TrialState.COMPLETED, 0.2)


def test_a_report_that_comes_late_overrules_nothing(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(budget={"max_trials": 1})).id
    engine = FakeEngine(endless)
    holder = take_over(database, job_id, engine, tmp_path)
    holder.start(engine.free_slots())
    key = TrialKey(job_id, 0, 1)
    late = {"loss": 0.7, "seconds": 3.0}
    holder.handle([Reported(key, 5, {"loss": 0.5}, 1.0), Reported(key, 3, late, 1.0), Reported(key, 5, late, 1.0)])
    holder.handle([Ended(key, Outcome.COMPLETED)])
    (trial,) = trials_of(database, job_id)
    assert (trial.state, trial.objective, trial.step) == (TrialState.COMPLETED, 0.5, 5)
    assert trial.values == {"loss": 0.5, "seconds": 3.0}
