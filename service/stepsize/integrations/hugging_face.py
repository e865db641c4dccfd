"""Hugging Face: `Trainer(callbacks=[callback])`, `train(resume_from_checkpoint=callback.checkpoint(folder))`."""

import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepsize.integrations.run import Reports, Run, framework, measured

if TYPE_CHECKING:
    TrainerCallback = object
else:
    TrainerCallback = framework("transformers", install="transformers accelerate").TrainerCallback

__all__ = ["TrialCallback"]


class TrialCallback(TrainerCallback):
    """Reports each evaluation at its update, stops within an update, keeps what the Trainer saves (`save_strategy`).

    Args:
        trial: where to report to.
        metrics: names as an evaluation has them, such as `eval_loss`; at least the objective's.
    """

    def __init__(self, trial: Reports, metrics: Sequence[str]) -> None:
        super().__init__()
        self._run = Run(trial)
        self._metrics = {name: name for name in metrics}
        self._seen: set[str] = set()

    def checkpoint(self, folder: str | Path) -> str | None:
        """Return what an interrupted attempt has left, unpacked below a folder; None: it has left nothing."""
        saved = self._run.saved
        if saved is None:
            return None
        target = Path(folder) / f"checkpoint-{saved.step}"
        with tarfile.open(saved.path) as packed:
            packed.extractall(target, filter="data")
        return str(target)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float], **kwargs: Any) -> None:
        """Report an evaluation; steps count updates."""
        self._seen |= metrics.keys()
        if not self._metrics.keys() & metrics.keys():
            return  # of several data sets each is evaluated for itself
        if self._run.report(state.global_step, measured(metrics, self._metrics)):
            control.should_training_stop = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop soon after somebody asked for it."""
        if self._run.should_stop():
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse a training of which nothing could be reported."""
        if self._seen:
            measured(dict.fromkeys(self._seen, 0.0), self._metrics)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the folder that the Trainer has just written, as one file."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"

        def pack(path: Path) -> None:
            with tarfile.open(path, "w") as packed:
                packed.add(folder, arcname=".")

        self._run.save(state.global_step, pack)
