"""What every engine promises (see stepsize_workers/engines/base.py). A new one joins by its line in `ENGINES`."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Assignment, Ended, Engine, Event, Outcome, Reported, TrialKey
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


SCRIPTS: dict[str, Script] = {"synthetic": _synthetic, "deaf": _deaf, "crashing": _crashing}


class ScriptedEngine(FakeEngine):
    """Has a script for each of the contract's trainers."""

    def start(self, slot: SlotRecord, group: Sequence[Assignment]) -> None:
        self.script = SCRIPTS[group[0].trainer]
        super().start(slot, group)


def fake() -> Engine:
    return ScriptedEngine(_synthetic, n_slots=2)


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

    @pytest.mark.parametrize("deed", sorted(DEEDS))
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


_REFUSED = {Outcome.ERROR, Outcome.DIVERGED}
