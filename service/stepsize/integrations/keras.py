"""Keras 3: `model.fit(callbacks=[callback], initial_epoch=callback.restore(model))`."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepsize.integrations.run import Reports, Run, framework, measured

if TYPE_CHECKING:
    Callback = object
else:
    Callback = framework("keras", install="keras").callbacks.Callback

__all__ = ["TrialCallback"]

_SUFFIX = ".weights.h5"
"""Keras takes files of this name alone."""


class TrialCallback(Callback):
    """Reports each epoch's logs, stops within an update, and keeps weights and optimiser each epoch.

    Args:
        trial: where to report to.
        metrics: names as the logs have them, such as `val_loss`; at least the objective's.
    """

    model: Any

    def __init__(self, trial: Reports, metrics: Sequence[str]) -> None:
        super().__init__()
        self._run = Run(trial)
        self._metrics = {name: name for name in metrics}

    def restore(self, model: Any) -> int:
        """Load what an interrupted attempt has left into a compiled and built model; return the epochs it had done."""
        saved = self._run.saved
        if saved is None:
            return 0
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"saved{_SUFFIX}"
            shutil.copyfile(saved.path, file)
            model.optimizer.build(model.trainable_variables)
            model.load_weights(file)
        return saved.step

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report, and keep weights and optimiser."""
        if self._run.report(epoch + 1, measured(logs or {}, self._metrics)):
            self.model.stop_training = True
        self._run.save(epoch + 1, self._write)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stop soon after somebody asked for it."""
        if self._run.should_stop():
            self.model.stop_training = True

    def _write(self, path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            file = Path(folder) / f"saved{_SUFFIX}"
            self.model.save_weights(file)
            file.replace(path)
