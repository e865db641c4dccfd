"""The training loop that all tasks share.

A task has a model, a loss and batches, and the loop does the rest: seeds, device, optimiser, schedule, gradient
accumulation and clipping, the watch for explosions, reports, checkpoints with exact resume, the best model as files.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Generic, TypeVar

import torch

from stepsize_workers.trainers.base import TRAINING_UPDATES, Diverged, Sweep, TrialContext
from stepsize_workers.training.checkpoint import Best, copy_state, read_checkpoint, write_checkpoint
from stepsize_workers.training.devices import use_device
from stepsize_workers.training.epoch import Epoch
from stepsize_workers.training.memory import check_memory
from stepsize_workers.training.models.artifact import CONFIG_FILE, MODEL_FILE, write_model
from stepsize_workers.training.nothing_learned import remark_on
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.run import Run, as_numbers
from stepsize_workers.training.sweeping import sweep_learning_rate
from stepsize_workers.training.task import Task
from stepsize_workers.training.untrained import BesideUntrained

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")


class Loop(Generic[P, B]):
    """Drives a task through one trial, and says in its context how it goes."""

    def __init__(self, task: Task[P, B], context: TrialContext[P]) -> None:
        self._task = task
        self._context = context
        self._params = context.params

    def train(self) -> None:
        """Train for `params.epochs` epochs or until told to stop, and write the best epoch's model."""
        self.prepare()
        run = self.begin()
        while run.progress.epoch < self._params.epochs:
            trained = self._train_epoch(run)
            if trained is None:
                return
            should_stop = self._context.report(run.progress.epoch, self.measure(run, trained))
            self.save_checkpoint(run)
            if should_stop:
                break
        self.complete(run)

    def measure(self, run: Run[P, B], trained: Mapping[str, float]) -> dict[str, float]:
        """Return what an epoch is reported with, and keep its model if it is the best so far.

        Raises:
            Diverged: a metric is not finite; the epoch's last update may have been one too many.
        """
        with run.weights_to_use():
            values = {**trained, **self._evaluate(run, trained["learning_rate"])}
            self._keep_if_best(run, values)
        if run.progress.epoch == self._params.epochs:
            run.progress.remark = self._remark(run, values)
        return values

    def complete(self, run: Run[P, B]) -> None:
        """Write the best epoch's model, and what it does."""
        best = run.progress.best
        assert best is not None, "at least one epoch was trained"
        run.model.load_state_dict(best.state)
        self._write_model(run, replace(best, values={**best.values, **run.test()}))
        if run.progress.remark is not None:
            self._context.remark(run.progress.remark)
        for name, picture in run.figures().items():
            self._context.figure(name, picture)

    def refit(self) -> None:
        """Train on training and validation data for all epochs, and measure the last model on test data, once."""
        self.prepare(refit=True)
        run = self.begin()
        progress = run.progress
        epochs = self._params.epochs
        while progress.epoch < epochs:
            values = self._train_epoch(run)
            if values is None:
                return
            if progress.epoch == epochs:  # there is no validation data to choose a better epoch by
                with run.weights_to_use():
                    values |= run.test()
                    progress.best = Best(epochs, values, copy_state(run.model))
            should_stop = self._context.report(progress.epoch, values)
            self.save_checkpoint(run)
            if should_stop:
                return
        assert progress.best is not None, "at least one epoch was trained"
        self._write_model(run, progress.best)

    def sweep(self, sweep: Sweep) -> None:
        """Raise the rate from `sweep.low` to `sweep.high`, with the updates training would make."""
        self.prepare()
        run = self.begin()
        groups = run.endless_groups()
        length = {TRAINING_UPDATES: float(self._params.epochs * len(run.groups(1)))}
        first = next(groups)
        beside = BesideUntrained(run, chain([first], groups))
        sweep_learning_rate(
            run.model,
            run.optimizer,
            sweep,
            backward=beside.backward,
            step=run.step,
            report=lambda step, values: self._context.report(step, {**values, **length}),
            untrained=lambda: beside.loss,
            base_rate=self._params.learning_rate,
            batch_size=run.samples_of(first),
        )

    def prepare(self, *, refit: bool = False) -> None:
        """Load what the task needs.

        Args:
            refit: train on validation data too.

        Raises:
            MemoryError: a batch would not fit into memory, as two small ones foretell.
        """
        device = use_device(self._context.device)
        self._task.prepare(self._params, device=device, data_dir=self._context.data_dir)
        if refit:
            self._task.train_on_validation()
        self.check_memory()

    def check_memory(self, *, n_members: int = 1) -> None:
        """Return if a batch of each of so many members fits into memory, as far as can be told; the task is prepared.

        Raises:
            OutOfMemoryForeseenError: they would not fit.
        """
        if (extent := self._task.extent()) is not None:
            device, data_dir = torch.device(self._context.device), self._context.data_dir
            check_memory(
                type(self._task), self._params, extent=extent, device=device, data_dir=data_dir, n_members=n_members
            )

    def begin(self) -> Run[P, B]:
        """Return the training as it is before its next update; the task is prepared, by this loop or by another."""
        context = self._context
        if (content_hash := self._task.content_hash()) is not None:
            context.note_data(content_hash)
        run = Run.begin(self._task, self._params, seed=context.seed, device=torch.device(context.device))
        if context.checkpoint is not None:
            run.progress = read_checkpoint(context.checkpoint.path, model=run.model, optimizer=run.optimizer)
            self._task.restore(run.progress.collected)
        return run

    def _train_epoch(self, run: Run[P, B]) -> dict[str, float] | None:
        """Make an epoch's updates and return its measurements, or None if asked to stop."""
        started = time.perf_counter()
        epoch = Epoch(run)
        for update, group in enumerate(epoch.groups):
            if self._context.should_stop():
                return None
            run.rates.set(epoch.rate(update))
            epoch.note(run.backward(group))
            run.step()
        return epoch.complete(time.perf_counter() - started)

    def _evaluate(self, run: Run[P, B], learning_rate: float) -> dict[str, float]:
        values, epoch = run.evaluate(), run.progress.epoch
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} became {value} in epoch {epoch}", step=epoch, learning_rate=learning_rate)
        return values

    def _remark(self, run: Run[P, B], values: Mapping[str, float]) -> str | None:
        """Return what is to be said of the training as a whole; its last epoch's values are known."""
        task = self._task
        constant = as_numbers(task.constant_answer())
        return remark_on(values, constant, task.metrics, run.course(), called=task.constant_answer_called)

    def _keep_if_best(self, run: Run[P, B], values: dict[str, float]) -> None:
        objective, best = self._task.default_objectives[0], run.progress.best
        metric = objective.metric
        if best is None or objective.direction.is_better(values[metric], best.values[metric]):
            run.progress.best = Best(run.progress.epoch, values, copy_state(run.model))

    def save_checkpoint(self, run: Run[P, B]) -> None:
        """Keep where the training stands, if it is time to."""
        epoch = run.progress.epoch
        if epoch % self._params.checkpoint_every == 0 or epoch == self._params.epochs:
            run.progress.collected = self._task.state()
            write = partial(write_checkpoint, model=run.model, optimizer=run.optimizer, progress=run.progress)
            self._context.save_checkpoint(epoch, write)

    def _write_model(self, run: Run[P, B], best: Best) -> None:
        config = {
            "trainer": {"name": self._task.name, "version": self._task.version},
            "params": self._params.model_dump(mode="json"),
            "seed": self._context.seed,
            **self._task.describe(run.model),
            "epoch": best.epoch,
            "metrics": best.values,
        }
        model_path, config_path = self._context.artifact(MODEL_FILE), self._context.artifact(CONFIG_FILE)
        write_model(model_path, config_path, state=best.state, config=config)


def make_one_update(task: Task[P, B], params: P, device: torch.device) -> None:
    """Make the first update of a training, to see what it takes; `prepare` has been called."""
    run = Run.begin(task, params, seed=0, device=device)
    run.model.train()
    run.backward(run.groups(1)[0])
    run.step()
