"""The members' losses by one forward pass: a task written for one model, mapped over all of them.

The map is over the forward pass alone; the backward pass is an ordinary one over the stacked tensors. Differentiating
inside the map loses 2 to 4 times in attention.
"""

from contextlib import nullcontext
from copy import deepcopy
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, vmap

from stepsize.infeasibility import is_out_of_memory
from stepsize_workers.trainers.base import NotFusedError
from stepsize_workers.training.fused.attention import JointAttention
from stepsize_workers.training.fused.batches import JointBatch
from stepsize_workers.training.fused.stack import Stack
from stepsize_workers.training.run import Run
from stepsize_workers.training.task import Task


class _Loss(nn.Module):
    """A task's loss as a module, so that its model's parameters can be stood in for."""

    def __init__(self, task: Task[Any, Any], model: nn.Module) -> None:
        super().__init__()
        self._task = task
        self.model = model

    def forward(self, batch: object) -> Tensor:
        return self._task.loss(self.model, batch)


class JointLosses:
    """Computes the losses (K,) of a stack's members, each of its own batch."""

    def __init__(self, run: Run[Any, Any]) -> None:
        """Copy a member's model, for its code.

        Raises:
            NotFusedError: it can't be copied.
        """
        try:
            model = deepcopy(run.model)
        except Exception as error:
            raise NotFusedError(f"the model can't be copied: {error}") from error
        for module in model.train().modules():
            if isinstance(module, nn.Dropout) and module.p == 0:
                module.eval()  # it would ask for random numbers, and not use them
        self._loss = _Loss(run.task, model)
        self._precision = run.precision
        self._attention: JointAttention | None = JointAttention()

    def of(self, stack: Stack, batch: JointBatch) -> Tensor:
        """Return the losses (K,), with a gradient.

        Raises:
            NotFusedError: the task's code can't be mapped.
        """
        names = [f"model.{name}" for name in (*stack.leaves, *stack.constants)]

        def one(content: object, *own: Tensor) -> Tensor:
            loss: Tensor = functional_call(self._loss, dict(zip(names, own, strict=True)), (content,))
            return loss

        tensors = (*stack.leaves.values(), *stack.constants.values())
        # Flat: what is nested costs Python's time at every update.
        mapped = vmap(one, in_dims=(batch.in_dims, *[0] * len(tensors)), randomness="error")
        try:
            with self._precision, self._attention or nullcontext():
                losses: Tensor = mapped(batch.content, *tensors)
        except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).strip().partition("\n")[0].partition(". ")[0]  # the rest is for its authors
            raise NotFusedError(f"its loss can't be mapped over models: {reason}") from error
        if self._attention is not None and not self._attention.was_needed:
            self._attention = None  # it looks at every call of torch's functions
        if losses.shape != (len(stack),):
            raise NotFusedError(f"the loss is no single number: it has shape {tuple(losses.shape[1:])}")
        return losses
