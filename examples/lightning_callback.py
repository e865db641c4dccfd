"""A Lightning callback for trainers of your own: `trainer = Trainer(callbacks=[Stepsize(context, ["val_loss"])])`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepsize import Params, TrialContext

if TYPE_CHECKING:
    Callback = object
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:  # so that this file can be read, and tested, without Lightning
        Callback = object


class Stepsize(Callback):
    """Reports validation metrics each epoch, and stops the training when the trial is to stop."""

    def __init__(self, context: TrialContext[Params], metrics: Sequence[str]) -> None:
        self.context = context
        self.metrics = metrics

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:  # the check before the first epoch measures an untrained model
            return
        values = {name: float(trainer.callback_metrics[name]) for name in self.metrics}
        if self.context.report(trainer.current_epoch + 1, values):
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.context.should_stop():
            trainer.should_stop = True
