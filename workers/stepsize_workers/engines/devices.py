"""Which devices a machine's slots have, and what each slot's process may see of them."""

import os
from collections.abc import Mapping
from itertools import takewhile

from stepsize.children.child import thread_limits
from stepsize.store.workers import SlotRecord


def torch_device(device: str) -> str:
    """Return what a slot's process calls its device."""
    # CUDA_VISIBLE_DEVICES leaves the slot's process a single GPU, which is its number 0.
    return "cuda:0" if device.startswith("cuda") else device


def slot_environment(environment: Mapping[str, str], slot: SlotRecord) -> dict[str, str]:
    """Return the environment of a slot's process: its own device, and no more CPU threads than its share.

    Without the pinning two slots with default threads on two cores ran 10 times slower. Threads that wait for others
    sleep: with other work on the machine, a small net on two threads that spun took 10 to 20 times as long.
    """
    waiting = {"OMP_WAIT_POLICY": environment.get("OMP_WAIT_POLICY", "PASSIVE")}
    gpu = ""
    if slot.device.startswith("cuda:"):
        index = slot.device.removeprefix("cuda:")
        allowed = _allowed_gpus(environment)
        gpu = index if allowed is None else allowed[int(index)]
    return {**environment, **thread_limits(slot.cpus), **waiting, "CUDA_VISIBLE_DEVICES": gpu, "PYTHONUNBUFFERED": "1"}


def _allowed_gpus(environment: Mapping[str, str]) -> list[str] | None:
    """Return the GPUs that a worker was given by `CUDA_VISIBLE_DEVICES` (numbers or ids); None: all there are."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return None
    gpus = [gpu.strip() for gpu in given.split(",")]
    return list(takewhile(lambda gpu: gpu not in ("", "-1"), gpus))  # CUDA itself stops there


def detect_slots(n_slots: int | None) -> list[SlotRecord]:
    """Return this machine's slots: one per GPU, or one per CPU core up to two and one per four beyond.

    Args:
        n_slots: how many instead; several slots share a GPU in equal parts.
    """
    cores = len(os.sched_getaffinity(0))
    allowed = _allowed_gpus(os.environ)
    n_gpus = _count_gpus() if allowed is None else min(len(allowed), _count_gpus())
    n = n_slots or n_gpus or max(min(cores, 2), cores // 4)
    cpus = max(1, cores // n)
    if not n_gpus:
        return [SlotRecord(index, "cpu", 0.0, cpus) for index in range(n)]
    per_gpu = -(-n // n_gpus)
    return [SlotRecord(index, f"cuda:{index % n_gpus}", 1 / per_gpu, cpus) for index in range(n)]


def _count_gpus() -> int:
    try:
        import pynvml  # noqa: PLC0415 - absent from machines that will never have a GPU
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    return int(pynvml.nvmlDeviceGetCount())
