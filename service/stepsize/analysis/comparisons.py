"""The choices of a categorical parameter beside each other, each at its own best learning rate."""

import numpy as np

from stepsize.analysis.intervals import known, power_of_ten, scaled, unknown
from stepsize.analysis.law import choices_of
from stepsize.analysis.sample import Sample
from stepsize.analysis.tables import best_value, mean_value
from stepsize.analysis.valley import Unclear, Valley, fit_valley
from stepsize.domain.report import ChoiceRow, Comparison, Estimate
from stepsize.spec.space import CategoricalParameter, Scalar, SearchSpace

_MOST_CHOICES = 30


def comparisons(sample: Sample, space: SearchSpace) -> list[Comparison]:
    """Return one comparison for each parameter that is a choice."""
    return [_compare(sample, name, parameter) for name, parameter in choices_of(space).items()]


def _compare(sample: Sample, name: str, parameter: CategoricalParameter) -> Comparison:
    choices = parameter.choices[:_MOST_CHOICES]
    bottoms = [_bottom(sample, name, choice) for choice in choices]
    rows = [
        _row(sample, name, choice, bottom, None if index == 0 else bottoms[0])
        for index, (choice, bottom) in enumerate(zip(choices, bottoms, strict=True))
    ]
    caveat = None
    if len(parameter.choices) > len(choices):
        caveat = f"only the first {len(choices)} of {len(parameter.choices)} choices are compared"
    return Comparison(parameter=name, baseline=choices[0], choices=rows, sentence=_sentence(name, rows), caveat=caveat)


def _bottom(sample: Sample, name: str, choice: Scalar) -> tuple[Estimate, Estimate]:
    """Return log10 of the choice's best rate and the cost there."""
    mine = sample.where(sample.has(name, choice))
    valley = fit_valley(mine)
    if isinstance(valley, Unclear):
        return unknown(valley.reason), unknown(valley.reason)
    at = _best_batch(mine, valley)
    return valley.rate(at), valley.cost(at)


def _best_batch(sample: Sample, valley: Valley) -> float:
    batches = np.unique(sample.log_batch[(sample.weight > 0) & np.isfinite(sample.log_batch)])
    if not len(batches) or not valley.batch_terms:
        return 0.0
    return float(min(batches, key=lambda batch: valley.cost(float(batch)).value or 0.0))


def _row(
    sample: Sample,
    name: str,
    choice: Scalar,
    bottom: tuple[Estimate, Estimate],
    baseline: tuple[Estimate, Estimate] | None,
) -> ChoiceRow:
    mine = sample.has(name, choice)
    rate, cost = bottom
    return ChoiceRow(
        choice=choice,
        n_trials=int(mine.sum()),
        n_completed=int((mine & sample.completed).sum()),
        best=scaled(cost, sample.sign),
        best_trial=best_value(sample, mine),
        mean=mean_value(sample, mine),
        learning_rate=power_of_ten(rate),
        improvement=known(0.0) if baseline is None else _difference(baseline[1], cost),
    )


def _difference(worse: Estimate, better: Estimate) -> Estimate:
    """Return by how much the second cost is lower; the two rest on different trials."""
    if worse.value is None or better.value is None:
        return unknown(worse.caveat or better.caveat or "not known for both")
    reach = float(np.hypot(_reach(worse), _reach(better)))
    value = worse.value - better.value
    return Estimate(value=value, low=value - reach, high=value + reach)


def _reach(estimate: Estimate) -> float:
    assert estimate.low is not None, "a valley's cost has an interval"
    assert estimate.high is not None, "a valley's cost has an interval"
    return (estimate.high - estimate.low) / 2


def _sentence(name: str, rows: list[ChoiceRow]) -> str:
    tried = [row for row in rows if row.best_trial is not None]
    if len(tried) < 2:
        return f"Not enough trials to compare the choices of {name}."
    better = [row for row in rows if row.improvement.low is not None and row.improvement.low > 0]
    worse = [row for row in rows if row.improvement.high is not None and row.improvement.high < 0]
    first = rows[0].choice
    if better:
        best = max(better, key=lambda row: row.improvement.value or 0.0)
        return f"{best.choice} does better than {first} at its own best learning rate."
    if worse and len(worse) == len(rows) - 1:
        return f"{first} does better than every other choice of {name}."
    if worse:
        return f"{first} does better than {', '.join(str(row.choice) for row in worse)}."
    return f"Not enough trials to tell the choices of {name} apart."
