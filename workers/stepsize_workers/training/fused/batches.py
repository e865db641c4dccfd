"""The members' batches as one. Shapes: K members, B batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from stepsize_workers.trainers.base import NotFusedError


@dataclass(frozen=True)
class JointBatch:
    """What all members' losses are computed of."""

    content: Any
    """As a member's batch, but tensors that differ are (K, B, …)."""
    in_dims: Any
    """Of the same form: 0 for a tensor that differs, None for what all share."""

    @classmethod
    def of(cls, batches: Sequence[object]) -> "JointBatch":
        """Join the members' batches.

        Raises:
            NotFusedError: they are not of one form.
        """
        if len({id(batch) for batch in batches}) == 1:
            return cls(batches[0], None)
        if all(isinstance(batch, Tensor) for batch in batches):
            return cls(*_join(batches))
        leaves, form = zip(*(tree_flatten(batch) for batch in batches), strict=True)
        if any(other != form[0] for other in form[1:]):
            raise NotFusedError("the members' batches are not of one form")
        joined = [_join(same) for same in zip(*leaves, strict=True)]
        contents, dims = zip(*joined, strict=True)
        return cls(tree_unflatten(contents, form[0]), tree_unflatten(dims, form[0]))


def _join(parts: Sequence[object]) -> tuple[object, int | None]:
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts):
        if any(tensor.shape != tensors[0].shape for tensor in tensors):
            raise NotFusedError("the members' batches are not of one size")
        return torch.stack(tensors), 0
    if any(part != parts[0] for part in parts):
        raise NotFusedError("the members' batches differ in more than tensors")
    return parts[0], None
