"""Several trainings under way as one: a stack, its losses, and the updates between them. Shapes: K members."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepsize_workers.training.fused.batches import JointBatch
from stepsize_workers.training.fused.losses import JointLosses
from stepsize_workers.training.fused.optimizers import joint_steps
from stepsize_workers.training.fused.stack import Stack
from stepsize_workers.training.run import Run


class JointRun:
    """What `Run` is for one training, for several of one shape."""

    def __init__(self, runs: Sequence[Run[Any, Any]], losses: JointLosses | None = None) -> None:
        """Stack the trainings up.

        Args:
            losses: of an earlier joint run of this shape.

        Raises:
            NotFusedError: they are not of one shape.
        """
        self.losses = losses or JointLosses(runs[0])
        self._stack = Stack(runs)
        self._clip = Clip.of(self._stack)
        with torch.no_grad():
            self._steps = joint_steps(self._stack)

    @property
    def runs(self) -> Sequence[Run[Any, Any]]:
        """The trainings, in the order of their rows."""
        return self._stack.runs

    def begin_epoch(self, rates: Sequence[Sequence[float]]) -> None:
        """Take the learning rates of an epoch's updates, each of all members."""
        self._steps.begin_epoch(np.array(rates, np.float64))

    def make_update(self, update: int, groups: Sequence[Sequence[object]]) -> Tensor:
        """Update all members by the mean gradients of a group of batches each, and return the mean losses (K,).

        Args:
            update: counted from 0 in the epoch.
            groups: one for each member, or one that all share.

        Raises:
            NotFusedError: the task's code, or the batches, can't be joined.
        """
        losses = self._backward(groups)
        with torch.no_grad():
            self._stack.collect_gradients()
            if self._clip is not None:
                self._clip.scale_down(self._stack.gradients)
            self._steps.step(update)
        return losses

    def _backward(self, groups: Sequence[Sequence[object]]) -> Tensor:
        total: Tensor | None = None
        for batches in zip(*groups, strict=True):
            losses = self.losses.of(self._stack, JointBatch.of(batches)) / len(groups[0])
            losses.backward(torch.ones_like(losses))  # type: ignore[no-untyped-call]
            total = losses.detach() if total is None else total + losses.detach()
        assert total is not None, "a group has at least one batch"
        return total


class LoneRun:
    """What `JointRun` is, for one training: its updates are those it makes alone.

    Mapped over one member, the updates of a small mlp took two to three times as long.
    """

    def __init__(self, run: Run[Any, Any]) -> None:
        """Take a training over from a stack, if it was in one."""
        self._run = run
        for state in run.optimizer.state.values():
            for name, amount in state.items():
                if isinstance(amount, Tensor) and not amount.dim():
                    # A stack counts once for all of a member's parameters, its own optimiser once for each.
                    state[name] = amount.clone()

    def begin_epoch(self, rates: Sequence[Sequence[float]]) -> None:
        """Take the learning rates of an epoch's updates."""
        self._rates = [rate for (rate,) in rates]

    def make_update(self, update: int, groups: Sequence[Sequence[object]]) -> Tensor:
        """Update the training by the mean gradient of a group of batches, and return the mean loss (1,)."""
        (batches,) = groups
        self._run.rates.set(self._rates[update])
        loss = self._run.backward(batches)
        self._run.step()
        return torch.tensor([loss])


@dataclass(frozen=True)
class Clip:
    """Scales down gradients to each member's highest norm, as `clip_grad_norm_` does."""

    limits: Tensor
    """(K,), infinite where there is none."""

    @classmethod
    def of(cls, stack: Stack) -> "Clip | None":
        """Return what a stack's members ask for; None: nothing."""
        limits = [run.params.clip_norm or math.inf for run in stack.runs]
        if all(map(math.isinf, limits)):
            return None
        return cls(torch.tensor(limits, dtype=stack.numbers.dtype, device=stack.numbers.device))

    def scale_down(self, gradients: Tensor) -> None:
        """Change gradients (K, N) in place."""
        norms = torch.linalg.vector_norm(gradients, dim=1)
        factors = (self.limits / (norms + 1e-6)).clamp(max=1)
        # An infinite norm without a limit is none of clipping's business: ∞ / ∞ is no number.
        gradients.mul_(torch.where(self.limits.isinf(), 1.0, factors).unsqueeze(1))
