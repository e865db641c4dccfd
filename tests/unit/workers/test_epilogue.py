"""What follows a search: stage by stage, and nothing is finished while a stage can't say yet what it wants."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepsize.domain.job import JobReason, JobState
from stepsize.domain.trial import TrialState
from stepsize.spec.space import Scalar
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.leases import claim_job
from stepsize.store.ledger import NewTrial
from stepsize.store.trials import load_trials
from stepsize_workers.answering import AnswerKeeper
from stepsize_workers.engines.base import Outcome
from stepsize_workers.epilogue import Further, NotYet, Stage, next_step
from stepsize_workers.held_job import HeldJob
from stepsize_workers.holder import JobHolder
from stepsize_workers.site import Site
from stepsize_workers.tuner import Tuner
from stepsize_workers.venues.slots import SlotVenue
from tests.builders import make_job, make_spec
from tests.fake_engine import FakeEngine
from tests.job_play import turn

ONE_MORE = NewTrial(number=1, state=TrialState.QUEUED, params={"learning_rate": 0.5}, seed=7, replicate_of=0)


@dataclass
class Says:
    """A stage that says one thing after the other, the last for good, and notes why it was asked."""

    steps: list[Further | NotYet]
    reasons: list[JobReason] = field(default_factory=list)

    def next_step(self, reason: JobReason) -> Further | NotYet:
        self.reasons.append(reason)
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


def test_a_stage_that_is_done_lets_the_next_one_speak() -> None:
    stages: list[Stage] = [Says([Further()]), Says([Further([ONE_MORE])])]
    assert next_step(stages, JobReason.MAX_TRIALS) == Further([ONE_MORE])


def test_a_stage_that_cannot_say_yet_holds_up_those_after_it() -> None:
    later = Says([Further([ONE_MORE])])
    assert next_step([Says([NotYet()]), later], JobReason.MAX_TRIALS) == NotYet()
    assert later.reasons == []


def flat(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    yield 1.0


def test_a_job_finishes_only_when_every_stage_is_done(sqlite_url: str, tmp_path: Path) -> None:
    database, engine = Database(sqlite_url), FakeEngine(flat)
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(budget={"max_trials": 1})).id
        claimed = claim_job(connection, job_id, owner="worker", lease_s=600.0)
    assert claimed is not None
    held = HeldJob(*claimed, Site(database, engine, "worker", tmp_path))
    tuner = Tuner(held)
    stage = Says([NotYet(), NotYet(), Further([ONE_MORE]), Further()])
    holder = JobHolder(held, tuner, SlotVenue(held, tuner), [stage], AnswerKeeper(held))
    holder.restore()
    states = []
    while not holder.is_over:
        turn(holder, engine)
        states.append(held.job.state)
        assert len(states) < 20, "the job never ends"
    with database.read() as connection:
        assert get_job(connection, job_id).state is JobState.COMPLETED
        numbers = [(trial.number, trial.state) for trial in load_trials(connection, job_id)]
    assert numbers == [(0, TrialState.COMPLETED), (1, TrialState.COMPLETED)]
    assert stage.reasons == [JobReason.MAX_TRIALS] * 4, "twice not yet, one more trial, done"
    assert states[:-1] == [JobState.RUNNING] * (len(states) - 1)
    database.dispose()
