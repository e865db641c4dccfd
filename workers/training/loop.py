"""The training loop that all tasks share.

A task has a model, a loss and batches, and the loop does the rest: seeds, device, optimiser, schedule, gradient
accumulation and clipping, the watch for explosions, reports, checkpoints with exact resume, the best model as files.
"""

import math
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from service.domain.trainer import Capabilities, Metric
from service.spec.objective import Direction
from service.spec.schedules import ScheduleBase
from workers.trainers.base import Diverged, Trainer, TrialContext
from workers.training.checkpoint import Best, Progress, copy_state, read_checkpoint, write_checkpoint
from workers.training.devices import autocast, use_device
from workers.training.models.artifact import CONFIG_FILE, MODEL_FILE, write_model
from workers.training.optimizers import build_optimizer
from workers.training.params import TrainingParams
from workers.training.seeding import generator, seed_global_generators

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
    capabilities = Capabilities(resume=True)

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

    def describe(self) -> Mapping[str, object]:
        """Return what is needed to use the saved model, as JSON: it goes into its `config.json`."""
        return {}

    def train(self, context: TrialContext[P]) -> None:
        """Train for `params.epochs` epochs or until told to stop."""
        params = context.params
        device = use_device(context.device)
        self.prepare(params, device=device, data_dir=context.data_dir)
        run = self._start(context, device)
        progress = run.progress
        while progress.epoch < params.epochs:
            epoch = progress.epoch + 1
            trained = self._train_epoch(run, context, epoch)
            if trained is None:
                return
            values = trained | self._evaluate(run, epoch, trained["learning_rate"])
            progress.epoch = epoch
            self._keep_if_best(run, values)
            should_stop = context.report(epoch, values)
            context.save_checkpoint(
                epoch, partial(write_checkpoint, model=run.model, optimizer=run.optimizer, progress=progress)
            )
            if should_stop:
                break
        self._write_best(run, context)

    def _start(self, context: TrialContext[P], device: torch.device) -> "_Run":
        params = context.params
        seed_global_generators(context.seed, "build")
        model = self.build(params, generator(context.seed, "build")).to(device)
        optimizer = build_optimizer(
            params.chosen_optimizer(),
            parameters=model.parameters(),
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
        )
        progress = Progress()
        if context.checkpoint is not None:
            progress = read_checkpoint(context.checkpoint.path, model=model, optimizer=optimizer)
        precision = autocast(device, enabled=params.mixed_precision)
        return _Run(params, model, optimizer, params.chosen_schedule(), precision, progress)

    def _train_epoch(self, run: "_Run", context: TrialContext[P], epoch: int) -> dict[str, float] | None:
        """Make an epoch's updates and return its measurements, or None if asked to stop."""
        started = time.perf_counter()
        seed_global_generators(context.seed, "epoch", epoch)
        batches = self.batches(epoch, generator(context.seed, "order", epoch))
        size = run.params.grad_accumulation
        groups = [batches[first : first + size] for first in range(0, len(batches), size)]
        run.model.train()
        losses: list[float] = []
        for index, group in enumerate(groups):
            if context.should_stop():
                return None
            learning_rate = run.set_rate((epoch - 1) * len(groups) + index, updates_per_epoch=len(groups))
            losses.append(self._update(run, group, epoch, learning_rate))
        run.progress.train_time_s += time.perf_counter() - started
        return {
            "train_loss": math.fsum(losses) / len(losses),
            # The rate the epoch began with, as schedules are previewed: exponential reads 0.01, 0.008, 0.0064.
            "learning_rate": run.rate((epoch - 1) * len(groups), updates_per_epoch=len(groups)),
            "train_time_s": run.progress.train_time_s,
        }

    def _update(self, run: "_Run", group: Sequence[B], epoch: int, learning_rate: float) -> float:
        """Make one update with the mean gradient of a group of batches, and return its loss."""
        run.optimizer.zero_grad()
        total: Tensor | None = None
        for batch in group:
            with run.precision:
                loss = self.loss(run.model, batch) / len(group)
            loss.backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "a group has at least one batch"
        value = total.item()  # the only wait for the device
        run.check_loss(value, epoch, learning_rate)
        if run.params.clip_norm:
            clip_grad_norm_(run.model.parameters(), run.params.clip_norm)
        run.optimizer.step()
        return value

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

    def _write_best(self, run: "_Run", context: TrialContext[P]) -> None:
        best = run.progress.best
        assert best is not None, "at least one epoch was trained"
        run.model.load_state_dict(best.state)
        run.model.eval()
        with torch.inference_mode():
            test = {_test_name(name): value for name, value in self.test(run.model).items()}
        config = {
            "trainer": {"name": self.name, "version": self.version},
            **self.describe(),
            "epoch": best.epoch,
            "metrics": {**best.values, **test},
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
