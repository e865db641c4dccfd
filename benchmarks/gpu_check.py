"""What only a GPU can show, shown on the GPUs at hand: `make gpu-check`. Within three minutes, without a network.

It prints one JSON line, and exits 0 if all is well; on a machine without a GPU it says so, and exits 0 too.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from stepsize.spec.space import Scalar
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Assignment, CheckpointSaved, Ended, Event, Outcome, Reported, TrialKey
from stepsize_workers.engines.devices import detect_slots
from stepsize_workers.engines.local import LocalEngine, Preload
from stepsize_workers.trainers.image_classifier import ImageClassifier
from stepsize_workers.training.devices import use_device
from stepsize_workers.training.memory import MemoryLine, Probe, measure
from stepsize_workers.training.probe import measure_peaks

_TRAINERS = "benchmarks.gpu_trainers"
_LIMIT_S = 170.0
_TRIAL_LIMIT_S = 60.0
_STOP_WITHIN_S = 5.0
_PREDICTION_TOLERANCE = 0.25
"""Of the memory a batch takes: an allocator rounds up, and cuDNN chooses work spaces by size."""
_DIGITS: dict[str, Scalar] = {"dataset": "digits", "model": "mlp", "width": 64, "learning_rate": 0.05, "batch_size": 64}


class _CheckFailedError(Exception):
    """A check has shown something that is not as it must be."""


def _expect(is_so: object, otherwise: str) -> None:
    if not is_so:
        raise _CheckFailedError(otherwise)


class _Bench:
    """An engine with a slot a GPU, and trials to run in it."""

    def __init__(self, slots: Sequence[SlotRecord], directory: Path) -> None:
        self.engine = LocalEngine(slots, Preload(modules=[_TRAINERS]))
        self.slots = slots
        self._directory = directory
        self._n_trials = 0
        self._events: dict[TrialKey, list[Event]] = {}

    def assignment(self, trainer: str, params: dict[str, Scalar] | None = None) -> Assignment:
        self._n_trials += 1
        key = TrialKey(f"gpu-check-{os.getpid()}", self._n_trials, 1)
        directory = self._directory / f"{id(self)}-{self._n_trials}"
        return Assignment(key, trainer, params or {}, 0, directory, self._directory, waits_for_verdict=False)

    def start(self, assignment: Assignment, *, slot: int = 0) -> TrialKey:
        limit_s = time.monotonic() + _TRIAL_LIMIT_S
        while self.slots[slot] not in self.engine.free_slots():
            _expect(time.monotonic() < limit_s, f"slot {slot} was not free within {_TRIAL_LIMIT_S} s")
            self._hear()
        self._events[assignment.key] = []
        self.engine.start(self.slots[slot], [assignment])
        return assignment.key

    def run(self, assignment: Assignment, *, slot: int = 0) -> list[Event]:
        """Run a trial to its end and return its events."""
        return self.await_end(self.start(assignment, slot=slot))

    def await_end(self, key: TrialKey) -> list[Event]:
        self.await_event(key, lambda event: isinstance(event, Ended))
        return self._events[key]

    def await_event(self, key: TrialKey, is_it: Callable[[Event], bool]) -> Event:
        limit_s = time.monotonic() + _TRIAL_LIMIT_S
        while not (found := [event for event in self._events[key] if is_it(event)]):
            _expect(time.monotonic() < limit_s, f"nothing was heard within {_TRIAL_LIMIT_S} s")
            self._hear()
        return found[0]

    def _hear(self) -> None:
        for event in self.engine.poll(0.1):
            self._events.setdefault(event.key, []).append(event)


@contextmanager
def _bench(directory: Path, n_slots: int | None = None) -> Iterator[_Bench]:
    bench = _Bench(detect_slots(n_slots), directory)
    try:
        yield bench
    finally:
        bench.engine.close()


def _end_of(events: Sequence[Event]) -> Ended:
    ended = events[-1]
    assert isinstance(ended, Ended), "a trial's last event is its end"
    return ended


def _reports(events: Sequence[Event]) -> dict[int, dict[str, float]]:
    return {event.step: event.values for event in events if isinstance(event, Reported)}


def _expect_outcome(events: Sequence[Event], outcome: Outcome) -> None:
    ended = _end_of(events)
    _expect(ended.outcome is outcome, f"the trial ended as {ended.outcome}, not {outcome}: {ended.error}")


# -- the checks ----------------------------------------------------------------------------------------------------


def a_slot_a_gpu(directory: Path) -> str:
    """Each slot's process sees one GPU, each another."""
    with _bench(directory) as bench:
        keys = [bench.start(bench.assignment("gpu_seeing"), slot=slot.index) for slot in bench.slots]
        told = [bench.await_end(key) for key in keys]
    for events in told:
        _expect_outcome(events, Outcome.COMPLETED)
    seen = {_reports(events)[1]["loss"] for events in told}
    gpus = [_end_of(events).data_hash for events in told]
    _expect(seen == {1.0}, f"slots see {sorted(seen)} GPUs")
    _expect(len(set(gpus)) == len(gpus), f"slots share GPUs: {gpus}")
    return f"{len(gpus)} slots"


