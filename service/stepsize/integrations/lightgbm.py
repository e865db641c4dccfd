"""LightGBM: `train(…, callbacks=[callback], init_model=callback.model, num_boost_round=callback.rounds_left(100))`."""

from collections.abc import Mapping
from typing import Any

from stepsize.integrations.run import Reports, Run, framework, measured

_lightgbm = framework("lightgbm", install="lightgbm")

__all__ = ["TrialCallback"]


class TrialCallback:
    """Reports what `valid_sets` measure each round, stops at the next, and keeps the trees every few rounds.

    Args:
        trial: where to report to.
        metrics: our name → the evaluation's, such as `{"val_loss": "valid_0-binary_logloss"}`.
        save_every: rounds between two checkpoints.
    """

    order = 10
    """LightGBM calls it after the evaluation."""
    before_iteration = False

    def __init__(self, trial: Reports, metrics: Mapping[str, str], *, save_every: int = 10) -> None:
        self._run = Run(trial)
        self._metrics = metrics
        self._save_every = save_every

    @property
    def model(self) -> Any:
        """The trees that an interrupted attempt has left, for `train(init_model=…)`; None: there are none."""
        saved = self._run.saved
        return None if saved is None else _lightgbm.Booster(model_str=saved.path.read_text(encoding="utf-8"))

    def rounds_left(self, n_rounds: int) -> int:
        """Return how many of the rounds are still to do."""
        return self._run.steps_left(n_rounds)

    def __call__(self, env: Any) -> None:
        """Report a round; LightGBM is stopped by its own exception."""
        found = {f"{one[0]}-{one[1]}": one[2] for one in env.evaluation_result_list or ()}
        step = env.iteration + 1
        is_over = self._run.report(step, measured(found, self._metrics)) or self._run.should_stop()
        if step % self._save_every == 0:
            text = env.model.model_to_string(num_iteration=-1)
            self._run.save(step, lambda path: _write(path, text))
        if is_over:
            raise _lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list or [])


def _write(path: Any, text: str) -> None:
    path.write_text(text, encoding="utf-8")
