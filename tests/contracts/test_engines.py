"""What every engine promises (see stepsize_workers/engines/base.py). A new one joins by its line in `ENGINES`."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import (
    ONE_PLACE,
    Assignment,
    Ended,
    Engine,
    Event,
    Fault,
    Grouped,
    Measured,
    Outcome,
    Places,
    Reported,
    TrialKey,
    Vacant,
)
from stepsize_workers.engines.local import LocalEngine, Preload
from tests.contracts.misdeeds import DEADLY, DEEDS, ENDLESS, FORGIVEN
from tests.fake_engine import FakeEngine, Script
from tests.worker_process import wait_until_gone

ROGUES = ["tests.contracts.engine_trainers", "tests.contracts.misdeeds"]


def local() -> Engine:
    slots = [SlotRecord(index, "cpu", 0.0, 1) for index in range(2)]
    return LocalEngine(slots, Preload(modules=ROGUES))


def _synthetic(params: Mapping[str, Scalar]) -> Iterator[float | Outcome | None]:
    """As far as the contract goes, what the trainer of that name does."""
    lr, batch_size = float(params.get("learning_rate", 0.01)), int(params.get("batch_size", 32))
    if lr <= 0:
        yield Outcome.ERROR
    if lr > float(params.get("diverge_above", math.inf)):
        yield Outcome.DIVERGED
    if batch_size > float(params.get("oom_above_batch", math.inf)):
        yield Outcome.OOM
    for _ in range(int(params.get("n_reports", 10))):
        yield 1.0


def _deaf(params: Mapping[str, Scalar]) -> Iterator[float | Outcome | None]:
    yield 1.0
    while True:
        yield None


def _crashing(params: Mapping[str, Scalar]) -> Iterator[float | Outcome | None]:
    yield 1.0
    yield Outcome.LOST


def _choir(params: Mapping[str, Scalar]) -> Iterator[float | Outcome | None]:
    for step in range(1, int(params.get("n_reports", 10)) + 1):
        if step == params.get("diverges_at"):
            yield Outcome.DIVERGED
        yield float(params.get("learning_rate", 0.1)) / step


SCRIPTS: dict[str, Script] = {"synthetic": _synthetic, "deaf": _deaf, "crashing": _crashing, "choir": _choir}


class ScriptedEngine(FakeEngine):
    """Has a script for each of the contract's trainers."""

    def start(self, slot: SlotRecord, group: Sequence[Assignment], places: Places = ONE_PLACE) -> None:
        self.script = SCRIPTS[group[0].trainer]
        self.why_not_fused = "the hall is too small" if group[0].params.get("hall") == "small" else None
        super().start(slot, group, places)


def fake() -> Engine:
    return ScriptedEngine(_synthetic, n_slots=2)


_QUICK_DEEDS = {"kill_itself", "close_everything", "leave_thread", "odd_value", "print_bytes", "stop_itself"}
"""One of each kind; through a whole worker, test_misdeeds.py has all of them."""


def _when_slow(deed: str) -> Sequence[pytest.MarkDecorator]:
    return () if deed in _QUICK_DEEDS else (pytest.mark.slow,)


ENGINES: list[Callable[[], Engine]] = [local, fake]


