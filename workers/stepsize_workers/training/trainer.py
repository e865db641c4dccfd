"""A task as a trainer: what to derive from."""

from typing import Generic, TypeVar

from stepsize_workers.trainers.base import GroupContext, Sweep, TrialContext
from stepsize_workers.training.fused.loop import GroupLoop
from stepsize_workers.training.loop import Loop
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.task import Task

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")


class TaskTrainer(Task[P, B], Generic[P, B]):
    """A task whose trials the shared loop trains, alone or in groups, sweeps and refits."""

    def train(self, context: TrialContext[P]) -> None:
        """Train for `params.epochs` epochs or until told to stop."""
        Loop(self, context).train()

    def train_group(self, group: GroupContext[P]) -> None:
        """Train the members of a group as one, each to what it would be alone."""
        GroupLoop(self, group).train()

    @classmethod
    def why_not_fused(cls, params: P) -> str | None:
        """Return why trials with such parameters can't train as one; None: they can, as far as can be told."""
        if cls.collect is not Task.collect:
            return "each trial collects data of its own"
        return super().why_not_fused(params) or params.why_not_fused()

    def sweep(self, context: TrialContext[P], sweep: Sweep) -> None:
        """Raise the rate from `sweep.low` to `sweep.high`, with the updates training would make."""
        Loop(self, context).sweep(sweep)

    def refit(self, context: TrialContext[P]) -> None:
        """Train on training and validation data for all epochs, and measure the last model on test data, once."""
        Loop(self, context).refit()
