"""The training loop that all tasks share.

A task has a model, a loss and batches, and the loop does the rest: seeds, device, optimiser, schedule, gradient
accumulation and clipping, the watch for explosions, reports, checkpoints with exact resume, the best model as files.
"""

import math
import time
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Generic, TypeVar

import torch

from stepsize_workers.trainers.base import TRAINING_UPDATES, Diverged, Sweep, TrialContext
from stepsize_workers.trainers.divergence import ExplosionWatch
from stepsize_workers.training.checkpoint import Best, copy_state, read_checkpoint, write_checkpoint
from stepsize_workers.training.devices import use_device
from stepsize_workers.training.memory import check_memory
from stepsize_workers.training.models.artifact import CONFIG_FILE, MODEL_FILE, write_model
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.run import Run
from stepsize_workers.training.sweeping import sweep_learning_rate
from stepsize_workers.training.task import Task

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
        run = self._set_out()
        progress = run.progress
        while progress.epoch < self._params.epochs:
            epoch = progress.epoch + 1
            trained = self._train_epoch(run, epoch)
            if trained is None:
                return
            progress.epoch = epoch
            with run.weights_to_use():
                values = trained | self._evaluate(run, epoch, trained["learning_rate"])
                self._keep_if_best(run, values)
            should_stop = self._context.report(epoch, values)
            self._save_checkpoint(run)
            if should_stop:
                break
        best = progress.best
        assert best is not None, "at least one epoch was trained"
        run.model.load_state_dict(best.state)
        self._write_model(run, replace(best, values={**best.values, **run.test()}))
        for name, picture in run.figures().items():
            self._context.figure(name, picture)

    def refit(self) -> None:
        """Train on training and validation data for all epochs, and measure the last model on test data, once."""
        run = self._set_out(refit=True)
        progress = run.progress
        epochs = self._params.epochs
        while progress.epoch < epochs:
            values = self._train_epoch(run, progress.epoch + 1)
            if values is None:
                return
            progress.epoch += 1
            if progress.epoch == epochs:  # there is no validation data to choose a better epoch by
                with run.weights_to_use():
                    values |= run.test()
                    progress.best = Best(epochs, values, copy_state(run.model))
            should_stop = self._context.report(progress.epoch, values)
            self._save_checkpoint(run)
            if should_stop:
                return
        assert progress.best is not None, "at least one epoch was trained"
        self._write_model(run, progress.best)

    def sweep(self, sweep: Sweep) -> None:
        """Raise the rate from `sweep.low` to `sweep.high`, with the updates training would make."""
        run = self._set_out()
        groups = run.endless_groups()
        length = {TRAINING_UPDATES: float(self._params.epochs * len(run.groups(1)))}
        first = next(groups)
        updates = chain([first], groups)
        sweep_learning_rate(
            run.model,
            run.optimizer,
            sweep,
            backward=lambda: run.backward(next(updates)),
            step=run.step,
            report=lambda step, values: self._context.report(step, {**values, **length}),
            base_rate=self._params.learning_rate,
            batch_size=run.samples_of(first),
        )

    def _set_out(self, *, refit: bool = False) -> Run[P, B]:
        """Prepare everything up to the next update.

        Raises:
            MemoryError: a batch would not fit into memory, as two small ones foretell.
        """
        task, context, params = self._task, self._context, self._params
        device = use_device(context.device)
        task.prepare(params, device=device, data_dir=context.data_dir)
        if refit:
            task.train_on_validation()
        if (content_hash := task.content_hash()) is not None:
            context.note_data(content_hash)
        if (extent := task.extent()) is not None:
            check_memory(type(task), params, extent=extent, device=device, data_dir=context.data_dir)
        run = Run.begin(task, params, seed=context.seed, device=device)
        if context.checkpoint is not None:
            run.progress = read_checkpoint(context.checkpoint.path, model=run.model, optimizer=run.optimizer)
            task.restore(run.progress.collected)
        return run

    def _train_epoch(self, run: Run[P, B], epoch: int) -> dict[str, float] | None:
        """Make an epoch's updates and return its measurements, or None if asked to stop."""
        started = time.perf_counter()
        groups = run.groups(epoch)
        first = (epoch - 1) * len(groups)
        run.model.train()
        watch = run.watch(groups)
        losses: list[float] = []
        for update, group in enumerate(groups, start=first):
            if self._context.should_stop():
                return None
            learning_rate = run.set_rate(update, updates_per_epoch=len(groups))
            losses.append(run.backward(group))
            if watch.has_exploded(losses[-1]):
                raise _diverged(watch, losses[-1], epoch, learning_rate)
            run.step()
        run.progress.recent_losses = watch.recent
        run.progress.train_time_s += time.perf_counter() - started
        return {
            "train_loss": math.fsum(losses) / len(losses),
            # The rate the epoch began with, as schedules are previewed: exponential reads 0.01, 0.008, 0.0064.
            "learning_rate": run.rate(first, updates_per_epoch=len(groups)),
            "train_time_s": run.progress.train_time_s,
        }

    def _evaluate(self, run: Run[P, B], epoch: int, learning_rate: float) -> dict[str, float]:
        values = run.evaluate()
        for name, value in values.items():
            if not math.isfinite(value):  # the epoch's last update may have been one too many
                raise Diverged(f"{name} became {value} in epoch {epoch}", step=epoch, learning_rate=learning_rate)
        return values

    def _keep_if_best(self, run: Run[P, B], values: dict[str, float]) -> None:
        objective, best = self._task.default_objectives[0], run.progress.best
        metric = objective.metric
        if best is None or objective.direction.is_better(values[metric], best.values[metric]):
            run.progress.best = Best(run.progress.epoch, values, copy_state(run.model))

    def _save_checkpoint(self, run: Run[P, B]) -> None:
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


def _diverged(watch: ExplosionWatch, loss: float, epoch: int, learning_rate: float) -> Diverged:
    how = (
        f"rose from {watch.untrained:.4g} before training to {watch.smoothed:.4g}, smoothed,"
        if math.isfinite(loss)
        else f"became {loss}"
    )
    message = f"the training loss {how} in epoch {epoch} at learning rate {learning_rate:g}"
    return Diverged(message, step=epoch, learning_rate=learning_rate)
