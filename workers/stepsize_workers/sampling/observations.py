"""What a study's trials have tried and reached, as arrays: TPE reads them at every ask.

Optuna's own reads every trial anew each time, in Python: 60 ms at 10,000 trials, two thirds of an ask. What has ended
stays as it is, so only trials are read here that had not ended at the ask before.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

_OUT, _RUNNING, _COMPLETE, _PRUNED = range(4)
_CODES = {
    OptunaState.RUNNING: _RUNNING,
    OptunaState.COMPLETE: _COMPLETE,
    OptunaState.PRUNED: _PRUNED,
    OptunaState.FAIL: _OUT,
    OptunaState.WAITING: _OUT,
}

Numbers = NDArray[np.intp]
"""Trial numbers, rising."""


class Observations:
    """The trials of one study with one objective, by number."""

    def __init__(self, params_of: Callable[[FrozenTrial], Mapping[str, object]]) -> None:
        """Begin with none.

        Args:
            params_of: what a trial tries, as TPE sees it.
        """
        self._params_of = params_of
        self._states = array("b")
        self._values = array("d")
        self._columns: dict[str, tuple[BaseDistribution, array[float]]] = {}
        """Parameter → its values inside Optuna; NaN where a trial has none."""
        self._open: set[int] = set()
        """Trials that had not ended when they were last read."""
        self._unread: set[int] = set()
        """Of these, whose parameters were not all drawn."""
        self.has_infeasible = False
        """Whether any trial breaks a constraint of its own, of which nothing is known here."""

    def read(self, trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution], *, asking: int) -> None:
        """Take in what is new.

        Args:
            trials: all of the study's, by number.
            space: the parameters that `columns` will be asked for.
            asking: the trial that is being drawn.
        """
        fresh = range(len(self._states), len(trials))
        self._states.extend([_OUT] * len(fresh))
        self._values.extend([nan] * len(fresh))
        for _, column in self._columns.values():
            column.extend([nan] * len(fresh))
        self._open.update(fresh)
        self._unread.update(fresh)
        for number in sorted(self._open):
            trial = trials[number]
            if trial.state.is_finished():
                self._take_end(trial)
            elif number != asking and number in self._unread and trial.state is OptunaState.RUNNING:
                self._states[number] = _RUNNING
                self._take_params(trial)
                self._unread.discard(number)
        for name, distribution in space.items():
            if name not in self._columns or self._columns[name][0] != distribution:
                self._columns[name] = distribution, array("d", [nan]) * len(trials)
                for trial in trials:
                    if trial.number not in self._unread:
                        self._put(name, trial.number, self._params_of(trial))

    def split(
        self,
        n_below: Callable[[int], int],
        *,
        minimizes: bool,
        with_running: bool,
        score_of_pruned: Callable[[int], tuple[float, float]],
    ) -> tuple[Numbers, Numbers]:
        """Return the trials that count as good, and all others.

        Args:
            n_below: number of ended trials → how many of them count as good.
            minimizes: whether less is better.
            with_running: whether those under way count among the others.
            score_of_pruned: by which the best of the pruned are found; less is better.
        """
        states, values = np.array(self._states), np.array(self._values)
        complete, pruned = np.flatnonzero(states == _COMPLETE), np.flatnonzero(states == _PRUNED)
        n_wanted = n_below(len(complete) + len(pruned))
        order = np.argsort(values[complete] if minimizes else -values[complete], kind="stable")
        good = complete[order[:n_wanted]]
        if len(good) < n_wanted:
            best_pruned = sorted(pruned.tolist(), key=score_of_pruned)[: n_wanted - len(good)]
            good = np.concatenate([good, np.array(best_pruned, dtype=np.intp)])
        is_other = states != _OUT if with_running else (states == _COMPLETE) | (states == _PRUNED)
        is_other[good] = False
        return np.sort(good), np.flatnonzero(is_other)

    def columns(self, numbers: Numbers, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Return parameter → its values inside Optuna in those of the trials that have all of the parameters."""
        columns = {name: np.array(self._columns[name][1])[numbers] for name in names}
        has_all = np.ones(len(numbers), dtype=bool)
        for column in columns.values():
            has_all &= ~np.isnan(column)
        return {name: column[has_all] for name, column in columns.items()}

    def _take_end(self, trial: FrozenTrial) -> None:
        number = trial.number
        self._open.discard(number)
        self._unread.discard(number)
        self._states[number] = _CODES[trial.state]
        if trial.state is OptunaState.COMPLETE:
            self._values[number] = trial.values[0]
        self.has_infeasible |= any(value > 0 for value in trial.constraints.values())
        self._take_params(trial)

    def _take_params(self, trial: FrozenTrial) -> None:
        params = self._params_of(trial)
        for name in self._columns:
            self._put(name, trial.number, params)

    def _put(self, name: str, number: int, params: Mapping[str, object]) -> None:
        distribution, column = self._columns[name]
        column[number] = distribution.to_internal_repr(params[name]) if name in params else nan
