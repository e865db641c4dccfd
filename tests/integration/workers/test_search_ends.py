"""When a search ends: budgets, rules and constraints, each with its reason, and what a larger budget reopens."""

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stepsize.application import controls, jobs, trials
from stepsize.application.jobs import JobChanges
from stepsize.domain.job import JobReason, JobState
from stepsize.domain.trial import TrialState
from stepsize.errors import StateConflictError
from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Ended, Event, Outcome, Reported
from stepsize_workers.stopping import Progress
from tests.builders import make_spec
from tests.fake_engine import FakeEngine
from tests.job_play import Stage, turn
from tests.waiting import wait_for

SPACE = {"learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}}
LINE = {"learning_rate": {"type": "categorical", "choices": [0.1, 0.2, 0.3, 0.4]}}
BOTH = [{"metric": "loss", "direction": "minimize"}, {"metric": "cost", "direction": "maximize"}]


def rate(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """The loss is the learning rate."""
    yield float(params["learning_rate"])


def flat(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """Nothing makes a difference."""
    yield 1.0


def failing(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    yield Outcome.ERROR


def noisy_valley(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """A valley at 1e-2 with noise of 0.1, drawn from the rate so that it is the same in every attempt."""
    lr = float(params["learning_rate"])
    yield (math.log10(lr) + 2) ** 2 + random.Random(repr(lr)).gauss(0.0, 0.1)


class TwoMetrics(FakeEngine):
    """Its trials report `cost` beside `loss`: ten times the learning rate, and how far it is from 0.3."""

    def poll(self, timeout_s: float) -> list[Event]:
        rates = {trial.assignment.key: trial.assignment.params["learning_rate"] for trial in self.trials}
        events = super().poll(timeout_s)
        return [
            Reported(one.key, one.step, {**one.values, "cost": float(rates[one.key])}, one.elapsed_s)
            if isinstance(one, Reported)
            else one
            for one in events
        ]


def play_two_metrics(stage: Stage, job_id: str) -> None:
    engine = TwoMetrics(rate)
    holder = stage.claim(job_id, engine)
    while not holder.is_over:
        turn(holder, engine)


def progress_after(objectives: list[dict[str, Any]], *trials: tuple[TrialState, tuple[float, ...] | None]) -> Progress:
    progress = Progress(make_spec(objectives=objectives).objectives or [])
    for state, values in trials:
        progress.take_in(state, values)
    return progress


# -- rules -------------------------------------------------------------------------------------------------------------


def test_a_search_that_no_longer_improves_ends(stage: Stage) -> None:
    job_id = stage.add(stop_when={"no_improvement_trials": 5})
    job = stage.play(job_id, flat)
    assert (job.state, job.reason) == (JobState.COMPLETED, JobReason.NO_IMPROVEMENT)
    assert job.n_counted == 6  # the first is better than nothing


def test_patience_survives_the_loss_of_the_worker(stage: Stage) -> None:
    job_id = stage.add(stop_when={"no_improvement_trials": 5})
    job = stage.play(job_id, flat, kill_chance=0.3)
    assert (job.reason, job.n_counted) == (JobReason.NO_IMPROVEMENT, 6)


def test_failed_trials_are_no_attempt_to_improve() -> None:
    done, failed = (TrialState.COMPLETED, (1.0,)), (TrialState.FAILED, None)
    pruned, infeasible = (TrialState.PRUNED, None), (TrialState.INFEASIBLE, None)
    progress = progress_after([{"metric": "loss", "direction": "minimize"}], done, failed, pruned, infeasible, done)
    assert progress.n_since_better == 3


def test_a_target_met_ends_the_job(stage: Stage) -> None:
    objectives = [{"metric": "loss", "direction": "minimize", "target": 1e-3}]
    job_id = stage.add(objectives=objectives, budget={"max_trials": 200})
    job = stage.play(job_id, rate)
    assert (job.state, job.reason) == (JobState.COMPLETED, JobReason.TARGET)
    *others, last = stage.trials(job_id)
    assert last.objective is not None
    assert last.objective <= 1e-3
    assert all((trial.objective or 0.0) > 1e-3 for trial in others)


@pytest.mark.parametrize(
    ("values", "is_met"), [((0.1, 0.5), False), ((0.3, 0.9), False), ((0.1, 0.9), True), ((0.2, 0.8), True)]
)
def test_several_targets_are_met_by_one_trial_together(values: tuple[float, ...], is_met: bool) -> None:
    targets = [{**BOTH[0], "target": 0.2}, {**BOTH[1], "target": 0.8}]
    progress = progress_after(targets, (TrialState.COMPLETED, (0.5, 0.9)), (TrialState.COMPLETED, values))
    assert progress.target_met is is_met


def test_with_several_objectives_a_new_point_of_the_front_is_an_improvement() -> None:
    def since(*points: tuple[float, float]) -> int:
        return progress_after(BOTH, *((TrialState.COMPLETED, point) for point in points)).n_since_better

    assert since((1.0, 1.0), (2.0, 2.0)) == 0  # worse loss, better cost
    assert since((1.0, 1.0), (2.0, 2.0), (1.5, 0.9)) == 1
    assert since((1.0, 1.0), (2.0, 2.0), (1.0, 1.0)) == 1  # no better than what is there
    assert since((1.0, 1.0), (2.0, 2.0), (1.5, 0.9), (0.5, 3.0)) == 0


@pytest.mark.slow
def test_the_terminator_ends_a_search_with_nothing_left_to_gain(stage: Stage) -> None:
    job_id = stage.add(
        sampler={"name": "random", "seed": 0}, stop_when={"terminator": True}, budget={"max_trials": 400}
    )
    engine = FakeEngine(noisy_valley)
    holder = stage.claim(job_id, engine)

    def is_over() -> bool:
        turn(holder, engine)
        return holder.is_over

    wait_for(is_over, timeout_s=100.0, pause_s=0.01)
    job = stage.job(job_id)
    assert (job.state, job.reason) == (JobState.COMPLETED, JobReason.TERMINATOR)
    best = min(stage.trials(job_id), key=lambda trial: trial.objective or math.inf)
    # The noise is 0.1: what is left to gain lies within three standard deviations of it.
    assert (math.log10(float(best.params["learning_rate"])) + 2) ** 2 < 0.3


# -- budgets -----------------------------------------------------------------------------------------------------------


def test_gpu_seconds_end_the_job(stage: Stage) -> None:
    class Charging(FakeEngine):
        def poll(self, timeout_s: float) -> list[Event]:
            return [
                Ended(one.key, one.outcome, duration_s=10.0) if isinstance(one, Ended) else one
                for one in super().poll(timeout_s)
            ]

        @property
        def slots(self) -> list[SlotRecord]:
            return [SlotRecord(0, "cuda:0", 0.5, 1)]

    job_id = stage.add(budget={"max_trials": 40, "max_gpu_seconds": 14.0})
    engine = Charging(rate)
    holder = stage.claim(job_id, engine)
    while not holder.is_over:
        turn(holder, engine)
    assert stage.outcome(job_id) == (JobState.COMPLETED, JobReason.MAX_GPU_SECONDS)
    assert stage.job(job_id).gpu_seconds == 15.0  # half a GPU for 10 s each: the third trial passes 14


@pytest.mark.parametrize(
    ("limit", "value", "larger", "script", "reason"),
    [
        ("max_trials", 3, 5, flat, JobReason.MAX_TRIALS),
        ("timeout_s", 0.01, 600.0, flat, JobReason.TIMEOUT),
        ("max_failed_trials", 2, 4, failing, JobReason.MAX_FAILED_TRIALS),
    ],
)
def test_a_larger_budget_reopens_the_job_it_ended(
    limit: str, value: float, larger: float, script: Any, reason: JobReason, stage: Stage
) -> None:
    job_id = stage.add(budget={"max_trials": 8, limit: value})
    assert stage.play(job_id, script).reason is reason
    n_before = stage.job(job_id).n_counted
    stage.do(jobs.change_job, job_id, JobChanges(budget={limit: larger}))
    assert stage.outcome(job_id) == (JobState.QUEUED, None)
    stage.play(job_id, script)
    assert stage.job(job_id).n_counted > n_before


@pytest.mark.parametrize(
    ("changes", "script", "reason"),
    [
        ({"stop_when": {"no_improvement_trials": 3}}, flat, JobReason.NO_IMPROVEMENT),
        ({"objectives": [{**BOTH[0], "target": 2.0}]}, flat, JobReason.TARGET),
        ({"search_space": LINE, "sampler": {"name": "grid", "seed": 0}}, flat, JobReason.SPACE_EXHAUSTED),
    ],
)
def test_a_larger_budget_does_not_reopen_a_job_that_a_rule_has_ended(
    changes: dict[str, Any], script: Any, reason: JobReason, stage: Stage
) -> None:
    job_id = stage.add(budget={"max_trials": 9}, **changes)
    assert stage.play(job_id, script).reason is reason
    with pytest.raises(StateConflictError, match="which a larger max_trials does not change"):
        stage.do(jobs.change_job, job_id, JobChanges(budget={"max_trials": 20}))
    assert stage.outcome(job_id) == (JobState.COMPLETED, reason)


def test_a_failed_trial_of_a_job_that_met_its_target_stays_what_it_is(stage: Stage) -> None:
    job_id = stage.add(objectives=[{**BOTH[0], "target": 0.5}])
    fates: Iterator[float | Outcome] = iter([Outcome.ERROR, 0.1])
    stage.play(job_id, lambda params: iter([next(fates)]))
    with pytest.raises(StateConflictError, match="its target was met; a trial retried would end with it at once"):
        stage.do(controls.retry_failed, job_id)
    assert [trial.state for trial in stage.trials(job_id)] == [TrialState.FAILED, TrialState.COMPLETED]


def test_a_grid_cut_off_by_its_budget_goes_on_to_its_last_cell(stage: Stage) -> None:
    job_id = stage.add(search_space=LINE, sampler={"name": "grid", "seed": 0}, budget={"max_trials": 2})
    assert stage.play(job_id, rate).reason is JobReason.MAX_TRIALS
    stage.do(jobs.change_job, job_id, JobChanges(budget={"max_trials": 9}))
    job = stage.play(job_id, rate)
    assert (job.reason, job.n_counted) == (JobReason.SPACE_EXHAUSTED, 4)


# -- constraints -------------------------------------------------------------------------------------------------------


def test_a_trial_that_breaks_an_outcome_constraint_is_infeasible_and_keeps_its_values(stage: Stage) -> None:
    job_id = stage.add(
        objectives=[{"metric": "loss", "direction": "maximize"}],
        outcome_constraints=["loss <= 0.25"],
        budget={"max_trials": 3},
    )
    for lr in (0.3, 0.2, 0.25):
        stage.do(trials.enqueue, job_id, {"learning_rate": lr})
    stage.play(job_id, rate)
    broken, worst, best = stage.trials(job_id)
    assert (broken.state, broken.reason, broken.objective, broken.values) == (
        TrialState.INFEASIBLE,
        None,
        None,
        {"loss": 0.3},
    )
    assert broken.error is not None
    assert (broken.error.type, broken.error.message) == ("OutcomeConstraintBroken", "loss <= 0.25: it was 0.3")
    assert broken.stand_in == (0.2,)  # the first feasible value, as for a trial that diverged
    assert (worst.state, best.state) == (TrialState.COMPLETED, TrialState.COMPLETED)
    assert stage.job(job_id).best_trial == best.number


def test_every_proposal_satisfies_the_parameter_constraints(stage: Stage) -> None:
    space = {**SPACE, "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True}}
    for sampler in ("random", "tpe"):
        job_id = stage.add(
            search_space=space,
            sampler={"name": sampler, "seed": 0},
            trainer={"name": "synthetic", "version": "1", "params": {"exponent": 100}},
            parameter_constraints=["batch_size * learning_rate <= 1", "batch_size <= exponent"],
            budget={"max_trials": 25},
        )
        stage.play(job_id, rate)
        found = [trial.params for trial in stage.trials(job_id)]
        assert len(found) == 25
        assert all(float(p["batch_size"]) * float(p["learning_rate"]) <= 1 for p in found)
        assert {p["batch_size"] for p in found} == {16, 32, 64}


def test_a_constrained_grid_ends_with_the_last_allowed_cell(stage: Stage) -> None:
    job_id = stage.add(
        search_space=LINE,
        sampler={"name": "grid", "seed": 0},
        parameter_constraints=["learning_rate < 0.35"],
        budget={"max_trials": 9},
    )
    job = stage.play(job_id, rate, kill_chance=0.2)
    assert job.reason is JobReason.SPACE_EXHAUSTED
    assert sorted(trial.params["learning_rate"] for trial in stage.trials(job_id)) == [0.1, 0.2, 0.3]


# -- several objectives ------------------------------------------------------------------------------------------------


def test_infeasible_trials_stand_in_with_the_worst_of_each_objective(stage: Stage) -> None:
    # cost is the rate itself: the higher the loss the higher the cost, and more cost is better.
    job_id = stage.add(objectives=BOTH, outcome_constraints=["loss <= 0.5"], budget={"max_trials": 3})
    for lr in (0.1, 0.4, 0.9):
        stage.do(trials.enqueue, job_id, {"learning_rate": lr})
    play_two_metrics(stage, job_id)
    *_, infeasible = stage.trials(job_id)
    assert infeasible.stand_in == (0.4, 0.1)
    assert stage.job(job_id).best_trial is None


def test_a_search_over_two_objectives_ends_when_its_front_stands_still(stage: Stage) -> None:
    objectives = [BOTH[0], {**BOTH[1], "direction": "minimize"}]
    job_id = stage.add(objectives=objectives, search_space=LINE, stop_when={"no_improvement_trials": 2})
    for lr in (0.1, 0.4, 0.3, 0.2):
        stage.do(trials.enqueue, job_id, {"learning_rate": lr})
    play_two_metrics(stage, job_id)
    assert stage.outcome(job_id) == (JobState.COMPLETED, JobReason.NO_IMPROVEMENT)
    assert [trial.state for trial in stage.trials(job_id)[:3]] == [TrialState.COMPLETED] * 3
