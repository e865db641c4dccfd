"""scikit-learn: estimators that learn step by step, with `partial_fit` or with `warm_start`."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stepsize.integrations.run import Reports, Run

__all__ = ["fit"]

Score = Callable[[Any], Mapping[str, float]]


def fit(trial: Reports, learn: Callable[[Any, int], Any], estimator: Any, *, steps: int, score: Score) -> Any:
    """Let an estimator learn step by step, report each, and return it; go on where an interrupted attempt was.

    Args:
        trial: where to report to.
        learn: called with the estimator and the step, from 1: `partial_fit`, or `set_params(n_estimators=…)` and `fit`
            of an estimator with `warm_start=True`.
        estimator: not fitted yet; one that an interrupted attempt has left takes its place.
        steps: how many.
        score: metrics of the estimator as it is.
    """
    run = Run(trial)
    first = 1
    if (saved := run.saved) is not None:
        estimator, first = pickle.loads(saved.path.read_bytes()), saved.step + 1  # what this trial itself has written
    for step in range(first, steps + 1):
        learn(estimator, step)
        if run.report(step, score(estimator)) or run.should_stop():
            break
        content = pickle.dumps(estimator)
        run.save(step, lambda path, content=content: _write(path, content))  # type: ignore[misc]
    return estimator


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
