"""Replicates: the best configurations again with fresh seeds, at the end, apart from the search."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stepsize.application import jobs, results, trials
from stepsize.application.jobs import JobChanges
from stepsize.domain.job import JobReason, JobState
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.spec.space import Scalar
from stepsize_workers.engines.base import Outcome
from tests.fake_engine import FakeEngine
from tests.job_play import Stage, turn

THREE_BY_TWO: dict[str, Any] = {"replicates": {"top": 3, "seeds": 2}, "budget": {"max_trials": 6}}


def rate(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """The loss is the learning rate."""
    yield float(params["learning_rate"])


def split(found: list[Trial]) -> tuple[list[Trial], list[Trial]]:
    """Return the trials of the search and the replicates."""
    return [one for one in found if one.replicate_of is None], [one for one in found if one.replicate_of is not None]


def best_three(searched: list[Trial]) -> set[int]:
    return {trial.number for trial in sorted(searched, key=lambda trial: trial.objective or 0.0)[:3]}


@pytest.mark.parametrize(("n_slots", "kill_chance"), [(1, 0.0), (3, 0.0), (1, 0.25), (3, 0.25)])
def test_the_best_are_replicated_once_the_search_is_over(n_slots: int, kill_chance: float, stage: Stage) -> None:
    job_id = stage.add(**THREE_BY_TWO)
    job = stage.play(job_id, rate, n_slots=n_slots, kill_chance=kill_chance)
    assert (job.state, job.reason) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
    searched, replicates = split(stage.trials(job_id))
    assert (len(searched), len(replicates), job.n_counted) == (6, 6, 6)
    assert Counter(one.replicate_of for one in replicates) == dict.fromkeys(best_three(searched), 2)
    params = {one.number: one.params for one in searched}
    assert all(one.params == params[one.replicate_of or 0] for one in replicates)
    assert len({one.seed for one in replicates} | {searched[0].seed}) == 7, "every replicate has a seed of its own"


def test_replicates_never_enter_the_search(stage: Stage) -> None:
    sampler = {"name": "tpe", "seed": 3, "n_startup_trials": 4}
    plain = stage.add(sampler=sampler, budget={"max_trials": 14})
    stage.play(plain, rate)
    replicated = stage.add(sampler=sampler, replicates={"top": 2, "seeds": 2}, budget={"max_trials": 8})
    stage.play(replicated, rate)
    stage.do(jobs.change_job, replicated, JobChanges(budget={"max_trials": 14}))
    stage.play(replicated, rate)
    searched, replicates = split(stage.trials(replicated))
    assert len(searched) == 14
    assert replicates
    # The sampler is seeded by trial numbers, and after replicates these are higher; so only what came before compares.
    assert [one.params for one in searched[:8]] == [one.params for one in stage.trials(plain)[:8]]


def test_a_larger_budget_replicates_what_is_among_the_best_by_then(stage: Stage) -> None:
    job_id = stage.add(**THREE_BY_TWO)
    stage.play(job_id, rate)
    before = {one.number for one in split(stage.trials(job_id))[1]}
    stage.do(jobs.change_job, job_id, JobChanges(budget={"max_trials": 20}))
    job = stage.play(job_id, rate)
    searched, replicates = split(stage.trials(job_id))
    assert (job.reason, len(searched), job.n_counted) == (JobReason.MAX_TRIALS, 20, 20)
    have = Counter(one.replicate_of for one in replicates)
    assert all(have[number] == 2 for number in best_three(searched))
    assert max(have.values()) == 2, "what had its replicates gets no more"
    assert before <= {one.number for one in replicates}


def test_a_cancelled_replicate_is_not_made_up_for(stage: Stage) -> None:
    job_id = stage.add(**THREE_BY_TWO)
    engine = FakeEngine(rate)
    holder = stage.claim(job_id, engine)
    while not split(stage.trials(job_id))[1]:
        turn(holder, engine)
    victim = next(one for one in split(stage.trials(job_id))[1] if one.state is TrialState.QUEUED)
    stage.do(trials.cancel_trial, job_id, victim.number)
    while not holder.is_over:
        turn(holder, engine)
    _, replicates = split(stage.trials(job_id))
    assert stage.outcome(job_id) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
    assert Counter(one.state for one in replicates) == {TrialState.COMPLETED: 5, TrialState.CANCELLED: 1}
    assert stage.job(job_id).n_counted == 6


def test_replicates_a_spent_budget_cut_off_are_run_under_a_larger_one(stage: Stage) -> None:
    job_id = stage.add(replicates={"top": 3, "seeds": 2}, budget={"max_trials": 6, "max_failed_trials": 1})

    def failing_once_replicated(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
        if any(one.replicate_of is not None for one in stage.trials(job_id)):
            yield Outcome.ERROR
        yield float(params["learning_rate"])

    job = stage.play(job_id, failing_once_replicated)
    assert (job.state, job.reason) == (JobState.FAILED, JobReason.MAX_FAILED_TRIALS)
    _, replicates = split(stage.trials(job_id))
    assert Counter((one.state, one.reason) for one in replicates) == {
        (TrialState.FAILED, TrialReason.ERROR): 1,
        (TrialState.CANCELLED, None): 5,
    }
    stage.do(jobs.change_job, job_id, JobChanges(budget={"max_failed_trials": 9}))
    job = stage.play(job_id, rate)
    _, replicates = split(stage.trials(job_id))
    assert (job.state, job.reason) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
    assert Counter(one.state for one in replicates)[TrialState.COMPLETED] == 5


def test_the_best_trial_is_the_one_whose_replicates_have_the_best_mean(stage: Stage) -> None:
    job_id = stage.add(**THREE_BY_TWO)
    seen: Counter[Scalar] = Counter()

    def lucky_once(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
        """The lowest rate does best the first time, and badly ever after."""
        lr = params["learning_rate"]
        seen[lr] += 1
        yield float(lr) + (1.0 if seen[lr] > 1 and lr == min(seen) else 0.0)

    job = stage.play(job_id, lucky_once)
    searched, _ = split(stage.trials(job_id))
    lucky, second, third = sorted(searched, key=lambda trial: trial.objective or 0.0)[:3]
    with stage.database.read() as connection:
        best = results.best(connection, job_id, n=4)
    assert [one.trial.number for one in best[:3]] == [second.number, third.number, lucky.number]
    assert job.best_trial == second.number
    assert best[0].replication is not None
    assert best[0].replication.values == (second.objective,) * 2
    assert best[3].replication is None
    assert [one.tied for one in best] == [()] * 4  # without any noise nothing is tied that differs
