"""Which seeds trials are given, also when a worker is lost, a trial starts again, or clients ask for configurations."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stepsize.application import jobs, trials
from stepsize.domain.trial import TrialState
from stepsize.spec.space import Scalar
from stepsize_workers.engines.base import Outcome
from tests.job_play import Stage

RULES: list[tuple[Any, int]] = [("fresh", 12), ("shared", 1), ({"blocks": 5}, 5)]
"""A rule, and how many seeds twelve trials have under it."""


def rate(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """The loss is the learning rate."""
    yield float(params["learning_rate"])


def broken(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    yield Outcome.ERROR


@pytest.mark.parametrize(("rule", "n_seeds"), RULES)
def test_seeds_follow_the_rule_whoever_holds_the_job(rule: Any, n_seeds: int, stage: Stage) -> None:
    def play(kill_chance: float) -> list[int]:
        job_id = stage.add(seeds=rule, budget={"max_trials": 12})
        stage.play(job_id, rate, n_slots=3, kill_chance=kill_chance)
        return [trial.seed for trial in stage.trials(job_id)]

    whole = play(0.0)
    assert len(set(whole)) == n_seeds
    assert play(0.3) == whole


def test_a_grid_and_clients_own_configurations_follow_it_too(stage: Stage) -> None:
    space = {"learning_rate": {"type": "categorical", "choices": [0.1, 0.2, 0.3, 0.4]}}
    job_id = stage.add(seeds={"blocks": 2}, sampler={"name": "grid", "seed": 0}, search_space=space)
    stage.do(trials.enqueue, job_id, {"learning_rate": 0.3})
    stage.play(job_id, rate)
    seeds = [trial.seed for trial in stage.trials(job_id)]
    assert seeds == seeds[:2] * 2
    assert seeds[0] != seeds[1]


def test_a_trial_that_is_retried_keeps_its_seed(stage: Stage) -> None:
    job_id = stage.add(budget={"max_trials": 3, "max_failed_trials": None})
    stage.play(job_id, broken)
    before = [trial.seed for trial in stage.trials(job_id)]
    stage.do(trials.retry_trial, job_id, 1)
    stage.do(jobs.change_job, job_id, jobs.JobChanges(budget={"max_trials": 4}))
    stage.play(job_id, rate)
    after = stage.trials(job_id)
    assert after[1].state is TrialState.COMPLETED
    assert [trial.seed for trial in after[:3]] == before