def visible_devices(directory: Path) -> str:
    """A worker that is given a GPU by its id takes that one and no other."""
    given = f"GPU-{torch.cuda.get_device_properties(torch.cuda.device_count() - 1).uuid}"
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = given
    try:
        with _bench(directory) as bench:
            _expect(len(bench.slots) == 1, f"{len(bench.slots)} slots, for one GPU")
            events = bench.run(bench.assignment("gpu_seeing"))
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
    _expect_outcome(events, Outcome.COMPLETED)
    _expect(f"GPU-{_end_of(events).data_hash}" == given, f"given {given}, used {_end_of(events).data_hash}")
    return given


def out_of_memory(directory: Path) -> str:
    """A trial that takes too much ends as `oom`, and the next finds the memory free."""
    with _bench(directory) as bench:
        before = bench.engine.slot_pids[0]
        events = bench.run(bench.assignment("gpu_greedy"))
        _expect_outcome(events, Outcome.OOM)
        _expect(bench.engine.slot_pids[0] != before, "its process was kept, with what its allocator holds")
        _expect_outcome(bench.run(bench.assignment("gpu_half")), Outcome.COMPLETED)
    error = _end_of(events).error
    return error.type if error else ""


def assertion_on_the_device(directory: Path) -> str:
    """After an assertion on the device the process is renewed."""
    with _bench(directory) as bench:
        _expect_outcome(bench.run(bench.assignment("gpu_asserting")), Outcome.ERROR)
        _expect_outcome(bench.run(bench.assignment("gpu_half")), Outcome.COMPLETED)
    return "renewed"


def bfloat16(directory: Path) -> str:
    """A built-in task trains in bfloat16."""
    params = _DIGITS | {"epochs": 5, "mixed_precision": True}
    with _bench(directory) as bench:
        events = bench.run(bench.assignment("image_classifier", params))
    _expect_outcome(events, Outcome.COMPLETED)
    accuracy = _reports(events)[5]["val_accuracy"]
    _expect(accuracy > 0.8, f"it reached an accuracy of {accuracy} only")
    return f"accuracy {accuracy:.3f}"


def float16(directory: Path) -> str:
    """A trainer of one's own trains in float16, its losses scaled."""
    with _bench(directory) as bench:
        events = bench.run(bench.assignment("gpu_half"))
    _expect_outcome(events, Outcome.COMPLETED)
    first, last = (_reports(events)[step]["loss"] for step in (1, 100))
    _expect(last < first / 2, f"the loss went from {first} to {last}")
    return f"loss {first:.3f} → {last:.3f}"


def cancel(directory: Path) -> str:
    """A trial that is told to stop does so soon."""
    with _bench(directory) as bench:
        key = bench.start(bench.assignment("image_classifier", _DIGITS | {"epochs": 100_000}))
        bench.await_event(key, lambda event: isinstance(event, Reported))
        started = time.monotonic()
        bench.engine.stop(key, grace_s=2 * _STOP_WITHIN_S)
        _expect_outcome(bench.await_end(key), Outcome.STOPPED)
        took_s = time.monotonic() - started
    _expect(took_s < _STOP_WITHIN_S, f"it took {took_s:.1f} s")
    return f"{took_s:.2f} s"


