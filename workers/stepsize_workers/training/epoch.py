"""An epoch under way: its batches, the rates of its updates, and what their losses tell."""

import math
from typing import Generic, TypeVar

from stepsize_workers.trainers.base import Diverged
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.run import Run

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")


class Epoch(Generic[P, B]):
    """The next epoch of a training; who drives it makes the updates, and notes the loss of each."""

    def __init__(self, run: Run[P, B]) -> None:
        """Draw the epoch's batches; in a training's first one the untrained model is measured."""
        self._run = run
        self.number = run.progress.epoch + 1
        self.groups = run.groups(self.number)
        run.model.train()
        self._watch = run.watch(self.groups)
        self._losses: list[float] = []

    def rate(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0 in this epoch."""
        n_updates = len(self.groups)
        return self._run.rate((self.number - 1) * n_updates + update, updates_per_epoch=n_updates)

    def note(self, loss: float) -> None:
        """Take in the loss of the next update.

        Raises:
            Diverged: the training has exploded.
        """
        learning_rate = self.rate(len(self._losses))
        self._losses.append(loss)
        if self._watch.has_exploded(loss):
            raise self._diverged(loss, learning_rate)

    def complete(self, seconds: float) -> dict[str, float]:
        """Count the epoch as trained, and return its measurements.

        Args:
            seconds: what it took.

        Raises:
            Diverged: the training has exploded by its last updates.
        """
        self._look_behind()
        progress = self._run.progress
        progress.epoch = self.number
        progress.recent_losses = self._watch.recent
        progress.highest_loss = max(progress.highest_loss, self._watch.highest)
        self._run.last_losses = self._losses
        progress.train_time_s += seconds
        return {
            "train_loss": math.fsum(self._losses) / len(self._losses),
            # The rate the epoch began with, as schedules are previewed: exponential reads 0.01, 0.008, 0.0064.
            "learning_rate": self.rate(0),
            "train_time_s": progress.train_time_s,
        }

    def _look_behind(self) -> None:
        """See what the last update has done, where the losses before it give reason to.

        Where an epoch is two or three updates, an explosion would show in the next one only.
        """
        if self._watch.is_alarmed:
            loss = self._run.loss_behind(self.groups, epoch=self.number)
            if self._watch.has_exploded_with(loss):
                raise self._diverged(loss, self.rate(len(self.groups) - 1))

    def _diverged(self, loss: float, learning_rate: float) -> Diverged:
        watch = self._watch
        how = (
            f"rose from {watch.untrained:.4g} before training to {watch.risen_to:.4g}, smoothed,"
            if math.isfinite(loss)
            else f"became {loss}"
        )
        message = f"the training loss {how} in epoch {self.number} at learning rate {learning_rate:g}"
        return Diverged(message, step=self.number, learning_rate=learning_rate)
