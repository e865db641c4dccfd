"""The scaling law, how sensitive the learning rate is, and what all this is about when choices differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stepsize.analysis.intervals import deviation, power_of_ten, unknown
from stepsize.analysis.sample import BATCH_NAME, RATE_NAMES, Sample
from stepsize.analysis.valley import Unclear, Valley, fit_valley
from stepsize.domain.report import Estimate, ScalingLaw, ScalingRule, Sensitivity
from stepsize.spec.space import CategoricalParameter, Scalar, SearchSpace

_RELATIVE_TOLERANCE = 0.01
"""Good is within 1 % of the best value, or within the noise where that is larger."""
_LEAST_TOLERANCE = 0.001
"""And at least this share of how far the ordinary trial lies from the best: 1 % of a best value of 0 is nothing."""
_EXPONENTS = {ScalingRule.NONE: 0.0, ScalingRule.SQUARE_ROOT: 0.5, ScalingRule.LINEAR: 1.0}
_RULE_WORDS = {
    ScalingRule.NONE: "it need not move with the batch size",
    ScalingRule.SQUARE_ROOT: "the square-root rule fits",
    ScalingRule.LINEAR: "the linear rule fits",
}
_ROUNDING = 0.005
"""Slopes are told to two digits."""
_FOCUS_MIN_TRIALS = 12


@dataclass(frozen=True)
class Focus:
    """The trials that the law is about: those with the choices that do best, where choices differ."""

    choices: Mapping[str, Scalar]
    sample: Sample
    valley: Valley | Unclear


def find_focus(sample: Sample, space: SearchSpace) -> Focus:
    """Return the trials with the best choice of each categorical that moves the valley.

    SGD and Adam have valleys decades apart; one parabola through both would describe neither. A list of rates or of
    batch sizes is what the valley is about, not a choice.
    """
    choices: dict[str, Scalar] = {}
    for name, parameter in choices_of(space).items():
        best = _best_choice(sample, name, parameter)
        if best is not None:
            choices[name] = best
            sample = sample.where(sample.has(name, best))
    return Focus(choices, sample, fit_valley(sample))


def choices_of(space: SearchSpace) -> dict[str, CategoricalParameter]:
    """Return the parameters that are a choice between several: optimizers, schedules, but not listed rates."""
    return {
        name: parameter
        for name, parameter in space.items()
        if isinstance(parameter, CategoricalParameter)
        and len(parameter.choices) > 1
        and name not in (*RATE_NAMES, BATCH_NAME)
    }


def scaling_law(focus: Focus) -> ScalingLaw:
    """Return log10 lr* = a + b log10 B."""
    valley = focus.valley
    if isinstance(valley, Unclear):
        return _no_law(valley.reason)
    b = valley.slope()
    if b.value is None:
        return _no_law(b.caveat or "")
    rules = _admitted_rules(b)
    return ScalingLaw(
        a=valley.rate(0.0),
        b=b,
        rule=rules[0] if len(rules) == 1 else None,
        n_trials=valley.n_trials,
        sentence=f"The best learning rate grows with the batch size to the power {b.value:.2f} "
        f"(95 % interval {b.low:.2f} to {b.high:.2f}): {_rule_words(rules)}.",
        caveat=fit_caveat(valley),
    )


def sensitivity(focus: Focus) -> Sensitivity:
    """Return how wide the good region is, at the batch size that does best."""
    valley, sample = focus.valley, focus.sample
    best_rate = _best_trial_rate(sample)
    log_batch = best_log_batch(focus)
    batch_size = None if log_batch is None else round(10**log_batch)
    if isinstance(valley, Unclear):
        nothing = unknown(valley.reason)
        return Sensitivity(
            batch_size=batch_size,
            tolerance=0.0,
            plateau_low=None,
            plateau_high=None,
            width_decades=nothing,
            plateau_centre=nothing,
            recommended_rate=nothing,
            best_trial_rate=best_rate,
            sentence=f"How exactly the learning rate must be met can't be said: {valley.reason}.",
            caveat=valley.reason,
        )
    at = 0.0 if log_batch is None else log_batch
    rate, cost = valley.rate(at), valley.cost(at)
    assert rate.value is not None, "a valley has a bottom"
    assert cost.value is not None, "a valley has a bottom"
    ordinary = float(np.median(sample.cost[sample.weight > 0]))
    tolerance = max(
        valley.noise, _RELATIVE_TOLERANCE * abs(cost.value), _LEAST_TOLERANCE * abs(ordinary - cost.value), 1e-12
    )
    width = valley.width(tolerance)
    assert width.value is not None, "a valley has a width"
    low = max(valley.x_range[0], rate.value - width.value / 2)
    high = min(valley.x_range[1], rate.value + width.value / 2)
    where = "" if batch_size is None else f" at batch size {batch_size}"
    return Sensitivity(
        batch_size=batch_size,
        tolerance=tolerance,
        plateau_low=10**low,
        plateau_high=10**high,
        width_decades=width,
        plateau_centre=power_of_ten(rate),
        recommended_rate=power_of_ten(rate),
        best_trial_rate=best_rate,
        sentence=f"Learning rates from {10**low:.2g} to {10**high:.2g} ({width.value:.2f} decades) stay within "
        f"{tolerance:.2g} of the best value{where}.",
        caveat=fit_caveat(valley),
    )


def noise(sample: Sample, valley: Valley | Unclear) -> Estimate:
    """Return the standard deviation between trainings that should be alike: replicates, else the scatter of a fit."""
    alike, sizes = np.unique(sample.group, return_counts=True)
    groups = [sample.cost[sample.completed & (sample.group == one)] for one in alike[sizes > 1]]
    repeated = [costs for costs in groups if len(costs) > 1]
    df = sum(len(costs) - 1 for costs in repeated)
    if df:
        return deviation(sum(float(((c - c.mean()) ** 2).sum()) for c in repeated) / df, df)
    if isinstance(valley, Unclear):
        return unknown("no replicates, and no fit whose scatter could stand in for them")
    caveat = "no replicates: the scatter of trials around the fitted valley stands in for them"
    return deviation(valley.noise**2, valley.fit.df, caveat)


def best_log_batch(focus: Focus) -> float | None:
    """Return log10 of the batch size that does best; of those that can't be told apart, the one with most trials.

    Where the valley's bottom lies beyond the searched rates, nobody has seen how well a batch size does.
    """
    sample, valley = focus.sample, focus.valley
    used = sample.log_batch[(sample.weight > 0) & np.isfinite(sample.log_batch)]
    if not len(used):
        return None
    sizes, counts = np.unique(used, return_counts=True)
    if isinstance(valley, Unclear):
        costs = [float(np.nanmin(sample.cost[sample.log_batch == size])) for size in sizes]
        return float(sizes[int(np.argmin(costs))])
    seen = np.array([valley.is_seen(float(size)) for size in sizes])
    if seen.any():
        sizes, counts = sizes[seen], counts[seen]
    bottoms = [valley.cost(float(size)) for size in sizes]
    best = min(bottoms, key=lambda cost: cost.value if cost.value is not None else math.inf)
    assert best.high is not None, "a valley's cost has an interval"
    tied = [
        (count, size)
        for size, count, cost in zip(sizes, counts, bottoms, strict=True)
        if cost.value is not None and cost.value <= best.high
    ]
    return float(max(tied)[1])


def unseen_batch_sizes(focus: Focus) -> list[int]:
    """Return the batch sizes whose best rate lies beyond the searched ones."""
    used = np.unique(focus.sample.log_batch[(focus.sample.weight > 0) & np.isfinite(focus.sample.log_batch)])
    if isinstance(focus.valley, Unclear):
        return []
    return [round(10**size) for size in used.tolist() if not focus.valley.is_seen(size)]


def fit_caveat(valley: Valley) -> str | None:
    """Return what is doubtful about a fit."""
    if not valley.is_parabola:
        return "the values near the bottom do not follow a parabola: the intervals may be too narrow"
    return None


def _best_choice(sample: Sample, name: str, parameter: CategoricalParameter) -> Scalar | None:
    """Return the choice to look at, None where all choices can be looked at together."""
    valleys: dict[Scalar, Valley] = {}
    for choice in parameter.choices:
        mine = sample.where(sample.has(name, choice))
        if int((mine.weight > 0).sum()) < _FOCUS_MIN_TRIALS:
            continue
        valley = fit_valley(mine)
        if isinstance(valley, Valley):
            valleys[choice] = valley
    if len(valleys) < 2:
        return _only_clear_choice(sample, name, parameter, valleys)
    if not _any_differ(list(valleys.values()), _middle(sample)):
        return None
    at = _middle(sample)
    return min(valleys, key=lambda choice: valleys[choice].cost(at).value or 0.0)


def _only_clear_choice(
    sample: Sample, name: str, parameter: CategoricalParameter, valleys: Mapping[Scalar, Valley]
) -> Scalar | None:
    """Return the one choice that has a valley, if the best trial has it too and the search has settled on it."""
    usable = np.flatnonzero(sample.weight > 0)
    if len(valleys) != 1 or not len(usable):
        return None
    (choice,) = valleys
    best = sample.params[int(usable[np.argmin(sample.cost[usable])])]
    return choice if best.get(name) == choice else None


def _any_differ(valleys: list[Valley], log_batch: float) -> bool:
    """Tell whether intervals of the best rate or of its cost lie apart."""
    for estimates in ([one.rate(log_batch) for one in valleys], [one.cost(log_batch) for one in valleys]):
        lows = [estimate.low for estimate in estimates if estimate.low is not None]
        highs = [estimate.high for estimate in estimates if estimate.high is not None]
        if lows and max(lows) > min(highs):
            return True
    return False


def _middle(sample: Sample) -> float:
    batches = sample.log_batch[np.isfinite(sample.log_batch)]
    return float(np.median(batches)) if len(batches) else 0.0


def _best_trial_rate(sample: Sample) -> float | None:
    rows = np.flatnonzero(sample.completed & np.isfinite(sample.cost) & np.isfinite(sample.log_rate))
    if not len(rows):
        return None
    return float(10 ** sample.log_rate[rows[np.argmin(sample.cost[rows])]])


def _admitted_rules(b: Estimate) -> list[ScalingRule]:
    assert b.low is not None, "called with a known slope"
    assert b.high is not None, "called with a known slope"
    low, high = b.low - _ROUNDING, b.high + _ROUNDING
    return [rule for rule, exponent in _EXPONENTS.items() if low <= exponent <= high]


def _rule_words(admitted: list[ScalingRule]) -> str:
    if len(admitted) == 1:
        return _RULE_WORDS[admitted[0]]
    if admitted:
        return "not enough trials to tell the rules apart (" + ", ".join(map(_with_hyphen, admitted)) + ")"
    return "neither the square-root nor the linear rule fits"


def _with_hyphen(rule: ScalingRule) -> str:
    return rule.replace("_", "-")


def _no_law(reason: str) -> ScalingLaw:
    nothing = unknown(reason)
    return ScalingLaw(
        a=nothing,
        b=nothing,
        rule=None,
        n_trials=0,
        sentence=f"How the best learning rate moves with the batch size can't be said: {reason}.",
        caveat=reason,
    )