def exact_resume(directory: Path) -> str:
    """A trial whose process is killed goes on from its checkpoint as if nothing had been: the CUDA generator's too."""
    epochs = 40
    params = _DIGITS | {"epochs": epochs, "dropout": 0.3}
    with _bench(directory) as bench:
        whole = bench.run(bench.assignment("image_classifier", params))
        _expect_outcome(whole, Outcome.COMPLETED)
        cut = bench.assignment("image_classifier", params)
        key = bench.start(cut)
        bench.await_event(key, lambda event: isinstance(event, CheckpointSaved) and event.step >= 2)
        bench.engine.stop(key, grace_s=0.0)
        first = bench.await_end(key)
        saved = max(event.step for event in first if isinstance(event, CheckpointSaved))
        _expect(saved < epochs, "it was done before it could be interrupted")
        again = replace(cut, key=replace(key, attempt=2), checkpoint_step=saved)
        second = bench.run(again)
        _expect_outcome(second, Outcome.COMPLETED)
    told = {step: values for step, values in _reports(first).items() if step <= saved} | _reports(second)
    expected = _reports(whole)
    differing = [step for step in expected if told.get(step) != expected[step]]
    _expect(not differing, f"resumed after step {saved}, it differs at steps {differing[:5]}")
    return f"resumed after step {saved} of {epochs}"


def memory_prediction(directory: Path) -> str:
    """What two small updates foretell is what the whole batch takes."""
    params = ImageClassifier.Params.model_validate({"dataset": "mnist5k", "model": "cnn", "batch_size": 2048})
    device = use_device("cuda:0")
    probe = Probe.of(ImageClassifier, params, device, directory, batch_size=params.batch_size)
    line: MemoryLine | None = measure(probe)
    if line is None:
        raise _CheckFailedError("the probe failed")
    predicted = line.at(params.batch_size)
    _, measured = measure_peaks(replace(probe, sizes=(params.batch_size, params.batch_size)))
    _expect(
        abs(predicted - measured) < _PREDICTION_TOLERANCE * measured, f"{predicted} bytes foretold, {measured} taken"
    )
    return f"{predicted / 2**20:.0f} MiB foretold, {measured / 2**20:.0f} MiB taken"


CHECKS: tuple[Callable[[Path], str], ...] = (
    a_slot_a_gpu,
    visible_devices,
    out_of_memory,
    assertion_on_the_device,
    bfloat16,
    float16,
    cancel,
    exact_resume,
    memory_prediction,
)


@dataclass(frozen=True)
class Finding:
    """What a check has shown."""

    name: str
    is_ok: bool
    seconds: float
    detail: str


def look_into(check: Callable[[Path], str], directory: Path) -> Finding:
    """Make one check, whatever becomes of it."""
    started = time.monotonic()
    try:
        is_ok, detail = True, check(directory)
    except Exception as error:  # noqa: BLE001 - the other checks are made all the same
        is_ok, detail = False, f"{type(error).__name__}: {error}"
    return Finding(check.__name__, is_ok, round(time.monotonic() - started, 2), detail)


def main() -> int:
    """Make the checks, print one JSON line, and return the exit code."""
    told: dict[str, object] = {"torch": torch.__version__, "gpus": torch.cuda.device_count()}
    if not torch.cuda.is_available():
        sys.stdout.write(json.dumps({**told, "ok": True, "checks": [], "says": "no GPU"}) + "\n")
        return 0
    started = time.monotonic()
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="stepsize-gpu-") as directory:
        for check in CHECKS:
            if time.monotonic() - started > _LIMIT_S:
                findings.append(Finding(check.__name__, is_ok=False, seconds=0.0, detail="no time was left for it"))
            else:
                findings.append(look_into(check, Path(directory)))
    is_ok = all(finding.is_ok for finding in findings)
    checks = [{"name": one.name, "ok": one.is_ok, "seconds": one.seconds, "detail": one.detail} for one in findings]
    name = torch.cuda.get_device_name(0)
    seconds = round(time.monotonic() - started, 1)
    sys.stdout.write(json.dumps({**told, "gpu": name, "ok": is_ok, "seconds": seconds, "checks": checks}) + "\n")
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
