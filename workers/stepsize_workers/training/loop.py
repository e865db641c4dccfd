"""The training loop that all tasks share.

A task has a model, a loss and batches, and the loop does the rest: seeds, device, optimiser, schedule, gradient
accumulation and clipping, the watch for explosions, reports, checkpoints with exact resume, the best model as files.
"""

import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction
from stepsize.spec.schedules import ScheduleBase
from stepsize_workers.trainers.base import Diverged, Sweep, Trainer, TrialContext
from stepsize_workers.training.checkpoint import Best, Progress, copy_state, read_checkpoint, write_checkpoint
from stepsize_workers.training.devices import autocast, use_device
from stepsize_workers.training.memory import Extent, check_memory
from stepsize_workers.training.models.artifact import CONFIG_FILE, MODEL_FILE, write_model
from stepsize_workers.training.optimizers import build_optimizer
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.seeding import generator, seed_global_generators
from stepsize_workers.training.sweeping import sweep_learning_rate

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")

LOOP_METRICS = (
    Metric(name="train_loss", direction=Direction.MINIMIZE),
    Metric(name="learning_rate"),
    Metric(name="train_time_s", unit="s"),
)
"""What the loop itself reports each epoch; a task's `metrics` are these and those of its `evaluate`."""

_EXPLOSION_RATIO = 10.0


