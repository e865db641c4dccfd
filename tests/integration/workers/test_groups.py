"""Trials that train as one: who comes to a group, what becomes of those whose group ends, and that it all replays."""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from stepsize.domain.trial import GroupHow, Trial, TrialReason, TrialState
from stepsize.spec.space import Scalar
from stepsize.store.database import Database
from stepsize_workers.engines.base import CheckpointSaved, Ended, Engine, Event, Fault, Outcome, Reported
from stepsize_workers.holder import JobHolder
from stepsize_workers.venues.company import WHY_ONLY
from tests.builders import expire_lease, make_card
from tests.fake_engine import FakeEngine
from tests.job_play import Stage, turn

N_REPORTS = 4
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 10.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 64, "powers_of_two": True},
}
FUSES = make_card(capabilities={"resume": True, "fuse": {"free": ["learning_rate"]}})


def valley(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """A valley at 0.1; above a rate of 1 it diverges, the sooner the higher."""
    lr = float(params["learning_rate"])
    for step in range(1, N_REPORTS + 1):
        if lr > 1.0 and step > 3 - math.log10(lr) * 2:
            yield Outcome.DIVERGED
        yield (math.log10(lr) + 1) ** 2 + int(params["batch_size"]) / 256 + 1 / step


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return Stage(database, tmp_path, cards=[FUSES])


def add(stage: Stage, *, n: int = 20, fuse: int | str = 4, **changes: Any) -> str:
    body = {"search_space": SPACE, "resources": {"fuse": fuse}, "budget": {"max_trials": n, "max_attempts": 2}}
    return stage.add(job={"id": "job-under-test"}, **body | changes)


def by_group(trials: list[Trial]) -> dict[str, list[Trial]]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        assert trial.group is not None
        groups.setdefault(trial.group.id, []).append(trial)
    return groups


def test_groups_share_a_batch_size_and_are_refilled(stage: Stage) -> None:
    job_id = add(stage, sampler={"name": "tpe", "seed": 1})
    stage.play(job_id, valley)
    trials = stage.trials(job_id)
    assert [trial.state.is_finished for trial in trials] == [True] * 20
    groups = by_group(trials)
    assert all(len({trial.params["batch_size"] for trial in members}) == 1 for members in groups.values())
    assert len({members[0].params["batch_size"] for members in groups.values()}) > 1, "leaders are drawn freely"
    assert any(trial.group and trial.group.joined > 0 for trial in trials), "no place was filled again"
    assert max(len(members) for members in groups.values()) <= 8, "a group must run out: the next is of another shape"
    assert all(str(members[0].number) == name for name, members in groups.items())


@pytest.mark.parametrize("searches_batch", [True, False])
def test_whoever_completes_is_replaced_only_where_there_is_one_shape(stage: Stage, *, searches_batch: bool) -> None:
    space = SPACE if searches_batch else {"learning_rate": SPACE["learning_rate"]}
    job_id = add(stage, n=32, search_space=space, sampler={"name": "random", "seed": 1})
    stage.play(job_id, lambda params: valley({"batch_size": 16, **params}))
    groups = by_group(stage.trials(job_id)).values()
    assert sum(map(len, groups)) == 32
    assert any(trial.group and trial.group.joined for members in groups for trial in members), "short ones are replaced"
    most = max(sum(trial.state is TrialState.COMPLETED for trial in members) for members in groups)
    assert (most <= 4) is searches_batch, "one of 32 trials' shapes is not to have a quarter of them"


def test_a_trainer_that_cannot_fuse_trains_each_alone_and_says_why(stage: Stage) -> None:
    stage.cards = [make_card()]
    job_id = add(stage, n=3)
    stage.play(job_id, valley)
    groups = [trial.group for trial in stage.trials(job_id)]
    assert [(one.how, one.why) for one in groups if one] == [(GroupHow.ALONE, "synthetic trains each trial alone")] * 3


def test_a_job_that_asks_for_no_company_says_nothing_of_groups(stage: Stage) -> None:
    job_id = add(stage, n=3, fuse=1)
    stage.play(job_id, valley)
    assert [trial.group for trial in stage.trials(job_id)] == [None] * 3


def test_a_slot_that_refuses_a_group_has_its_trials_one_by_one(stage: Stage) -> None:
    job_id = add(stage, n=6, search_space={"learning_rate": SPACE["learning_rate"]})
    engine = FakeEngine(lambda params: valley({**params, "batch_size": 16}), why_not_fused="dropout > 0")
    holder = stage.claim(job_id, engine)
    play_on(holder, engine)
    trials = stage.trials(job_id)
    assert {trial.state for trial in trials} <= {TrialState.COMPLETED, TrialState.INFEASIBLE}
    assert [(trial.group.how, trial.group.why) for trial in trials if trial.group] == [
        (GroupHow.ALONE, "dropout > 0")
    ] * 6
    assert [trial.attempt for trial in trials] == [1, 2, 2, 2, 1, 1], "only the first group had to be tried"


class Mishap(FakeEngine):
    """What befalls groups of more than `most` trials in their first round."""

    outcome = Outcome.OOM
    most = 2

    def poll(self, timeout_s: float) -> list[Event]:
        for index, group in list(self.running.items()):
            if len(group.trials) > self.most:
                del self.running[index]
                fault = Fault.GROUP
                return [Ended(trial.assignment.key, self.outcome, fault=fault) for trial in group.trials]
        return super().poll(timeout_s)


def test_a_group_that_does_not_fit_is_halved(stage: Stage) -> None:
    job_id = add(stage, n=8, search_space={"learning_rate": SPACE["learning_rate"]})
    engine = Mishap(lambda params: valley({**params, "batch_size": 16}))
    play_on(stage.claim(job_id, engine), engine)
    trials = stage.trials(job_id)
    assert {trial.state for trial in trials} <= {TrialState.COMPLETED, TrialState.INFEASIBLE}
    assert TrialReason.OOM not in {trial.reason for trial in trials}
    assert {trial.group.most for trial in trials if trial.group} == {2}
    assert {trial.group.how for trial in trials if trial.group} == {GroupHow.FUSED}
    assert all(trial.group and trial.group.id for trial in trials)
    assert max(len(members) for members in by_group(trials).values()) <= 4


def test_trials_that_wait_after_their_group_did_not_fit_say_of_which_group(stage: Stage) -> None:
    job_id = add(stage, n=8, search_space={"learning_rate": SPACE["learning_rate"]})
    engine = Mishap(lambda params: valley({**params, "batch_size": 16}))
    holder = stage.claim(job_id, engine)
    while not (waiting := [trial for trial in stage.trials(job_id) if trial.state is TrialState.QUEUED]):
        turn(holder, engine)
    assert {trial.group and (trial.group.id, trial.group.is_over) for trial in waiting} == {("0", True)}
    assert all("memory ran out" in trial.group.why for trial in waiting if trial.group)


def test_a_group_is_halved_until_it_fits(stage: Stage) -> None:
    job_id = add(stage, n=16, fuse=16, search_space={"learning_rate": SPACE["learning_rate"]})
    engine = Mishap(lambda params: valley({**params, "batch_size": 16}))
    play_on(stage.claim(job_id, engine), engine)
    trials = stage.trials(job_id)
    assert {trial.group.most for trial in trials if trial.group} == {2}
    assert TrialReason.OOM not in {trial.reason for trial in trials}


def test_trials_of_a_group_whose_process_died_are_tried_apart(stage: Stage) -> None:
    job_id = add(stage, n=4, search_space={"learning_rate": SPACE["learning_rate"]})
    engine = Mishap(lambda params: valley({**params, "batch_size": 16}))
    engine.outcome, engine.most = Outcome.LOST, 1
    play_on(stage.claim(job_id, engine), engine)
    trials = stage.trials(job_id)
    assert [(trial.attempt, trial.group and trial.group.how) for trial in trials] == [(2, GroupHow.APART)] * 4
    assert all(trial.state is not TrialState.FAILED for trial in trials), "that was no attempt of theirs"


RATES = {16: (100.0, 150.0, 240.0, 400.0), 32: (100.0, 90.0), 64: (100.0, 90.0, 200.0)}
"""By batch size, updates a second of 1, 2, 4, … together."""


@dataclass
class Timing(FakeEngine):
    """Measures by batch size, and keeps what was asked for."""

    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rates_of = self._rates_of

    def _rates_of(self, params: Mapping[str, Scalar]) -> tuple[float, ...]:
        self.asked.append(int(params["batch_size"]))
        return RATES[int(params["batch_size"])]


def test_auto_measures_each_shape_once_and_takes_what_is_fastest(stage: Stage) -> None:
    job_id = add(stage, n=40, fuse="auto", sampler={"name": "random", "seed": 1})
    engine = Timing(valley)
    play_on(stage.claim(job_id, engine), engine)
    assert sorted(engine.asked) == [16, 32, 64]
    trials = [trial for trial in stage.trials(job_id) if trial.group]
    most = {
        size: max(one.group.most for one in trials if one.group and one.params["batch_size"] == size) for size in RATES
    }
    assert most == {16: 8, 32: 1, 64: 4}
    hows = {trial.group.how for trial in trials if trial.group and trial.params["batch_size"] == 32}
    assert hows == {GroupHow.ALONE}
    why = {trial.params["batch_size"]: trial.group.why for trial in reversed(trials) if trial.group}
    assert why[32].startswith("measured: 1 trial makes 100 updates a second, 2 together 90; to train as one")
    assert why[16].startswith(
        "measured: 1 trial makes 100 updates a second, 2 together 150, 4 together 240, 8 together"
    )


def test_auto_spreads_trials_over_the_slots(stage: Stage) -> None:
    job_id = add(stage, n=8, fuse="auto", search_space={"learning_rate": SPACE["learning_rate"]})
    engine = Timing(lambda params: valley({**params, "batch_size": 16}), n_slots=2)
    engine.rates_of = lambda params: RATES[16]
    play_on(stage.claim(job_id, engine), engine)
    assert sorted(len(members) for members in by_group(stage.trials(job_id)).values()) == [4, 4]


def test_auto_says_why_a_trainer_trains_each_alone(stage: Stage) -> None:
    job_id = add(stage, n=3, fuse="auto")
    engine = FakeEngine(valley, why_not_fused="dropout > 0")
    play_on(stage.claim(job_id, engine), engine)
    groups = [trial.group for trial in stage.trials(job_id)]
    assert {one.how for one in groups if one} == {GroupHow.ALONE}
    assert {one.why for one in groups if one} <= {"dropout > 0", WHY_ONLY}
    assert groups[0] is not None
    assert groups[0].why == "dropout > 0"


def test_a_process_that_dies_while_it_measures_costs_no_attempt(stage: Stage) -> None:
    job_id = add(stage, n=6, fuse="auto", search_space={"learning_rate": SPACE["learning_rate"]})
    engine = Mishap(lambda params: valley({**params, "batch_size": 16}))
    engine.outcome, engine.most = Outcome.LOST, 0
    holder = stage.claim(job_id, engine)
    turn(holder, engine)  # starts the first
    turn(holder, engine)  # whose process dies
    engine.most = 1000
    play_on(holder, engine)
    trials = stage.trials(job_id)
    assert all(trial.state in (TrialState.COMPLETED, TrialState.INFEASIBLE) for trial in trials)
    assert [trial.group and trial.group.how for trial in trials] == [GroupHow.APART] + [GroupHow.ALONE] * 5


def test_places_are_left_to_other_jobs_that_wait(stage: Stage) -> None:
    job_id = add(stage, sampler={"name": "tpe", "seed": 1})
    engine = FakeEngine(valley)
    holder = stage.claim(job_id, engine)
    for _ in range(500):
        if holder.is_over:
            break
        holder.look()
        holder.handle(engine.poll(0.0), may_refill=False)
        holder.start(engine.free_slots()[: holder.wants_slots()])
        holder.settle()
    assert holder.is_over
    assert all(trial.group and trial.group.joined == 0 for trial in stage.trials(job_id))


def play_on(holder: JobHolder, engine: FakeEngine) -> None:
    for _ in range(500):
        if holder.is_over:
            return
        turn(holder, engine)
    raise AssertionError("the job never ends")


@pytest.mark.parametrize("saves", [True, False])
def test_killed_anywhere_what_was_measured_is_not_measured_again(stage: Stage, saves: bool) -> None:
    body: dict[str, Any] = {
        "sampler": {"name": "tpe", "seed": 5},
        "budget": {"max_trials": 40, "max_attempts": 100},
    }
    whole, _ = play_with_kills(stage, add(stage, fuse="auto", **body), saves=saves, kill_chance=0.0, engine=Timing)
    other = stage.add(job={"id": "job-killed"}, search_space=SPACE, resources={"fuse": "auto"}, **body)

    class Once(Timing):
        """Refuses to measure what the record knows."""

        def _rates_of(self, params: Mapping[str, Scalar]) -> tuple[float, ...]:
            known = {one.params["batch_size"] for one in stage.trials(other) if one.group and one.group.measured}
            assert params["batch_size"] not in known
            return super()._rates_of(params)

    killed, n_kills = play_with_kills(stage, other, saves=saves, kill_chance=0.05, engine=Once)
    assert n_kills >= 3
    assert any(trial.group and trial.group.how is GroupHow.FUSED for trial in whole)
    assert [essence(trial) for trial in killed] == [essence(trial) for trial in whole]


@pytest.mark.parametrize(("pruner", "saves"), [("none", True), ("none", False), ("median", True)])
def test_killed_anywhere_the_same_trials_train_in_the_same_groups(stage: Stage, pruner: str, saves: bool) -> None:
    body: dict[str, Any] = {
        "sampler": {"name": "tpe", "seed": 5},
        "pruner": {"name": pruner},
        "budget": {"max_trials": 24, "max_attempts": 100},
    }
    job_id = add(stage, **body)
    whole, n_kills = play_with_kills(stage, job_id, saves=saves, kill_chance=0.0)
    assert n_kills == 0
    other = stage.add(job={"id": "job-killed"}, search_space=SPACE, resources={"fuse": 4}, **body)
    # The study's name takes no part in what is drawn: the two differ in their ids only.
    killed, n_kills = play_with_kills(stage, other, saves=saves, kill_chance=0.1)
    assert n_kills >= 3
    assert any(trial.group and trial.group.joined > 0 for trial in whole)
    assert any(trial.state is TrialState.INFEASIBLE for trial in whole)
    assert [essence(trial) for trial in killed] == [essence(trial) for trial in whole]


def play_with_kills(
    stage: Stage, job_id: str, *, saves: bool, kill_chance: float, engine: type[FakeEngine] = FakeEngine
) -> tuple[list[Trial], int]:
    """Play a job; the worker is killed between any two frames of its engine."""
    moments = random.Random(3)
    n_kills = 0
    while True:
        running = engine(valley, saves_until=N_REPORTS - 1 if saves else 0)
        holder = stage.claim(job_id, running)
        while not holder.is_over and play_a_round(holder, running, moments, kill_chance):
            pass
        if holder.is_over:
            return stage.trials(job_id), n_kills
        n_kills += 1
        stage.do(expire_lease, job_id)


def play_a_round(holder: JobHolder, engine: Engine, moments: random.Random, kill_chance: float) -> bool:
    """Let a worker hear a round's reports, then what is so after it, then each other word; False: it was killed."""
    for _, events in groupby(engine.poll(0.0), key=said_at_once):
        if moments.random() < kill_chance:
            return False
        holder.handle(list(events))
    holder.start(engine.free_slots()[: holder.wants_slots()])
    holder.settle()
    return True


def said_at_once(event: Event) -> object:
    """Return what is the same for words that a group says at once."""
    if isinstance(event, Reported):
        return "reports"
    return "after" if isinstance(event, CheckpointSaved | Ended) else event


def essence(trial: Trial) -> dict[str, Any]:
    """What must be equal: everything but times, the job and the number of attempts."""
    differs = {"job_id", "attempt", "losses_of_worker", "losses_in_a_row", "created_at", "started_at", "finished_at"}
    return {name: value for name, value in vars(trial).items() if name not in differs | {"change"}}
