"""Slots: which devices there are, and what each process may see."""

import os
from pathlib import Path

import pytest

from stepsize.store.workers import SlotRecord
from stepsize_workers.engines import devices as machine
from stepsize_workers.engines.base import Assignment, Ended, Outcome, TrialKey
from stepsize_workers.engines.devices import detect_slots, slot_environment
from stepsize_workers.engines.local import LocalEngine


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four GPUs and eight cores."""
    monkeypatch.setattr(machine, "_count_gpus", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def devices(slots: list[SlotRecord]) -> list[tuple[str, float, int]]:
    return [(slot.device, slot.gpus, slot.cpus) for slot in slots]


def test_a_slot_a_gpu() -> None:
    assert devices(detect_slots(None)) == [(f"cuda:{index}", 1.0, 2) for index in range(4)]


def test_more_slots_share_the_gpus() -> None:
    assert devices(detect_slots(8)) == [(f"cuda:{index % 4}", 0.5, 1) for index in range(8)]


def test_a_worker_takes_only_the_gpus_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-9f7c")
    slots = detect_slots(None)
    assert [slot.device for slot in slots] == ["cuda:0", "cuda:1"]
    seen = [slot_environment(os.environ, slot)["CUDA_VISIBLE_DEVICES"] for slot in slots]
    assert seen == ["2", "GPU-9f7c"]


@pytest.mark.parametrize("given", ["", "-1"])
def test_a_worker_that_was_given_none_uses_the_cpu(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert devices(detect_slots(None)) == [("cpu", 0.0, 4), ("cpu", 0.0, 4)]


def test_a_slot_sees_its_own_gpu_and_its_share_of_threads() -> None:
    seen = slot_environment({"PATH": "/bin"}, SlotRecord(3, "cuda:3", 1.0, 2))
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["OMP_NUM_THREADS"], seen["PATH"]) == ("3", "2", "/bin")
    assert seen["OMP_WAIT_POLICY"] == "PASSIVE"
    seen = slot_environment({"OMP_WAIT_POLICY": "ACTIVE"}, SlotRecord(0, "cpu", 0.0, 1))
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["OMP_WAIT_POLICY"]) == ("", "ACTIVE")


@pytest.mark.parametrize(("device", "is_renewed"), [("cpu", False), ("cuda:0", True)])
def test_after_an_error_on_a_gpu_the_process_is_renewed(tmp_path: Path, device: str, *, is_renewed: bool) -> None:
    engine = LocalEngine([SlotRecord(0, device, 0.0, 1)])  # nothing here touches the GPU
    try:
        before = engine.slot_pids
        wrong = {"learning_rate": -1.0}
        assignment = Assignment(
            TrialKey("job", 0, 1), "synthetic", wrong, 0, tmp_path / "0", tmp_path, waits_for_verdict=False
        )
        engine.start(engine.slots[0], [assignment])
        while not (ended := [event for event in engine.poll(1.0) if isinstance(event, Ended)]):
            pass
        assert [event.outcome for event in ended] == [Outcome.ERROR]
        assert (engine.slot_pids != before) == is_renewed
        assert engine.free_slots()
    finally:
        engine.close()
