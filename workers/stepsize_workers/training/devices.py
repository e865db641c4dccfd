"""Devices: using one so that the same seed gives the same numbers."""

from contextlib import AbstractContextManager, nullcontext

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


def autocast(device: torch.device, *, enabled: bool) -> AbstractContextManager[object]:
    """Return the context in which to compute a loss: bfloat16 where safe if enabled on CUDA, else nothing.

    bfloat16 has float32's range, so no loss scaling is needed.
    """
    if not enabled or device.type != "cuda":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
