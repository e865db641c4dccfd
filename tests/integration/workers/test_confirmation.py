"""A job ends by checking its answer: within its budget, apart from its search, and the same whoever has it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stepsize.application import controls, jobs, results
from stepsize.application.jobs import JobChanges
from stepsize.domain.job import Job, JobReason, JobState
from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.errors import AnalysisUnavailableError
from stepsize.spec.space import Scalar
from stepsize.store.readings import read_record
from stepsize_workers.engines.base import Outcome
from tests.builders import expire_lease
from tests.fake_analyst import FakeAnalyst, no_rate
from tests.fake_engine import FakeEngine
from tests.job_play import Stage, turn

CONFIRM, SEARCH = TrialPurpose.CONFIRM, TrialPurpose.SEARCH
TWENTY: dict[str, Any] = {"budget": {"max_trials": 20, "max_attempts": 100}, "confirm": True}


def rate(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """The loss is the learning rate."""
    yield float(params["learning_rate"])


@pytest.fixture
def analyst(stage: Stage) -> FakeAnalyst:
    """Answers with the best rate; asked by every worker of the stage."""
    stage.analyst = analyst = FakeAnalyst(stage.database)
    return analyst


def purposes(trials: list[Trial]) -> Counter[TrialPurpose]:
    return Counter(trial.purpose for trial in trials)


def essence(trials: list[Trial]) -> list[tuple[int, TrialPurpose, dict[str, Scalar], int, float | None]]:
    return [(one.number, one.purpose, one.params, one.seed, one.objective) for one in trials]


@pytest.mark.usefixtures("analyst")
@pytest.mark.parametrize("n_slots", [1, 3])
def test_the_kept_trials_train_what_is_recommended_with_fresh_seeds(n_slots: int, stage: Stage) -> None:
    job_id = stage.add(**TWENTY, seeds="shared")
    job = stage.play(job_id, rate, n_slots=n_slots)
    trials = stage.trials(job_id)
    assert (job.state, job.reason, job.n_counted, job.n_confirming) == (JobState.COMPLETED, JobReason.MAX_TRIALS, 20, 3)
    assert purposes(trials) == {SEARCH: 17, CONFIRM: 3}
    best = min((one for one in trials if one.purpose is SEARCH), key=lambda trial: trial.objective or 0.0)
    checks = [one for one in trials if one.purpose is CONFIRM]
    assert all(one.params == best.params for one in checks)
    assert len({one.seed for one in checks} | {best.seed}) == 4
    assert all(one.replicate_of is None for one in checks)


@pytest.mark.usefixtures("analyst")
@pytest.mark.parametrize("seed", range(6))
def test_a_job_killed_anywhere_checks_the_same(seed: int, stage: Stage) -> None:
    whole, killed = stage.add(**TWENTY), stage.add(**TWENTY)
    stage.play(whole, rate)
    stage.play(killed, rate, kill_chance=0.3, seed=seed)
    assert essence(stage.trials(killed)) == essence(stage.trials(whole))


@pytest.mark.usefixtures("analyst")
def test_a_worker_lost_among_the_checks_leaves_the_rest_to_the_next(stage: Stage) -> None:
    whole, killed = stage.add(**TWENTY), stage.add(**TWENTY)
    stage.play(whole, rate)
    stage.play(killed, rate, until=lambda trials: sum(one.purpose is CONFIRM for one in trials) == 3)
    stage.do(expire_lease, killed)
    stage.play(killed, rate)
    assert essence(stage.trials(killed)) == essence(stage.trials(whole))


def test_the_search_does_not_hear_of_its_checks(stage: Stage, analyst: FakeAnalyst) -> None:
    sampler = {"name": "tpe", "seed": 0, "n_startup_trials": 5}
    checked = stage.add(sampler=sampler, confirm=True, budget={"max_trials": 20})
    stage.play(checked, rate)
    stage.do(jobs.change_job, checked, JobChanges(budget={"max_trials": 24}))
    stage.play(checked, rate)
    plain = stage.add(sampler=sampler, budget={"max_trials": 21})
    stage.play(plain, rate)
    searched = [one.params for one in stage.trials(checked) if one.purpose is SEARCH]
    # A trial's draw follows from its number, and three numbers are the checks'.
    assert searched[:17] == [one.params for one in stage.trials(plain)][:17]
    assert len(searched) == 21
    assert len(analyst.asked) > 2


def test_without_an_answer_the_kept_trials_go_back_to_the_search(stage: Stage, analyst: FakeAnalyst) -> None:
    analyst.answer = no_rate
    whole, killed = stage.add(**TWENTY), stage.add(**TWENTY)
    job = stage.play(whole, rate)
    assert (job.state, job.reason, job.n_counted) == (JobState.COMPLETED, JobReason.MAX_TRIALS, 20)
    assert purposes(stage.trials(whole)) == {SEARCH: 20}
    stage.play(killed, rate, kill_chance=0.3)
    assert essence(stage.trials(killed)) == essence(stage.trials(whole))


def test_a_job_finishes_although_nobody_can_answer(stage: Stage, analyst: FakeAnalyst) -> None:
    analyst.fails = AnalysisUnavailableError("the analysis process died")
    job_id = stage.add(**TWENTY)
    assert stage.play(job_id, rate).state is JobState.COMPLETED
    assert purposes(stage.trials(job_id)) == {SEARCH: 20}
    with stage.database.read() as connection:
        answer = read_record(connection, job_id).answer
    assert answer is not None
    assert answer.words == "none"
    assert any("the analysis process died" in caveat for caveat in answer.caveats)


@pytest.mark.usefixtures("analyst")
def test_a_search_that_a_rule_ended_is_checked_too(stage: Stage) -> None:
    objectives = [{"metric": "loss", "direction": "minimize", "target": 0.5}]
    job_id = stage.add(**TWENTY, objectives=objectives)
    job = stage.play(job_id, rate)
    assert job.reason is JobReason.TARGET
    found = purposes(stage.trials(job_id))
    assert found[CONFIRM] == 3
    assert found[SEARCH] < 17


@pytest.mark.usefixtures("analyst")
@pytest.mark.parametrize("limit", [{"timeout_s": 0.01}, {"max_failed_trials": 1}])
def test_a_limit_leaves_nothing_for_checks(limit: dict[str, Any], stage: Stage) -> None:
    def fails(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
        yield Outcome.ERROR

    job_id = stage.add(confirm=True, budget={"max_trials": 20, **limit})
    job = stage.play(job_id, fails)
    assert job.reason in (JobReason.TIMEOUT, JobReason.MAX_FAILED_TRIALS)
    assert purposes(stage.trials(job_id))[CONFIRM] == 0


@pytest.mark.usefixtures("analyst")
def test_a_stop_ends_the_checks(stage: Stage) -> None:
    job_id = stage.add(**TWENTY)
    engine = FakeEngine(rate)
    holder = stage.claim(job_id, engine)
    while not purposes(stage.trials(job_id))[CONFIRM]:
        turn(holder, engine)
    stage.do(controls.stop, job_id)
    while not holder.is_over:
        turn(holder, engine)
    assert stage.outcome(job_id) == (JobState.COMPLETED, JobReason.USER)
    states = Counter(one.state for one in stage.trials(job_id) if one.purpose is CONFIRM)
    assert states[TrialState.CANCELLED] >= 2


@pytest.mark.usefixtures("analyst")
def test_checked_configurations_compete_for_best_by_their_mean(stage: Stage) -> None:
    job_id = stage.add(**TWENTY)
    job = stage.play(job_id, rate)
    trials = stage.trials(job_id)
    first_check = min(one.number for one in trials if one.purpose is CONFIRM)
    assert job.best_trial == first_check
    with stage.database.read() as connection:
        best = results.best(connection, job_id, n=2)
    assert best[0].trial.number == first_check
    assert best[0].replication is not None
    assert len(best[0].replication.values) == 3
    assert best[1].replication is None


def test_nothing_is_kept_unless_asked_for(stage: Stage, analyst: FakeAnalyst) -> None:
    job_id = stage.add(budget={"max_trials": 20}, confirm=False)
    stage.play(job_id, rate)
    assert purposes(stage.trials(job_id)) == {SEARCH: 20}
    assert [question.as_finished for question in analyst.asked] == [True], "one answer, as that of a finished job"


def test_a_job_waits_for_its_answer_and_runs_nothing_meanwhile(stage: Stage, analyst: FakeAnalyst) -> None:
    analyst.is_slow = True
    job_id = stage.add(budget={"max_trials": 3}, confirm=False)
    engine = FakeEngine(rate)
    holder = stage.claim(job_id, engine)
    for _ in range(20):
        turn(holder, engine)
    assert stage.job(job_id).state is JobState.RUNNING
    assert len(stage.trials(job_id)) == 3
    assert len(analyst.asked) == 1
    analyst.reply()
    turn(holder, engine)
    job: Job = stage.job(job_id)
    assert job.state is JobState.COMPLETED
    with stage.database.read() as connection:
        answer = read_record(connection, job_id).answer
    assert answer is not None
    assert answer.sentence.startswith("Of 3 trials")
    assert all(trial.state is TrialState.COMPLETED for trial in stage.trials(job_id))
