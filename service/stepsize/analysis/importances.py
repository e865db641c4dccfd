"""Which parameters matter: PED-ANOVA, as Optuna has it, with intervals from resampled trials."""

import math
import warnings
from collections.abc import Container, Iterable, Sequence

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from stepsize.analysis.distributions import distribution, shown
from stepsize.analysis.intervals import unknown
from stepsize.analysis.sample import Sample
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.report import Importance, Importances
from stepsize.spec.space import IntParameter, Parameter, Scalar, SearchSpace
from stepsize.spec.wording import counted

METHOD = "PED-ANOVA"

_MIN_TRIALS = 100
_TRIALS_PER_PARAMETER = 3
"""Below either, one lucky trial more or less turns the order of the parameters over."""
_MOST_TRIALS = 1000
"""More say hardly more, and cost a tenth of a second per thousand and resample."""
_N_RESAMPLES = 20
_Z95 = 1.959964

optuna.logging.set_verbosity(optuna.logging.WARNING)


class _Resample(optuna.Study):
    """A study whose trials are these: Optuna's storage refuses the same trial twice."""

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        storage = optuna.storages.InMemoryStorage()
        created = optuna.create_study(storage=storage)
        super().__init__(created.study_name, storage)
        self._drawn = list(trials)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return list(self._drawn)


def importances(sample: Sample, evidence: Evidence) -> Importances:
    """Return each searched parameter's share in what tells the best tenth of the trials from the rest."""
    # Pruned trials too: without them there is nothing left that the best differ from.
    rows = np.flatnonzero(sample.has_cost)
    rows = rows[:: max(1, math.ceil(len(rows) / _MOST_TRIALS))]
    n_trials = counted(len(rows), "trial")
    if len(rows) < _MIN_TRIALS:
        reason = f"can't be told from {n_trials} with a value; importances need at least {_MIN_TRIALS}"
        return _none(evidence, reason, len(rows))
    if len(rows) < _TRIALS_PER_PARAMETER * len(evidence.space):
        reason = (
            f"can't be told for {counted(len(evidence.space), 'parameter')} from {n_trials}: have three times as many"
        )
        return _none(evidence, reason, len(rows))
    if np.ptp(sample.cost[rows]) == 0:
        return _none(evidence, "every trial has the same value", len(rows))
    trials = [_freeze(sample, int(row), evidence.space) for row in rows]
    point = _evaluate(trials)
    if not point or not math.isfinite(sum(point.values())):
        return _none(evidence, "no parameter applies to enough trials", len(rows))
    rng = np.random.default_rng(0)
    drawn = [_evaluate([trials[i] for i in rng.integers(0, len(trials), len(trials))]) for _ in range(_N_RESAMPLES)]
    items = [
        Importance(parameter=name, importance=_around(value, [one[name] for one in drawn if name in one]))
        for name, value in sorted(point.items(), key=lambda item: -item[1])
    ]
    return Importances(
        job_id=evidence.job_id,
        change=evidence.change,
        method=METHOD,
        n_trials=len(rows),
        items=items,
        caveat=_caveat(sorted(set(evidence.space) - set(point))),
    )


def _evaluate(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental", and "few trials", which the caveat says
        found = PedAnovaImportanceEvaluator().evaluate(_Resample(trials))
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else {}


def _freeze(sample: Sample, row: int, space: SearchSpace) -> FrozenTrial:
    params = {name: value for name, value in sample.params[row].items() if name in space}
    # The constructor and not `create_trial`, whose trials all have one id: PED-ANOVA tells trials apart by it.
    return FrozenTrial(
        number=row,
        trial_id=row,
        state=TrialState.COMPLETE,
        value=float(sample.cost[row]),
        datetime_start=None,
        datetime_complete=None,
        params={name: _searched(space[name], value) for name, value in params.items()},
        distributions={name: distribution(_searched_range(space[name])) for name in params},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def _searched(parameter: Parameter, value: Scalar) -> Scalar:
    """Return a value as it was searched: powers of two by their exponents, which few trials rank less noisily."""
    return parameter.as_searched(value) if isinstance(parameter, IntParameter) else shown(parameter, value)


def _searched_range(parameter: Parameter) -> Parameter:
    return parameter.searched if isinstance(parameter, IntParameter) else parameter


def _around(value: float, resampled: Sequence[float]) -> Estimate:
    if len(resampled) < _N_RESAMPLES // 2:
        return Estimate(value=value, low=None, high=None, caveat="applies to too few trials")
    reach = _Z95 * float(np.std(resampled, ddof=1))
    return Estimate(value=value, low=max(0.0, value - reach), high=min(1.0, value + reach))


def _caveat(left_out: Iterable[str]) -> str | None:
    names = ", ".join(left_out)
    return f"left out, because they apply to no completed trial: {names}" if names else None


def _none(evidence: Evidence, caveat: str, n: int) -> Importances:
    return Importances(
        job_id=evidence.job_id,
        change=evidence.change,
        method=METHOD,
        n_trials=n,
        items=[Importance(parameter=name, importance=unknown(caveat)) for name in evidence.space],
        caveat=caveat,
    )