class Task(Trainer[P], Generic[P, B]):
    """A trainer made of a model, a loss and batches of type `B`.

    An instance serves one trial: keep on `self` what `prepare` loads. Methods are called in the order they stand here.
    The first of `default_objectives` decides which epoch's model is kept.
    """

    step_unit = "epoch"
    max_step_param = "epochs"
    capabilities = Capabilities(range_test=True, resume=True)

    def prepare(self, params: P, *, device: torch.device, data_dir: Path) -> None:
        """Load what the other methods need, and put it on the device."""

    @abstractmethod
    def build(self, params: P, rng: torch.Generator) -> nn.Module:
        """Return a fresh model, on any device.

        Args:
            rng: draws initial weights; torch's global generator is seeded for this trial as well.
        """

    @abstractmethod
    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[B]:
        """Return an epoch's batches; as many in every epoch.

        With the data in memory, indices are the cheapest batches:
        `torch.split(torch.randperm(n, generator=rng), batch_size)`.

        Args:
            epoch: from 1.
            rng: shuffles; seeded anew for every epoch.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: B) -> Tensor:
        """Return the mean loss over a batch, a scalar with a gradient."""

    @abstractmethod
    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Return the metrics of an epoch, such as `val_loss`; the model is in eval mode, gradients are off."""

    def test(self, model: nn.Module) -> Mapping[str, float]:
        """Return metrics named `test_…` of the best epoch's model, on data never used to choose; for its files only."""
        return {}

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to use the saved model, as JSON: it goes into its `config.json`."""
        return {}

    def train_on_validation(self) -> None:
        """Add the validation data to the training data; called after `prepare` in a refit."""
        raise NotImplementedError(f"{self.name} can't be refitted")

    def content_hash(self) -> str | None:
        """Return what identifies the data, to stand on the trial; called after `prepare`."""
        return None

    def extent(self) -> Extent | None:
        """Return how large the training data is; None: batches too large for memory are not foreseen."""
        return None

    def train(self, context: TrialContext[P]) -> None:
        """Train for `params.epochs` epochs or until told to stop."""
        run = self._set_out(context)
        progress = run.progress
        while progress.epoch < context.params.epochs:
            epoch = progress.epoch + 1
            trained = self._train_epoch(run, context, epoch)
            if trained is None:
                return
            values = trained | self._evaluate(run, epoch, trained["learning_rate"])
            progress.epoch = epoch
            self._keep_if_best(run, values)
            should_stop = context.report(epoch, values)
            self._save_checkpoint(run, context)
            if should_stop:
                break
        self._write_best(run, context)

    def refit(self, context: TrialContext[P]) -> None:
        """Train on training and validation data for all epochs, and measure the last model on test data, once."""
        run = self._set_out(context, refit=True)
        progress = run.progress
        epochs = context.params.epochs
        while progress.epoch < epochs:
            values = self._train_epoch(run, context, progress.epoch + 1)
            if values is None:
                return
            progress.epoch += 1
            if progress.epoch == epochs:  # there is no validation data to choose a better epoch by
                values |= self._test(run)
                progress.best = Best(epochs, values, copy_state(run.model))
            should_stop = context.report(progress.epoch, values)
            self._save_checkpoint(run, context)
            if should_stop:
                return
        assert progress.best is not None, "at least one epoch was trained"
        self._write_model(run, context, progress.best)

    def _set_out(self, context: TrialContext[P], *, refit: bool = False) -> "_Run":
        """Prepare everything up to the first update.

        Raises:
            MemoryError: a batch would not fit into memory, as two small ones foretell.
        """
        params = context.params
        device = use_device(context.device)
        self.prepare(params, device=device, data_dir=context.data_dir)
        if refit:
            self.train_on_validation()
        if (content_hash := self.content_hash()) is not None:
            context.note_data(content_hash)
        if (extent := self.extent()) is not None:
            check_memory(type(self), params, extent=extent, device=device, data_dir=context.data_dir)
        return self._start(context, device)

    def make_one_update(self, params: P, device: torch.device) -> None:
        """Make the first update of a training, to see what it takes; `prepare` has been called."""
        run = self._make_run(params, seed=0, device=device)
        run.model.train()
        self._backward(run, self._groups(1, params, 0)[0])
        run.step()

    def _save_checkpoint(self, run: "_Run", context: TrialContext[P]) -> None:
        epoch = run.progress.epoch
        if epoch % context.params.checkpoint_every == 0 or epoch == context.params.epochs:
            context.save_checkpoint(
                epoch, partial(write_checkpoint, model=run.model, optimizer=run.optimizer, progress=run.progress)
            )

    def sweep(self, context: TrialContext[P], sweep: Sweep) -> None:
        """Raise the rate from `sweep.low` to `sweep.high`, with the updates training would make."""
        run = self._set_out(context)
        groups = self._endless_groups(context.params, context.seed)
        sweep_learning_rate(
            run.model,
            run.optimizer,
            sweep,
            backward=lambda: self._backward(run, next(groups)),
            step=run.step,
            report=context.report,
        )

    def _endless_groups(self, params: P, seed: int) -> Iterator[Sequence[B]]:
        """Yield the groups of one epoch after another, as training would meet them."""
        for epoch in count(1):
            seed_global_generators(seed, "epoch", epoch)
            yield from self._groups(epoch, params, seed)

    def _groups(self, epoch: int, params: P, seed: int) -> list[Sequence[B]]:
        """Return an epoch's batches in groups that each make one update."""
        batches = self.batches(epoch, generator(seed, "order", epoch))
        size = params.grad_accumulation
        return [batches[first : first + size] for first in range(0, len(batches), size)]

    def _start(self, context: TrialContext[P], device: torch.device) -> "_Run":
        run = self._make_run(context.params, context.seed, device)
        if context.checkpoint is not None:
            run.progress = read_checkpoint(context.checkpoint.path, model=run.model, optimizer=run.optimizer)
        return run

    def _make_run(self, params: P, seed: int, device: torch.device) -> "_Run":
        seed_global_generators(seed, "build")
        model = self.build(params, generator(seed, "build")).to(device)
        optimizer = build_optimizer(
            params.chosen_optimizer(),
            parameters=model.parameters(),
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
        )
        precision = autocast(device, enabled=params.mixed_precision)
        return _Run(params, model, optimizer, params.chosen_schedule(), precision, Progress())

    def _train_epoch(self, run: "_Run", context: TrialContext[P], epoch: int) -> dict[str, float] | None:
        """Make an epoch's updates and return its measurements, or None if asked to stop."""
        started = time.perf_counter()
        seed_global_generators(context.seed, "epoch", epoch)
        groups = self._groups(epoch, context.params, context.seed)
        run.model.train()
        losses: list[float] = []
        for index, group in enumerate(groups):
            if context.should_stop():
                return None
            learning_rate = run.set_rate((epoch - 1) * len(groups) + index, updates_per_epoch=len(groups))
            losses.append(self._backward(run, group))
            run.check_loss(losses[-1], epoch, learning_rate)
            run.step()
        run.progress.train_time_s += time.perf_counter() - started
        return {
            "train_loss": math.fsum(losses) / len(losses),
            # The rate the epoch began with, as schedules are previewed: exponential reads 0.01, 0.008, 0.0064.
            "learning_rate": run.rate((epoch - 1) * len(groups), updates_per_epoch=len(groups)),
            "train_time_s": run.progress.train_time_s,
        }

    def _backward(self, run: "_Run", group: Sequence[B]) -> float:
        """Compute the mean gradient of a group of batches, and return its mean loss."""
        run.optimizer.zero_grad()
        total: Tensor | None = None
        for batch in group:
            with run.precision:
                loss = self.loss(run.model, batch) / len(group)
            loss.backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "a group has at least one batch"
        return total.item()  # the only wait for the device

    def _evaluate(self, run: "_Run", epoch: int, learning_rate: float) -> dict[str, float]:
        run.model.eval()
        with torch.inference_mode():
            values = dict(self.evaluate(run.model))
        for name, value in values.items():
            if not math.isfinite(value):  # the epoch's last update may have been one too many
                raise Diverged(f"{name} became {value} in epoch {epoch}", step=epoch, learning_rate=learning_rate)
        return values

    def _keep_if_best(self, run: "_Run", values: dict[str, float]) -> None:
        objective, best = self.default_objectives[0], run.progress.best
        metric = objective.metric
        if best is None or objective.direction.is_better(values[metric], best.values[metric]):
            run.progress.best = Best(run.progress.epoch, values, copy_state(run.model))

    def _test(self, run: "_Run") -> dict[str, float]:
        run.model.eval()
        with torch.inference_mode():
            return {_test_name(name): value for name, value in self.test(run.model).items()}

    def _write_best(self, run: "_Run", context: TrialContext[P]) -> None:
        best = run.progress.best
        assert best is not None, "at least one epoch was trained"
        run.model.load_state_dict(best.state)
        self._write_model(run, context, replace(best, values={**best.values, **self._test(run)}))

    def _write_model(self, run: "_Run", context: TrialContext[P], best: Best) -> None:
        config = {
            "trainer": {"name": self.name, "version": self.version},
            "params": context.params.model_dump(mode="json"),
            "seed": context.seed,
            **self.describe(run.model),
            "epoch": best.epoch,
            "metrics": best.values,
        }
        write_model(context.artifact(MODEL_FILE), context.artifact(CONFIG_FILE), state=best.state, config=config)