@pytest.fixture
def others() -> set[int]:
    """The ids of this process's children that are no engine's: browsers and servers of other tests."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(params=ENGINES, ids=lambda make: make.__name__)
def engine(request: pytest.FixtureRequest, others: set[int]) -> Iterator[Engine]:
    made: Engine = request.param()
    close, closed = made.close, False

    def close_once() -> None:
        nonlocal closed
        if not closed:
            closed = True
            close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "close", close_once)
        yield made
        made.close()


@pytest.mark.timeout(30)
class TestEngine:
    """One engine with two slots."""

    @pytest.fixture(autouse=True)
    def _setup(self, engine: Engine, others: set[int], tmp_path: Path) -> None:
        self.engine = engine
        self.others = others
        self.directory = tmp_path
        self.events: list[Event] = []
        self.n_checks = 0
        self.n_answered = 0

    def assignment(
        self,
        number: int = 0,
        *,
        trainer: str = "synthetic",
        waits: bool = False,
        timeout_s: float | None = None,
        stall_s: float | None = None,
        params: dict[str, Scalar] | None = None,
        **more: Scalar,
    ) -> Assignment:
        return Assignment(
            key=TrialKey("job", number, 1),
            trainer=trainer,
            params={**(params or {}), **more},
            seed=0,
            trial_dir=self.directory / str(number),
            data_dir=self.directory,
            waits_for_verdict=waits,
            trial_timeout_s=timeout_s,
            stall_timeout_s=stall_s,
        )

    def start(self, assignment: Assignment) -> TrialKey:
        self.engine.start(self.engine.free_slots()[0], [assignment])
        return assignment.key

    def listen(self, duration_s: float = 0.05) -> None:
        self.events += self.engine.poll(duration_s)

    def of(self, key: TrialKey) -> list[Event]:
        return [event for event in self.events if event.key == key]

    def await_report(self, key: TrialKey, *, step: int = 1) -> Reported:
        while True:
            self.listen()
            for event in self.of(key):
                assert not isinstance(event, Ended), f"it ended without a report of step {step}: {event}"
                if isinstance(event, Reported) and event.step == step:
                    return event

    def await_end(self, key: TrialKey) -> Ended:
        while True:
            self.listen()
            for event in self.of(key):
                if isinstance(event, Ended):
                    return event

    def assert_usable(self) -> None:
        assert len(self.engine.free_slots()) == 2
        self.n_checks += 1
        keys = [self.start(self.assignment(100 * self.n_checks + index)) for index in range(2)]
        assert [self.await_end(key).outcome for key in keys] == [Outcome.COMPLETED] * 2

    def test_events_come_in_order_with_one_end_after_all_others(self) -> None:
        keys = [self.start(self.assignment(number, n_reports=20)) for number in range(2)]
        for key in keys:
            assert self.await_end(key).outcome is Outcome.COMPLETED
        self.listen(0.2)
        for key in keys:
            *reports, end = self.of(key)
            assert [event.step for event in reports if isinstance(event, Reported)] == list(range(1, 21))
            assert len(reports) == 20
            assert isinstance(end, Ended)

    @pytest.mark.parametrize(
        ("params", "outcome"),
        [
            ({"learning_rate": 1.0, "diverge_above": 0.1}, Outcome.DIVERGED),
            ({"batch_size": 64, "oom_above_batch": 32}, Outcome.OOM),
            ({"learning_rate": -1.0}, Outcome.ERROR),
        ],
    )
    def test_trial_that_fails_says_how(self, params: dict[str, Scalar], outcome: Outcome) -> None:
        ended = self.await_end(self.start(self.assignment(params=params)))
        assert ended.outcome is outcome
        assert ended.error is not None

    def test_trial_that_waits_for_its_verdict_goes_on_when_answered(self) -> None:
        key = self.start(self.assignment(waits=True, n_reports=2))
        self.await_report(key)
        self.listen(0.2)
        assert len(self.of(key)) == 1, "it did not wait"
        self.engine.answer(key, stop=True)
        assert self.await_end(key).outcome is Outcome.STOPPED
        assert len(self.of(key)) == 2

    def test_trial_stops_politely(self) -> None:
        key = self.start(self.assignment(n_reports=100_000, step_s=0.01))
        self.await_report(key)
        self.engine.stop(key, grace_s=20.0)
        started = time.monotonic()
        assert self.await_end(key).outcome is Outcome.STOPPED
        assert time.monotonic() - started < 10.0
        self.assert_usable()

    @pytest.mark.parametrize("grace_s", [0.0, 0.3])
    def test_trial_that_ignores_a_stop_is_ended_by_force(self, grace_s: float) -> None:
        key = self.start(self.assignment(trainer="deaf"))
        self.await_report(key)
        self.engine.stop(key, grace_s=grace_s)
        assert self.await_end(key).outcome is Outcome.STOPPED
        self.assert_usable()

    def test_trial_whose_process_dies_is_lost_and_its_slot_usable_again(self) -> None:
        key = self.start(self.assignment(trainer="crashing"))
        ended = self.await_end(key)
        assert ended.outcome is Outcome.LOST
        assert ended.error is not None
        assert "signal 9" in ended.error.message
        assert [type(event) for event in self.of(key)] == [Reported, Ended]
        self.assert_usable()

    def test_trial_that_hangs_is_stalled(self) -> None:
        self.assert_usable()  # and warm: clocks run from the start
        key = self.start(self.assignment(trainer="deaf", stall_s=1.5))
        assert self.await_end(key).outcome is Outcome.STALLED
        assert len(self.of(key)) == 2
        self.assert_usable()

    def test_trial_over_its_time_ends(self) -> None:
        self.assert_usable()  # and warm: clocks run from the start
        key = self.start(self.assignment(n_reports=100_000, step_s=0.01, timeout_s=1.5, stall_s=60.0))
        assert self.await_end(key).outcome is Outcome.TIMEOUT
        self.assert_usable()

    def test_trial_that_waited_for_its_verdict_is_not_stalled(self) -> None:
        self.assert_usable()  # and warm: clocks run from the start
        # A pruner's verdict comes after a commit, and that waits for a database that is away.
        key = self.start(self.assignment(waits=True, stall_s=1.5, n_reports=2, step_s=0.3))
        self.await_report(key)
        time.sleep(2.0)
        self.engine.answer(key, stop=False)
        self.await_report(key, step=2)

    def needs_processes(self) -> None:
        if isinstance(self.engine, FakeEngine):
            pytest.skip("it runs no processes")

    def test_no_process_outlives_close(self) -> None:
        self.needs_processes()
        self.await_report(self.start(self.assignment(trainer="deaf")))
        children = [child for child in psutil.Process().children(recursive=True) if child.pid not in self.others]
        assert len(children) >= 2
        started = time.monotonic()
        self.engine.close()
        assert not wait_until_gone(children, timeout_s=1.0)
        assert time.monotonic() - started < 4.0

    def test_no_process_of_a_trainer_outlives_close(self) -> None:
        self.needs_processes()
        report = self.await_report(self.start(self.assignment(trainer="spawning")))
        child = psutil.Process(int(report.values["loss"]))
        self.engine.close()
        alive = wait_until_gone([child], timeout_s=1.0)
        for process in alive:
            process.kill()
        assert not alive

    @pytest.mark.parametrize("deed", [pytest.param(deed, marks=_when_slow(deed)) for deed in sorted(DEEDS)])
    def test_a_trial_that_misbehaves_ends_alone(self, deed: str) -> None:
        self.needs_processes()
        beside = self.start(self.assignment(1, n_reports=30, step_s=0.02))
        key = self.start(self.assignment(2, trainer="misbehaving", deed=deed, stall_s=2.0))
        ended = self.await_end(key)
        if deed in FORGIVEN:
            assert (ended.outcome, ended.error) == (Outcome.COMPLETED, None)
        else:
            expected = {Outcome.LOST} if deed in DEADLY else {Outcome.STALLED} if deed in ENDLESS else _REFUSED
            assert ended.outcome in expected, ended
            assert ended.error is not None
        after = self.start(self.assignment(3, n_reports=60, step_s=0.02))
        for innocent in (beside, after):
            assert self.await_end(innocent).outcome is Outcome.COMPLETED

    # -- groups ------------------------------------------------------------------------------------------------------

    def choir(self, *members: dict[str, Scalar], places: Places = ONE_PLACE, **all_: Any) -> list[TrialKey]:
        """Start a group of trials that their trainer trains as one."""
        group = [self.member(number, **params, **all_) for number, params in enumerate(members)]
        self.engine.start(self.engine.free_slots()[0], group, places)
        return [one.key for one in group]

    def member(self, number: int, **more: Any) -> Assignment:
        return self.assignment(number, trainer="choir", **more)

    def join(self, *group: Assignment, ask_again: bool = False) -> Vacant:
        """Wait until the group asks who comes, and say who does."""
        while self.n_answered == len(asked := [event for event in self.events if isinstance(event, Vacant)]):
            self.listen()
        self.n_answered += 1
        self.engine.join(asked[-1].key, group, ask_again=ask_again)
        return asked[-1]

    def steps(self, key: TrialKey) -> list[int]:
        return [event.step for event in self.of(key) if isinstance(event, Reported)]

    def grouped(self) -> list[Grouped]:
        return [event for event in self.events if isinstance(event, Grouped)]

    def test_members_of_a_group_report_together_and_each_has_its_end(self) -> None:
        keys = self.choir({"n_reports": 3}, {"n_reports": 3, "learning_rate": 0.5}, {"n_reports": 2})
        self.await_end(keys[2])
        self.join()
        assert [self.await_end(key).outcome for key in keys] == [Outcome.COMPLETED] * 3
        self.listen(0.2)
        assert [self.steps(key) for key in keys] == [[1, 2, 3], [1, 2, 3], [1, 2]]
        assert [type(self.of(key)[-1]) for key in keys[1:]] == [Ended] * 2
        losses = [event.values["loss"] for event in self.of(keys[1]) if isinstance(event, Reported)]
        assert losses == [0.5, 0.25, 0.5 / 3]
        assert [(one.key, one.is_fused) for one in self.grouped()] == [(keys[0], True)]
        self.assert_usable()

    def test_ends_of_a_round_are_heard_of_at_once(self) -> None:
        self.choir({"n_reports": 2}, {"n_reports": 2}, {"n_reports": 3})
        heard: list[Event] = []
        while not any(isinstance(event, Ended) for event in heard):
            heard = self.engine.poll(0.1)
        assert [event.key.number for event in heard if isinstance(event, Ended)] == [0, 1]

    def test_a_member_that_fails_leaves_the_others_alone(self) -> None:
        keys = self.choir({"n_reports": 6}, {"diverges_at": 2}, places=Places(2))
        assert self.await_end(keys[1]).outcome is Outcome.DIVERGED
        self.join()
        assert self.await_end(keys[0]).outcome is Outcome.COMPLETED
        assert self.steps(keys[0]) == [1, 2, 3, 4, 5, 6]
        self.assert_usable()

    def test_a_free_place_is_taken_by_who_joins_while_the_others_go_on(self) -> None:
        keys = self.choir({"n_reports": 6}, {"diverges_at": 2})
        self.await_end(keys[1])
        joiner = self.member(7, n_reports=3)
        assert self.join(joiner).n_places == 1
        self.await_end(joiner.key)
        assert self.steps(joiner.key) == [1, 2, 3]
        assert not any(isinstance(event, Ended) for event in self.of(keys[0])), "it was the shorter one"
        self.join()
        assert self.await_end(keys[0]).outcome is Outcome.COMPLETED
        assert self.steps(keys[0]) == [1, 2, 3, 4, 5, 6]

    def test_a_group_waits_until_it_is_known_who_comes(self) -> None:
        keys = self.choir({"n_reports": 50}, {"diverges_at": 2})
        self.await_end(keys[1])
        while not any(isinstance(event, Vacant) for event in self.events):
            self.listen()
        said = self.steps(keys[0])
        self.listen(0.3)
        assert self.steps(keys[0]) == said, "it went on, and what is proposed depends on how busy the worker is"
        self.engine.stop(keys[0], grace_s=5.0)

    def test_a_group_with_room_asks_at_once_where_it_is_told_to(self) -> None:
        keys = self.choir({"n_reports": 50}, places=Places(3, is_open=True))
        joiners = [self.member(number, n_reports=50) for number in (5, 6)]
        assert self.join(*joiners).n_places == 2
        everyone = [*keys, *(one.key for one in joiners)]
        for key in everyone:
            self.await_report(key, step=3)
        for key in everyone:
            self.engine.stop(key, grace_s=5.0)

    def test_members_wait_for_their_verdicts_and_one_is_pruned_alone(self) -> None:
        keys = self.choir({"n_reports": 3}, {"n_reports": 3}, waits=True)
        for key in keys:
            self.await_report(key)
        self.listen(0.2)
        assert [self.steps(key) for key in keys] == [[1], [1]], "they did not wait"
        self.engine.answer(keys[0], stop=False)
        self.engine.answer(keys[1], stop=True)
        assert self.await_end(keys[1]).outcome is Outcome.STOPPED
        self.join()
        for step in (2, 3):
            self.await_report(keys[0], step=step)
            self.engine.answer(keys[0], stop=False)
        assert self.await_end(keys[0]).outcome is Outcome.COMPLETED

    def test_one_member_is_cancelled_and_the_others_go_on(self) -> None:
        keys = self.choir({"n_reports": 40}, {"n_reports": 100_000}, step_s=0.01)
        self.await_report(keys[1])
        self.engine.stop(keys[1], grace_s=0.5)
        assert self.await_end(keys[1]).outcome is Outcome.STOPPED
        self.join()
        assert self.await_end(keys[0]).outcome is Outcome.COMPLETED
        assert len(self.steps(keys[0])) == 40

    def test_a_slot_that_cannot_train_a_group_hands_all_but_the_first_back(self) -> None:
        keys = self.choir({"n_reports": 2}, {"n_reports": 2}, hall="small")
        ends = [self.await_end(key) for key in keys]
        assert [(end.outcome, end.fault) for end in ends] == [
            (Outcome.COMPLETED, Fault.OWN),
            (Outcome.RETURNED, Fault.OTHER),
        ]
        assert [(one.is_fused, one.why) for one in self.grouped()] == [(False, "the hall is too small")]
        assert self.steps(keys[1]) == []
        self.assert_usable()

    def measure(self, **params: Any) -> TrialKey:
        """Start a trial that is to measure first, and wait until it has."""
        one = self.member(0, **params)
        self.engine.start(self.engine.free_slots()[0], [one], Places(4, measures=True))
        while not any(isinstance(event, Measured | Ended | Grouped) for event in self.events):
            self.listen()
        return one.key

    def test_a_slot_measures_and_waits_until_it_is_known_how_many_train_and_who(self) -> None:
        key = self.measure(n_reports=3)
        (measured,) = [event for event in self.events if isinstance(event, Measured)]
        assert measured.key == key
        assert measured.rates[:3] == (100.0, 150.0, 240.0)
        self.listen(0.2)
        assert self.steps(key) == [], "what it trains with is not in the record yet"
        joiner = self.member(7, n_reports=3)
        self.engine.join(key, [joiner], n_places=2)
        assert [self.await_end(one).outcome for one in (key, joiner.key)] == [Outcome.COMPLETED] * 2
        assert [self.steps(one) for one in (key, joiner.key)] == [[1, 2, 3]] * 2
        assert [(one.key, one.is_fused) for one in self.grouped()] == [(key, True)]
        self.assert_usable()

    def test_a_trial_that_is_to_be_alone_after_measuring_is(self) -> None:
        key = self.measure(n_reports=3)
        self.engine.join(key, [], n_places=1)
        assert self.await_end(key).outcome is Outcome.COMPLETED
        assert self.steps(key) == [1, 2, 3]
        assert self.grouped() == []
        self.assert_usable()

    def test_a_trial_that_is_told_to_stop_while_it_measures_does(self) -> None:
        key = self.measure(n_reports=100_000, step_s=0.01)
        self.engine.stop(key, grace_s=5.0)
        self.engine.join(key, [], n_places=1)
        assert self.await_end(key).outcome is Outcome.STOPPED
        self.assert_usable()

    def test_what_cannot_be_trained_as_one_is_not_measured(self) -> None:
        key = self.measure(n_reports=2, hall="small")
        assert self.await_end(key).outcome is Outcome.COMPLETED
        assert [(one.is_fused, one.why) for one in self.grouped()] == [(False, "the hall is too small")]
        assert not any(isinstance(event, Measured) for event in self.events)

    def test_what_cannot_be_measured_trains_alone_and_says_why(self) -> None:
        self.needs_processes()
        key = self.measure(n_reports=1, deed="can't be measured")
        assert self.await_end(key).outcome is Outcome.COMPLETED
        assert [(one.is_fused, one.why) for one in self.grouped()] == [
            (False, "they can't be measured together: nobody keeps time")
        ]

    def test_a_process_that_dies_while_it_measures_is_noticed(self) -> None:
        self.needs_processes()
        assert self.await_end(self.measure(deed="brings the house down")).outcome is Outcome.LOST
        self.assert_usable()

    def test_a_group_that_does_not_fit_is_nobodys_fault(self) -> None:
        self.needs_processes()
        keys = self.choir({}, {}, {}, most=2)
        ends = [self.await_end(key) for key in keys]
        assert [(end.outcome, end.fault) for end in ends] == [(Outcome.OOM, Fault.GROUP)] * 3
        self.assert_usable()

    @pytest.mark.parametrize(
        ("deed", "outcome"),
        [("brings the house down", Outcome.LOST), ("stops the show", Outcome.ERROR), ("falls silent", Outcome.STALLED)],
    )
    def test_what_ends_all_of_a_group_is_told_as_the_groups(self, deed: str, outcome: Outcome) -> None:
        self.needs_processes()
        keys = self.choir({}, {"deed": deed}, stall_s=1.5)
        ends = [self.await_end(key) for key in keys]
        assert [(end.outcome, end.fault) for end in ends] == [(outcome, Fault.GROUP)] * 2
        self.assert_usable()

    def test_a_member_over_its_time_ends_alone(self) -> None:
        self.needs_processes()
        slow = self.assignment(1, trainer="choir", n_reports=100_000, step_s=0.01, timeout_s=1.0)
        beside = self.assignment(0, trainer="choir", n_reports=200, step_s=0.01)
        self.engine.start(self.engine.free_slots()[0], [beside, slow])
        ended = self.await_end(slow.key)
        assert ended.outcome is Outcome.TIMEOUT
        assert ended.error is not None
        self.join()
        assert self.await_end(beside.key).outcome is Outcome.COMPLETED

    def test_each_member_has_its_own_log_checkpoint_and_traceback(self) -> None:
        self.needs_processes()
        keys = self.choir({"n_reports": 3}, {"deed": "off key"})
        assert self.await_end(keys[1]).outcome is Outcome.ERROR
        self.join()
        self.await_end(keys[0])
        logs = [(self.directory / str(key.number) / "log.txt").read_text() for key in keys]
        assert logs[0] == "2 voices\n1 voices\n1 voices\n"
        assert logs[1].startswith("2 voices\nTraceback")
        assert logs[1].rstrip().endswith("ValueError: off key")
        assert (self.directory / "0" / "checkpoint-3").read_text() == "3"
        assert not list(self.directory.rglob("group-log.txt"))


_REFUSED = {Outcome.ERROR, Outcome.DIVERGED}


def test_a_slot_tells_what_each_trial_ran_with_whatever_its_end(tmp_path: Path) -> None:
    slots = LocalEngine([SlotRecord(0, "cpu", 0.0, 1)], Preload(modules=ROGUES))
    ended: list[Ended] = []
    for number, trainer in enumerate(("synthetic", "synthetic", "crashing", "synthetic", "no_such_trainer")):
        key = TrialKey("job", number, 1)
        slots.start(slots.free_slots()[0], [Assignment(key, trainer, {}, 0, tmp_path / str(number), tmp_path, False)])
        while len(ended) == number:
            ended += [event for event in slots.poll(0.05) if isinstance(event, Ended)]
    slots.close()
    told = [one.provenance for one in ended]
    assert [one and one.trainer for one in told] == ["synthetic", "synthetic", "crashing", "synthetic", None]
    assert told[0] == told[1] == told[3], "also by a process that took the place of another"
    assert told[0] is not None
    assert told[0].source_hash
    assert "stepsize" in told[0].packages
