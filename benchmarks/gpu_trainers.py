"""Trainers that do on a GPU what only a GPU can; loaded by the slots of `benchmarks.gpu_check`.

Shapes: `B` batch, `F` features.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import SearchSpace
from stepsize_workers.trainers.base import Params, Trainer, TrialContext


class GpuParams(Params):
    """Nothing to choose."""


class _OnGpu(Trainer[GpuParams]):
    version = "1"
    help = "Checks a GPU."
    Params = GpuParams
    metrics = (Metric(name="loss", direction=Direction.MINIMIZE),)
    step_unit = "step"
    default_search_space: ClassVar[SearchSpace] = {}
    default_objectives = (Objective(metric="loss", direction=Direction.MINIMIZE),)


class Seeing(_OnGpu):
    """Says how many GPUs it sees, and which its own is."""

    name = "gpu_seeing"

    def train(self, context: TrialContext[GpuParams]) -> None:
        """Report the count as the loss."""
        context.note_data(str(torch.cuda.get_device_properties(context.device).uuid).removeprefix("GPU-"))
        context.report(1, {"loss": float(torch.cuda.device_count())})


class Greedy(_OnGpu):
    """Takes more memory than the GPU has."""

    name = "gpu_greedy"

    def train(self, context: TrialContext[GpuParams]) -> None:
        """Take it in pieces, as a training does, and keep them."""
        total = torch.cuda.get_device_properties(context.device).total_memory
        kept = [torch.empty(total // 8, dtype=torch.uint8, device=context.device) for _ in range(9)]
        context.report(1, {"loss": float(len(kept))})


class Asserting(_OnGpu):
    """Fails an assertion on the device, after which every call of its process fails."""

    name = "gpu_asserting"

    def train(self, context: TrialContext[GpuParams]) -> None:
        """Read past the end of a tensor."""
        values = torch.zeros(4, device=context.device)
        context.report(1, {"loss": float(values[torch.tensor([9], device=context.device)].sum())})


class HalfPrecision(_OnGpu):
    """Trains a small net in float16, with scaled losses."""

    name = "gpu_half"

    def train(self, context: TrialContext[GpuParams]) -> None:
        """Report the first loss and the last."""
        torch.manual_seed(context.seed)
        net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1)).to(context.device)
        optimizer, scaler = torch.optim.SGD(net.parameters(), lr=0.05), torch.amp.GradScaler("cuda")
        inputs = torch.randn(256, 32, device=context.device)  # (B, F)
        targets = inputs[:, :1] * 2  # (B, 1)
        for step in range(1, 101):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.float16):
                outputs = net(inputs)
                assert outputs.dtype is torch.float16, "autocast did nothing"
                loss = functional.mse_loss(outputs.float(), targets)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            if step in (1, 100):
                context.report(step, {"loss": loss.item()})