@dataclass
class _Run:
    """One training under way."""

    params: TrainingParams
    model: nn.Module
    optimizer: Optimizer
    schedule: ScheduleBase
    precision: AbstractContextManager[object]
    progress: Progress

    def rate(self, update: int, *, updates_per_epoch: int) -> float:
        """Return the learning rate of an update, counted from 0 over the whole training."""
        n_updates = self.params.epochs * updates_per_epoch
        return self.params.learning_rate * self.schedule.factor(update, n_updates, updates_per_epoch)

    def set_rate(self, update: int, *, updates_per_epoch: int) -> float:
        """Give the optimiser the learning rate of an update, and return it."""
        learning_rate = self.rate(update, updates_per_epoch=updates_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        return learning_rate

    def step(self) -> None:
        """Update the model with the gradient there is."""
        if self.params.clip_norm:
            clip_grad_norm_(self.model.parameters(), self.params.clip_norm)
        self.optimizer.step()

    def check_loss(self, loss: float, epoch: int, learning_rate: float) -> None:
        """Raise `Diverged` if the loss is not finite, or has grown beyond ten times the initial one.

        A far too high rate often ends not in NaN but in a leap of the loss that never comes down again.
        """
        initial = self.progress.initial_loss
        if initial is None and math.isfinite(loss):
            self.progress.initial_loss = initial = loss
        # Written so that an initial loss of 0 or below has room above it as well.
        if (
            initial is None
            or not math.isfinite(loss)
            or loss - initial > (_EXPLOSION_RATIO - 1) * (abs(initial) or 1.0)
        ):
            raise Diverged(
                f"the training loss went from {initial} to {loss} in epoch {epoch} at learning rate {learning_rate:g}",
                step=epoch,
                learning_rate=learning_rate,
            )


def _test_name(name: str) -> str:
    if not name.startswith("test_"):
        raise ValueError(f"test() returned {name!r}; names of test metrics begin with test_")
    return name
