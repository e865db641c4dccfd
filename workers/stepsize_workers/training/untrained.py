"""What the untrained model loses on the batches of a sweep, so that easy batches are told from learning."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Generic, TypeVar

import torch

from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.run import Run
from stepsize_workers.training.seeding import preserved_generators

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")


class BesideUntrained(Generic[P, B]):
    """A run of which every batch is seen by the untrained model too: a forward pass more an update."""

    def __init__(self, run: Run[P, B], groups: Iterator[Sequence[B]]) -> None:
        """Begin with the run's model as the untrained one, and the batches that the run will see."""
        self._run = run
        self._groups = groups
        self._untrained = {
            tensor: tensor.detach().clone() for tensor in chain(run.model.parameters(), run.model.buffers())
        }
        self.loss = math.nan
        """The untrained model's, on the batches that `backward` used last."""

    def backward(self) -> float:
        """Compute the gradient on the next batches, and return their mean loss."""
        group = next(self._groups)
        with self._model_untrained(), preserved_generators(), torch.no_grad(), self._run.precision:
            losses = [self._run.task.loss(self._run.model, batch) for batch in group]
        self.loss = torch.stack(losses).mean().item()
        return self._run.backward(group)  # which draws the same dropout

    @contextmanager
    def _model_untrained(self) -> Iterator[None]:
        trained = {tensor: tensor.data for tensor in self._untrained}
        for tensor, value in self._untrained.items():
            tensor.data = value
        try:
            yield
        finally:
            for tensor, value in trained.items():
                tensor.data = value
