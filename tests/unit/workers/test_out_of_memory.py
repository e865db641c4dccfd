"""Running out of memory is told from other failures."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from stepsize.infeasibility import is_out_of_memory
from stepsize.store.workers import SlotRecord
from stepsize_workers import out_of_memory
from stepsize_workers.engines.base import Assignment, Ended, Outcome, TrialKey
from stepsize_workers.engines.local import LocalEngine, Preload
from stepsize_workers.out_of_memory import KernelWatch


def raised_by_torch() -> Exception:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    return caught.value


def raised_by_numpy() -> Exception:
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 55, dtype=np.uint8)
    return caught.value


class OutOfMemoryError(Exception):
    """Of a library nobody here knows."""


@pytest.mark.parametrize(
    "error",
    [
        raised_by_torch(),
        raised_by_numpy(),
        torch.OutOfMemoryError("Tried to allocate 20.00 MiB"),
        torch.AcceleratorError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OutOfMemoryError(),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:40],
)
def test_whatever_says_that_memory_ran_out_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("a batch of 0"),
    ],
)
def test_other_failures_are_failures(error: Exception) -> None:
    assert not is_out_of_memory(error)


class TestKernel:
    @pytest.fixture(autouse=True)
    def _setup(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.directory = tmp_path
        self.write(3)
        monkeypatch.setattr(out_of_memory, "control_group", lambda: tmp_path)

    def write(self, n_kills: int) -> None:
        (self.directory / "memory.events").write_text(f"low 0\nhigh 0\nmax 17\noom 4\noom_kill {n_kills}\n")

    @pytest.mark.parametrize(("status", "expected"), [(-9, True), (137, True), (-15, False), (1, False), (None, False)])
    def test_a_killed_process_is_its_victim_if_it_has_killed_since(self, status: int | None, *, expected: bool) -> None:
        watch = KernelWatch()
        assert not watch.killed(status)
        self.write(4)
        assert watch.killed(status) == expected
        assert not KernelWatch().killed(status)

    def test_a_machine_without_control_groups_has_a_count_too(self) -> None:
        (self.directory / "memory.events").unlink()
        assert not KernelWatch().killed(-9)

    @pytest.mark.parametrize(("n_kills", "outcome"), [(4, Outcome.OOM), (3, Outcome.LOST)])
    def test_a_trial_that_was_its_victim_is_out_of_memory(self, n_kills: int, outcome: Outcome) -> None:
        engine = LocalEngine([SlotRecord(0, "cpu", 0.0, 1)], Preload(modules=["tests.contracts.engine_trainers"]))
        try:
            key = TrialKey("job", 0, 1)  # `crashing` kills itself, as the kernel would
            directory = self.directory / "0"
            engine.start(
                engine.slots[0],
                [Assignment(key, "crashing", {}, 0, directory, directory, waits_for_verdict=False)],
            )
            self.write(n_kills)
            while not (ended := [event for event in engine.poll(1.0) if isinstance(event, Ended)]):
                pass
            assert ended[0].outcome is outcome
            assert ended[0].error is not None
        finally:
            engine.close()
