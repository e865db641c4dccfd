"""A callback for Hugging Face's Trainer: `Trainer(..., callbacks=[Stepsize(context, ["eval_loss"])])`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepsize import Params, TrialContext

if TYPE_CHECKING:
    TrainerCallback = object
else:
    try:
        from transformers import TrainerCallback
    except ImportError:  # so that this file can be read, and tested, without transformers
        TrainerCallback = object


class Stepsize(TrainerCallback):
    """Reports each evaluation at its update, and stops the training when the trial is to stop."""

    def __init__(self, context: TrialContext[Params], metrics: Sequence[str]) -> None:
        self.context = context
        self.metrics = metrics

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float], **kwargs: Any) -> None:
        values = {name: float(metrics[name]) for name in self.metrics}
        if self.context.report(state.global_step, values):
            control.should_training_stop = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.context.should_stop():
            control.should_training_stop = True
