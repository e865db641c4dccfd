"""What the members of a group train, in rows of one tensor.

Shapes: K members, N numbers of a member, S a parameter's own. Each member's model and gradients become views of its
row: its `Run` works on as before, and who leaves takes the model along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from stepsize_workers.trainers.base import NotFusedError
from stepsize_workers.training.run import Run

AnyRun = Run[Any, Any]

_ALIGNMENT = 16
"""Numbers: each parameter begins at a multiple of 64 bytes, as kernels for matrices like it."""


@dataclass(frozen=True)
class Segment:
    """Where a parameter lies in a row."""

    name: str
    group: int
    """Of the optimiser's parameter groups."""
    index: int
    """In that group."""
    start: int
    end: int
    shape: torch.Size

    def of(self, rows: Tensor) -> Tensor:
        """Return the parameter's part (K, *S) of rows (K, N), as a view."""
        return rows[:, self.start : self.end].view(len(rows), *self.shape)

    def of_row(self, row: Tensor) -> Tensor:
        """Return the parameter's part (*S) of a row (N,), as a view."""
        return row[self.start : self.end].view(self.shape)

    def parameter(self, run: AnyRun) -> Parameter:
        """Return a member's own."""
        found: Parameter = run.optimizer.param_groups[self.group]["params"][self.index]
        return found


class Stack:
    """The rows of some members, in their order. Build another when members come or go."""

    def __init__(self, runs: Sequence[AnyRun]) -> None:
        """Move the members' models into rows.

        Raises:
            NotFusedError: the models are not of one shape and one type of numbers.
        """
        self.runs = list(runs)
        self.segments = _segments(runs[0])
        self.group_ends = [
            max(segment.end for segment in self.segments if segment.group == group)
            for group in sorted({segment.group for segment in self.segments})
        ]
        """Where each of the optimiser's parameter groups ends in a row; the first begins at 0, the next follow."""
        first = self.segments[0].parameter(runs[0])
        shape = (len(runs), self.group_ends[-1])
        with torch.no_grad():
            self.numbers = torch.zeros(shape, dtype=first.dtype, device=first.device)
            """(K, N)"""
            self.gradients = torch.zeros_like(self.numbers)
            """(K, N)"""
            self._move_parameters()
            self.constants = self._move_others()
            """By name (K, *S): what no optimiser changes, such as frozen parameters and buffers."""
        self.leaves = {segment.name: segment.of(self.numbers).detach().requires_grad_() for segment in self.segments}
        """By name (K, *S): views of `numbers` by which gradients are asked for."""
        self._gradient_views = [segment.of(self.gradients) for segment in self.segments]

    def __len__(self) -> int:
        return len(self.runs)

    def collect_gradients(self) -> None:
        """Move the gradients that the backward passes have left at the leaves to `gradients`.

        Raises:
            NotFusedError: a parameter has none; alone it would be left out of updates.
        """
        found = []
        for name, leaf in self.leaves.items():
            if leaf.grad is None:
                raise NotFusedError(f"the loss does not depend on {name}")
            found.append(leaf.grad)
        torch._foreach_copy_(self._gradient_views, found)
        for leaf in self.leaves.values():
            leaf.grad = None

    def _move_parameters(self) -> None:
        for row, gradients, run in zip(self.numbers, self.gradients, self.runs, strict=True):
            for segment in self.segments:
                parameter = segment.parameter(run)
                if parameter.shape != segment.shape or parameter.dtype != self.numbers.dtype:
                    raise NotFusedError(f"{segment.name} is not of one shape and one type of numbers in all members")
                own = segment.of_row(row)
                own.copy_(parameter)
                parameter.data = own
                parameter.grad = segment.of_row(gradients)

    def _move_others(self) -> dict[str, Tensor]:
        """Stack everything else that the models hold, and return it by name."""
        trained = {segment.name for segment in self.segments}
        constants = {}
        for name, tensor in [*self.runs[0].model.named_parameters(), *self.runs[0].model.named_buffers()]:
            if name in trained:
                continue
            if isinstance(tensor, Parameter) and tensor.requires_grad:
                raise NotFusedError(f"no parameter group holds {name}")
            own = [_tensor(run.model, name) for run in self.runs]
            if any(each.shape != tensor.shape for each in own):
                raise NotFusedError(f"{name} is not of one shape in all members")
            constants[name] = stacked = torch.stack(own)
            for row, each in zip(stacked, own, strict=True):
                each.data = row
        return constants


def _segments(run: AnyRun) -> list[Segment]:
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    segments, start = [], 0
    for group, settings in enumerate(run.optimizer.param_groups):
        for index, parameter in enumerate(settings["params"]):
            end = start + parameter.numel()
            segments.append(Segment(names[id(parameter)], group, index, start, end, parameter.shape))
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
    if not segments:
        raise NotFusedError("there is nothing to train")
    return segments


def _tensor(model: nn.Module, name: str) -> Tensor:
    """Return a parameter or a buffer of a model."""
    owner, _, own_name = name.rpartition(".")
    found: Tensor = getattr(model.get_submodule(owner), own_name)
    return found
