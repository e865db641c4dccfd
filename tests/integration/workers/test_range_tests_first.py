"""A tuning job whose learning rate is found by a range test: it waits, takes the bounds over, and searches them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from stepsize.application import controls, jobs, range_tests, trials
from stepsize.application.trials import cancel_trial
from stepsize.domain.job import JobKind, JobReason, JobState
from stepsize.domain.range_test import RangeTestFindings
from stepsize.domain.trial import TrialState
from stepsize.errors import InvalidRequestError
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.space import FloatParameter, Scalar
from stepsize.store.jobs import delete_job
from stepsize.store.leases import Offer, find_claimable
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import ONE_PLACE, Assignment, Event, Mode, Outcome, Places, Reported
from stepsize_workers.trainers.base import Sweep
from stepsize_workers.trainers.synthetic import SyntheticParams, sweep_loss_at
from tests.fake_engine import FakeEngine
from tests.job_play import Stage, turn

OFFER = Offer(trainers=(("synthetic", "1"),), gpus=0.0, cpus=4)
EDGE = 3.0
"""The rate from which the sweeps explode."""
BODY: dict[str, Any] = {
    "trainer": {"name": "synthetic"},
    "search_space": {"learning_rate": {"type": "float", "range_test": True}},
    "sampler": {"name": "random", "seed": 0},
    "budget": {"max_trials": 12},
}


def rate(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """The loss is the learning rate."""
    yield float(params["learning_rate"])


@dataclass
class SweepingEngine(FakeEngine):
    """Runs range tests of the `synthetic` valley as its trainer would, and other trials by the script."""

    edge: float = EDGE

    def start(self, slot: SlotRecord, group: Sequence[Assignment], places: Places = ONE_PLACE) -> None:
        super().start(slot, group, places)
        if group[0].mode is Mode.SWEEP:
            plan = sweep_of(group[0])
            losses = [self._loss(plan.rate(step)) for step in range(1, plan.steps + 1)]
            self.running[slot.index].trials[0].script = iter(losses)

    def poll(self, timeout_s: float) -> list[Event]:
        sweeps = {
            trial.assignment.key: sweep_of(trial.assignment)
            for trial in self.trials
            if trial.assignment.mode is Mode.SWEEP
        }
        return [
            Reported(one.key, one.step, {**one.values, "learning_rate": sweeps[one.key].rate(one.step)}, one.elapsed_s)
            if isinstance(one, Reported) and one.key in sweeps
            else one
            for one in super().poll(timeout_s)
        ]

    def _loss(self, lr: float) -> float:
        return 1e3 if lr >= self.edge else sweep_loss_at(SyntheticParams(), learning_rate=lr)


def sweep_of(assignment: Assignment) -> Sweep:
    plan = RangeTestSpec.model_validate(assignment.details)
    return Sweep(plan.low, plan.high, plan.steps)


def submit(stage: Stage, **changes: Any) -> tuple[str, str]:
    """Submit a tuning job; return its id and that of its range test."""
    with stage.database.write() as connection:
        job_id = jobs.submit(connection, JobSpec.model_validate(BODY | changes), lease_s=60.0)
    waits_for = stage.job(job_id).waits_for
    assert waits_for is not None
    return job_id, waits_for


def claimable(stage: Stage) -> str | None:
    with stage.database.read() as connection:
        found = find_claimable(connection, OFFER)
    return found.job_id if found else None


def play(stage: Stage, job_id: str, engine: FakeEngine) -> None:
    holder = stage.claim(job_id, engine)
    while not holder.is_over:
        turn(holder, engine)


def bounds(stage: Stage, job_id: str) -> tuple[float, float]:
    parameter = stage.job(job_id).search_space["learning_rate"]
    assert isinstance(parameter, FloatParameter)
    assert parameter.low is not None
    assert parameter.high is not None
    return parameter.low, parameter.high


def test_the_search_waits_for_its_range_test_and_stays_within_its_bounds(stage: Stage) -> None:
    job_id, test_id = submit(stage)
    assert claimable(stage) == test_id
    play(stage, test_id, SweepingEngine(rate))
    assert stage.outcome(test_id) == (JobState.COMPLETED, JobReason.MAX_TRIALS)
    findings = RangeTestFindings.model_validate(stage.job(test_id).findings)
    assert claimable(stage) == job_id
    play(stage, job_id, SweepingEngine(rate))
    low, high = bounds(stage, job_id)
    (result,) = findings.results
    assert result.low is not None
    assert result.high is not None
    assert (low, high) == (result.low.value, result.high.value)
    assert 1e-7 < low < 0.01 < high <= 10.0  # 0.01 is the valley's best rate
    found = [float(one.params["learning_rate"]) for one in stage.trials(job_id)]
    assert len(found) == 12
    assert all(low <= one <= high for one in found)
    # Twelve uniform draws over the decades: all in the upper half of them has a chance of 1 in 4,096.
    assert min(found) < math.sqrt(low * high)


def test_bounds_stay_as_found_when_the_worker_is_lost(stage: Stage) -> None:
    job_id, test_id = submit(stage)
    play(stage, test_id, SweepingEngine(rate))
    job = stage.play(job_id, rate, kill_chance=0.2)
    assert (job.state, job.n_counted) == (JobState.COMPLETED, 12)
    low, high = bounds(stage, job_id)
    assert all(low <= float(one.params["learning_rate"]) <= high for one in stage.trials(job_id))


@pytest.mark.parametrize("sampler", ["tpe", *(pytest.param(name, marks=pytest.mark.slow) for name in ("qmc", "cmaes"))])
def test_any_sampler_searches_the_bounds_found(sampler: str, stage: Stage) -> None:
    job_id, test_id = submit(stage, sampler={"name": sampler, "seed": 0}, budget={"max_trials": 3})
    play(stage, test_id, SweepingEngine(rate))
    with stage.database.read() as connection:
        assert find_claimable(connection, OFFER) is not None
    if sampler != "cmaes":  # asks in a process of its own
        play(stage, job_id, SweepingEngine(rate))
        assert stage.job(job_id).n_counted == 3
    else:
        stage.claim(job_id, SweepingEngine(rate)).abandon()
    assert bounds(stage, job_id)[0] < bounds(stage, job_id)[1]


def test_an_inconclusive_test_leaves_the_trainers_own_bounds_and_a_warning(stage: Stage) -> None:
    job_id, test_id = submit(stage)
    play(stage, test_id, SweepingEngine(rate, edge=0.0))  # explodes at once
    play(stage, job_id, SweepingEngine(rate))
    assert bounds(stage, job_id) == (1e-5, 1.0)  # the default space of `synthetic`
    assert any("no range test was conclusive" in warning for warning in stage.job(job_id).warnings)


def test_a_deleted_range_test_does_not_hold_the_search_up(stage: Stage) -> None:
    job_id, test_id = submit(stage)
    stage.do(delete_job, test_id)
    assert claimable(stage) == job_id
    play(stage, job_id, SweepingEngine(rate))
    assert bounds(stage, job_id) == (1e-5, 1.0)


def test_the_bounds_make_room_for_what_a_client_has_enqueued(stage: Stage) -> None:
    job_id, test_id = submit(stage, enqueue=[{"learning_rate": 9.0}])
    play(stage, test_id, SweepingEngine(rate))
    job = stage.play(job_id, rate, kill_chance=0.2)
    assert job.state is JobState.COMPLETED
    assert stage.trials(job_id)[0].params == {"learning_rate": 9.0}
    assert bounds(stage, job_id)[1] == 9.0


def test_what_is_enqueued_later_lies_within_the_bounds_found(stage: Stage) -> None:
    job_id, test_id = submit(stage)
    play(stage, test_id, SweepingEngine(rate))
    stage.claim(job_id, SweepingEngine(rate))
    with pytest.raises(InvalidRequestError):
        stage.do(trials.enqueue, job_id, {"learning_rate": 9.0})


@pytest.mark.parametrize(
    ("control", "state"), [(controls.cancel, JobState.CANCELLED), (controls.stop, JobState.COMPLETED)]
)
def test_ending_the_search_cancels_the_range_test_it_waits_for(control: Any, state: JobState, stage: Stage) -> None:
    job_id, test_id = submit(stage)
    stage.do(control, job_id)
    assert (stage.job(job_id).state, stage.job(test_id).state) == (state, JobState.CANCELLED)


def test_a_search_that_waits_no_more_leaves_a_finished_range_test_alone(stage: Stage) -> None:
    job_id, test_id = submit(stage)
    play(stage, test_id, SweepingEngine(rate))
    stage.do(controls.cancel, job_id)
    assert stage.job(test_id).state is JobState.COMPLETED


def test_a_range_test_searches_nothing_when_a_sweep_of_it_is_cancelled(stage: Stage) -> None:
    with stage.database.write() as connection:
        spec = RangeTestSpec.model_validate({"trainer": {"name": "synthetic"}, "seed": 0})
        test_id = range_tests.submit(connection, spec, lease_s=60.0)
    stage.do(cancel_trial, test_id, 0)
    play(stage, test_id, SweepingEngine(rate))
    job = stage.job(test_id)
    assert (job.kind, job.state, job.n_trials) == (JobKind.RANGE_TEST, JobState.COMPLETED, 3)
    assert job.findings is not None
    assert [one.state for one in stage.trials(test_id)] == [TrialState.CANCELLED, *[TrialState.COMPLETED] * 2]
