"""One training under way: a model, its optimiser, and the updates between them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from stepsize.domain.said import as_number
from stepsize.spec.schedules import ScheduleBase
from stepsize_workers.trainers.divergence import ROBUST_START, ExplosionWatch
from stepsize_workers.training.checkpoint import Progress
from stepsize_workers.training.devices import autocast
from stepsize_workers.training.nothing_learned import LossCourse
from stepsize_workers.training.optimizers import GroupRates, build_optimizer, weights_to_use
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.seeding import generator, preserved_generators, seed_global_generators
from stepsize_workers.training.task import Metrics, Task

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")

_MUCH_SMALLER = 0.5
"""A last update with less than this share of the others' samples is left out of a sweep, where every loss counts."""


@dataclass
class Run(Generic[P, B]):
    """What the loop holds of a training; `begin` makes one."""

    task: Task[P, B]
    params: P
    seed: int
    model: nn.Module
    optimizer: Optimizer
    rates: GroupRates
    schedule: ScheduleBase
    precision: AbstractContextManager[object]
    progress: Progress
    last_losses: Sequence[float] = ()
    """Of the last epoch's updates, once one was trained here."""

    @classmethod
    def begin(cls, task: Task[P, B], params: P, *, seed: int, device: torch.device) -> "Run[P, B]":
        """Return a training before its first update; `task.prepare` has been called."""
        seed_global_generators(seed, "build")
        model = task.build(params, generator(seed, "build")).to(device)
        optimizer = build_optimizer(
            params.chosen_optimizer(),
            groups=task.parameter_groups(model),
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
            tables=embeddings_of(model),
        )
        return cls(
            task=task,
            params=params,
            seed=seed,
            model=model,
            optimizer=optimizer,
            rates=GroupRates(optimizer, params.learning_rate),
            schedule=params.chosen_schedule(),
            precision=autocast(device, enabled=params.mixed_precision),
            progress=Progress(),
        )

    def groups(self, epoch: int) -> list[Sequence[B]]:
        """Return an epoch's batches in groups that each make one update; what the epoch draws is seeded first.

        What the task collects for the epoch, it collects here.

        A last batch of one sample is left out, another sample each epoch: it would be an update like all others, made
        of noise, and normalisation over a batch can't do with one.
        """
        is_training = self.model.training
        self.model.eval()
        with torch.no_grad():  # not inference mode, whose tensors can't be trained on
            self.task.collect(self.model, epoch, generator(self.seed, "collect", epoch))
        self.model.train(is_training)
        seed_global_generators(self.seed, "epoch", epoch)
        batches = self.task.batches(epoch, generator(self.seed, "order", epoch))
        if self.samples_of(batches[-1:]) == 1 < self.samples_of(batches[:1]):
            batches = batches[:-1]
        size = self.params.grad_accumulation
        return [batches[first : first + size] for first in range(0, len(batches), size)]

    def samples_of(self, group: Sequence[B]) -> int:
        """Return how many samples a group of batches holds."""
        return sum(self.task.n_samples(batch) or self.params.batch_size for batch in group)

    def endless_groups(self) -> Iterator[Sequence[B]]:
        """Yield the groups of one epoch after another, as training would meet them, but for last ones much smaller."""
        for epoch in count(1):
            groups = self.groups(epoch)
            if self.samples_of(groups[-1]) < _MUCH_SMALLER * self.samples_of(groups[0]):
                groups.pop()
            yield from groups

    def rate(self, update: int, *, updates_per_epoch: int) -> float:
        """Return the learning rate of an update, counted from 0 over the whole training."""
        n_updates = self.params.epochs * updates_per_epoch
        return self.params.learning_rate * self.schedule.factor(update, n_updates, updates_per_epoch)

    def backward(self, group: Sequence[B]) -> float:
        """Compute the mean gradient of a group of batches, and return its mean loss."""
        self.optimizer.zero_grad()
        total: Tensor | None = None
        for batch in group:
            with self.precision:
                loss = self.task.loss(self.model, batch) / len(group)
            loss.backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "a group has at least one batch"
        return total.item()  # the only wait for the device

    def step(self) -> None:
        """Update the model with the gradient there is."""
        if self.params.clip_norm:
            clip_grad_norm_(self.model.parameters(), self.params.clip_norm)
        self.optimizer.step()

    def watch(self, groups: Sequence[Sequence[B]]) -> ExplosionWatch:
        """Return the watch over the losses of an epoch's groups.

        The first time it is seen where the untrained model stands: some forward passes, a third of an update or so.
        """
        progress, batch_size = self.progress, self.samples_of(groups[0])
        if progress.untrained_loss is None:
            progress.untrained_loss = self._robust_loss(groups)
        return ExplosionWatch(
            progress.untrained_loss,
            batch_size=batch_size,
            most_updates=len(groups),
            recent=progress.recent_losses,
        )

    def loss_behind(self, groups: Sequence[Sequence[B]], *, epoch: int) -> float:
        """Return the mean loss as it is after an epoch's updates; the model is in training mode."""
        with preserved_generators():
            seed_global_generators(self.seed, "behind", epoch)  # in a group others have drawn as well
            return self._robust_loss(groups)

    def _robust_loss(self, groups: Sequence[Sequence[B]]) -> float:
        """Return the mean loss over as few groups as are certain; neither the model nor any generator is changed."""
        groups = groups[: math.ceil(ROBUST_START / self.samples_of(groups[0]))]
        buffers = {buffer: buffer.clone() for buffer in self.model.buffers()}
        with preserved_generators(), torch.no_grad(), self.precision:
            losses = [self.task.loss(self.model, batch) for group in groups for batch in group]
            for buffer, value in buffers.items():  # such as BatchNorm's statistics
                buffer.copy_(value)
        return torch.stack(losses).mean().item()

    def course(self) -> LossCourse:
        """Return how the loss went; an epoch was trained."""
        progress = self.progress
        assert progress.untrained_loss is not None, "it is measured before the first update"
        return LossCourse(progress.untrained_loss, progress.highest_loss, self.last_losses)

    def weights_to_use(self) -> AbstractContextManager[None]:
        """Have in its body the weights that the model is used with, for optimisers that train with others."""
        return weights_to_use(self.optimizer)

    def evaluate(self) -> dict[str, float]:
        """Return the task's metrics as numbers; the model is left in eval mode."""
        self.model.eval()
        with torch.inference_mode():
            return as_numbers(self.task.evaluate(self.model))

    def figures(self) -> Mapping[str, str | bytes]:
        """Return the task's pictures."""
        self.model.eval()
        with torch.inference_mode():
            return self.task.figures(self.model)

    def test(self) -> dict[str, float]:
        """Return the task's test metrics as numbers.

        Raises:
            ValueError: one has another name than `test_…`.
        """
        self.model.eval()
        with torch.inference_mode():
            values = as_numbers(self.task.test(self.model))
        for name in values:
            if not name.startswith("test_"):
                raise ValueError(f"test() returned {name!r}; names of test metrics begin with test_")
        return values


def embeddings_of(model: nn.Module) -> list[nn.Parameter]:
    """Return the tables of which a model looks up rows."""
    found = (module.weight for module in model.modules() if isinstance(module, nn.Embedding))
    return [table for table in found if isinstance(table, nn.Parameter)]


def as_numbers(metrics: Metrics) -> dict[str, float]:
    """Return metrics as Python's numbers."""
    return {name: as_number(name, value) for name, value in metrics.items()}
