"""Devices: using one so that the same seed gives the same numbers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch


def use_device(name: str) -> torch.device:
    """Return the device, with cuDNN held to algorithms that always give the same result.

    Args:
        name: as in `TrialContext.device`: `cpu`, `cuda:0`.
    """
    device = torch.device(name)
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.cuda.set_device(device)
    return device


@contextmanager
def tiny_as_zero() -> Iterator[None]:
    """Let the processor take for 0, in the body, what is too small to be written with all digits (below 1e-38).

    It computes with such numbers many times slower, and the gradient of a saturated gate is full of them: an lstm at a
    learning rate of 0.32 took 27 s instead of 8 s of processor time, to the same losses. Threads that torch starts in
    the body do so too.
    """
    was_so = bool(np.float32(1e-38) * np.float32(1e-3) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_so)


def autocast(device: torch.device, *, enabled: bool) -> AbstractContextManager[object]:
    """Return the context in which to compute a loss: bfloat16 where safe if enabled on CUDA, else nothing.

    bfloat16 has float32's range, so no loss scaling is needed.
    """
    if not enabled or device.type != "cuda":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
