"""XGBoost: `train(…, callbacks=[callback], xgb_model=callback.model, num_boost_round=callback.rounds_left(100))`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stepsize.integrations.run import Reports, Run, framework, measured

if TYPE_CHECKING:
    TrainingCallback = object
else:
    TrainingCallback = framework("xgboost", install="xgboost").callback.TrainingCallback

__all__ = ["TrialCallback"]


class TrialCallback(TrainingCallback):
    """Reports what `evals` measure each round, stops at the next, and keeps the trees every few rounds.

    Args:
        trial: where to report to.
        metrics: our name → the evaluation's, such as `{"val_loss": "valid-logloss"}`.
        save_every: rounds between two checkpoints.
    """

    def __init__(self, trial: Reports, metrics: Mapping[str, str], *, save_every: int = 10) -> None:
        super().__init__()
        self._run = Run(trial)
        self._metrics = metrics
        self._save_every = save_every

    @property
    def model(self) -> Any:
        """The trees that an interrupted attempt has left, for `train(xgb_model=…)`; None: there are none."""
        saved = self._run.saved
        if saved is None:
            return None
        return framework("xgboost", install="xgboost").Booster(model_file=bytearray(saved.path.read_bytes()))

    def rounds_left(self, n_rounds: int) -> int:
        """Return how many of the rounds are still to do."""
        return self._run.steps_left(n_rounds)

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[Any]]]) -> bool:
        """Report a round, and return whether to stop."""
        found = {f"{data}-{name}": _last(series) for data, of in evals_log.items() for name, series in of.items()}
        step = model.num_boosted_rounds()
        is_over = self._run.report(step, measured(found, self._metrics)) or self._run.should_stop()
        if step % self._save_every == 0:
            self._run.save(step, lambda path: _write(path, model))
        return is_over


def _last(series: list[Any]) -> Any:
    return series[-1][0] if isinstance(series[-1], tuple) else series[-1]  # of cross-validation: mean and deviation


def _write(path: Any, model: Any) -> None:
    path.write_bytes(model.save_raw("ubj"))
