"""A task as a trainer: what to derive from."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from stepsize.domain.trainer import TrainerCard
from stepsize_workers.trainers.base import GroupContext, Sweep, TrialContext
from stepsize_workers.training.devices import tiny_as_zero
from stepsize_workers.training.fused.loop import GroupLoop
from stepsize_workers.training.fused.measuring import measure_together
from stepsize_workers.training.loop import Loop
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.task import Task

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")


class TaskTrainer(Task[P, B], Generic[P, B]):
    """A model, a loss and batches: what you write; the shared loop trains, sweeps and refits the trials.

    You must write, beside the attributes that every trainer has (`name`, `version`, `help`, `Params`, `metrics`,
    `default_search_space`, `default_objectives`):
        build(params, rng)              a fresh model
        batches(epoch, rng)             an epoch's batches, shuffled
        loss(model, batch)              the mean loss over a batch
        evaluate(model)                 an epoch's metrics, such as val_loss

    You may write:
        prepare(params, device=…, data_dir=…)   load the data; called before the others
        parameter_groups(model)         what trains with which multiple of the learning rate
        n_samples(batch), extent()      how large a batch is, and the data
        collect(model, epoch, rng), state(), restore(state)     data that the model or chance makes
        test(model), figures(model), describe(model), content_hash()    what is kept with the trial
        constant_answer()               what the same answer to every input is worth
        train_on_validation()           for `refit`

    The other methods below are the loop's: leave them alone. examples/task_template.py is a task to copy.
    """

    def train(self, context: TrialContext[P]) -> None:
        """Train for `params.epochs` epochs or until told to stop."""
        with tiny_as_zero():
            Loop(self, context).train()

    def train_group(self, group: GroupContext[P]) -> None:
        """Train the members of a group as one, each to what it would be alone."""
        with tiny_as_zero():
            GroupLoop(self, group).train()

    def measure_together(self, context: TrialContext[P], *, most: int) -> Sequence[float]:
        """Make a few updates of 1, 2, 4, … trainings like this one."""
        with tiny_as_zero():
            return measure_together(self, context, most=most)

    @classmethod
    def why_not_fused(cls, params: P) -> str | None:
        """Return why trials with such parameters can't train as one; None: they can, as far as can be told."""
        if cls.collect is not Task.collect:
            return "each trial collects data of its own"
        return super().why_not_fused(params) or params.why_not_fused()

    @classmethod
    def card(cls) -> TrainerCard:
        """Return the description the service works with; where trials collect data of their own, they train alone."""
        card = super().card()
        if cls.collect is Task.collect:
            return card
        alone = card.capabilities.model_copy(update={"fuse": None})
        return card.model_copy(update={"capabilities": alone})

    def sweep(self, context: TrialContext[P], sweep: Sweep) -> None:
        """Raise the rate from `sweep.low` to `sweep.high`, with the updates training would make."""
        with tiny_as_zero():
            Loop(self, context).sweep(sweep)

    def refit(self, context: TrialContext[P]) -> None:
        """Train on training and validation data for all epochs, and measure the last model on test data, once."""
        with tiny_as_zero():
            Loop(self, context).refit()
