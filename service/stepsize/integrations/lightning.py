"""Lightning: `Trainer(callbacks=[callback])` and `fit(model, data, ckpt_path=callback.ckpt_path)`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepsize.integrations.run import Reports, Run, framework, measured

if TYPE_CHECKING:
    Callback = object
else:
    Callback = framework("lightning.pytorch", "pytorch_lightning", install="lightning").Callback

__all__ = ["TrialCallback"]


class TrialCallback(Callback):
    """Reports validation metrics at the end of each epoch, stops within an update, and keeps a checkpoint each epoch.

    Args:
        trial: where to report to.
        metrics: names as `self.log` has them; at least the objective's.
    """

    def __init__(self, trial: Reports, metrics: Sequence[str]) -> None:
        super().__init__()
        self._run = Run(trial)
        self._metrics = {name: name for name in metrics}

    @property
    def ckpt_path(self) -> str | None:
        """What an interrupted attempt has left, for `fit(ckpt_path=…)`."""
        saved = self._run.saved
        return None if saved is None else str(saved.path)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Report, but not the check before the first epoch: it measures an untrained model."""
        if trainer.sanity_checking:
            return
        if self._run.report(trainer.current_epoch + 1, measured(trainer.callback_metrics, self._metrics)):
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop soon after somebody asked for it."""
        if self._run.should_stop():
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep model, optimisers and loops."""
        self._run.save(trainer.current_epoch + 1, lambda path: trainer.save_checkpoint(path))
