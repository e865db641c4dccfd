"""The answer of a job, in one sentence and in numbers."""

import math

import numpy as np

from stepsize.analysis.confirmation import Confirmation
from stepsize.analysis.divergence import MOST_CHANCE
from stepsize.analysis.exact import ALIKE
from stepsize.analysis.findings import (
    FAIR_DECADES,
    WELL_DECADES,
    Findings,
    Unclear,
    find,
    missing_trials,
    searched_rates,
)
from stepsize.analysis.intervals import scaled, unknown
from stepsize.analysis.landscape import Landscape, Spot
from stepsize.analysis.sample import Sample, make_sample
from stepsize.analysis.sensitivity import Plateau
from stepsize.analysis.tables import rate_of, value_of
from stepsize.domain.answer import Alternative, Answer, ValleyPoint, Words
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.job import JobKind
from stepsize.domain.range_test import RangeTestResult
from stepsize.domain.report import BestTrial
from stepsize.spec.roles import ACCUMULATION_NAME, BATCH_NAME, RATE_NAMES, rate_name
from stepsize.spec.space import Scalar
from stepsize.spec.wording import counted

_WORDS = {
    Words.WELL_SUPPORTED: "well supported",
    Words.FAIRLY_SURE: "fairly sure",
    Words.LOW: "a rough guess",
}
_PICTURE_POINTS = 25
_PICTURE_DECADES = 1.25
_SAME_RATE = 0.15
"""Decades within which a rate that was checked is the one that is told."""
_MOST_DIGITS = 8
_SHOWN_ALIKE = 0.002
"""Decades that three digits don't show."""


def make_answer(evidence: Evidence) -> Answer:
    """Return a job's answer, with whatever trials there are."""
    sample = make_sample(evidence)
    return answer_of(find(sample, evidence), evidence)


def answer_of(findings: Findings, evidence: Evidence) -> Answer:
    """Return the answer that findings give."""
    best = findings.best
    if evidence.kind is JobKind.RANGE_TEST:
        return _no_answer(Unclear("a range test searches nothing"), _quote_range_test(evidence), findings)
    if isinstance(best, Unclear):
        return _no_answer(best, _refuse(best, findings, evidence), findings)
    assert isinstance(findings.landscape, Landscape), "a spot lies in a landscape"
    words = _words(findings, best)
    missing = None
    if words is Words.LOW and not findings.doubts and not best.is_beside_a_cliff:
        missing = missing_trials(best, len(findings.landscape.sample))
    return Answer(
        sentence=_sentence(findings, best, words, missing, evidence),
        words=words,
        learning_rate=rate_of(best),
        batch_size=batch_size_of(findings, best),
        choices=dict(findings.landscape.choices),
        alternatives=_alternatives(findings, best),
        value=value_of(best, findings.sample.sign),
        confirmed=_confirmed(findings.confirmation),
        missing_trials=missing,
        caveats=_caveats(findings, best, evidence),
        valley=_picture(best, findings.plateau, findings.sample.sign),
    )


def batch_size_of(findings: Findings, spot: Spot) -> int | None:
    """Return the batch size to ask for at a spot: of those that come to the same, the most frequent."""
    sample = findings.about
    here = np.isfinite(sample.log_batch) & (sample.log_effective == spot.log_batch)
    if not here.any():
        return None
    sizes, counts = np.unique(sample.log_batch[here], return_counts=True)
    return round(10 ** float(sizes[counts.argmax()]))


def _alternatives(findings: Findings, best: Spot) -> list[Alternative]:
    """Return the choices that may be the best; where their best rates lie apart, each with its own."""
    return [
        Alternative(
            parameter=contest.parameter,
            choice=contest.choices[at],
            learning_rate=float(10 ** (np.median(contest.rates[at]) if contest.rates_differ else best.rate)),
        )
        for contest in findings.contests
        if len(contest.candidates) > 1
        for at in contest.candidates
    ]


def best_trial(sample: Sample, evidence: Evidence) -> BestTrial | None:
    """Return the completed trial with the best value; a check or a replicate is none."""
    if evidence.kind is JobKind.RANGE_TEST:
        return None  # the last loss of a sweep, which rises until it explodes, tells nothing
    if not len(sample.ranked):
        return None
    row = int(sample.ranked[0])
    params = {name: value for name, value in sample.params[row].items() if name in evidence.space}
    return BestTrial(number=int(sample.number[row]), value=float(sample.sign * sample.cost[row]), params=params)


def _words(findings: Findings, best: Spot) -> Words:
    """Return how sure the best spot is: by its interval, and by all that speaks against it."""
    is_flat = findings.plateau is not None and findings.plateau.is_flat
    if findings.doubts or is_flat or best.width > FAIR_DECADES:
        return Words.LOW
    checked = findings.confirmation
    broken = checked is not None and checked.is_kept is False and _is_same_rate(checked, best)
    if best.width > WELL_DECADES or broken or best.is_held_back or findings.hardly_searched is not None:
        return Words.FAIRLY_SURE
    return Words.WELL_SUPPORTED


def _is_same_rate(checked: Confirmation, best: Spot) -> bool:
    return abs(checked.log_rate - best.rate) <= _SAME_RATE


def _is_same_batch(checked: Confirmation, best: Spot) -> bool:
    return math.isnan(checked.log_batch) or abs(checked.log_batch - best.log_batch) < _SHOWN_ALIKE


def _sentence(findings: Findings, best: Spot, words: Words, missing: int | None, evidence: Evidence) -> str:
    rate, size = rate_of(best), batch_size_of(findings, best)
    where = "" if size is None else f" at batch size {size}"
    assert isinstance(findings.landscape, Landscape), "a spot lies in a landscape"
    choices = "".join(f", with {name} {choice}" for name, choice in findings.landscape.choices.items())
    use = f"For {evidence.objectives[0].metric} alone, use" if len(evidence.objectives) > 1 else "Use"
    return (
        f"{use} a learning rate of {rate.value:.3g} (95 % interval {rate.low:.3g} to {rate.high:.3g})"
        f"{where}{choices}{_holds_for(evidence)}: {_WORDS[words]}"
        f"{_why(findings, best, words, missing, evidence)}."
    )


def _why(findings: Findings, best: Spot, words: Words, missing: int | None, evidence: Evidence) -> str:
    """Return what the words rest on: doubts first, then a check, then the trials around the rate."""
    if findings.doubts:
        return f", for {findings.doubts[0]}"
    around = f", from {counted(best.n_near, 'trial')} around it"
    if findings.is_exact:
        around = ", as in the best trial, for there is no noise"
    if findings.plateau is not None and findings.plateau.is_flat:
        around = f", for {findings.plateau.flatness}"
    elif best.as_good is not None:
        first, last = best.as_good
        around += f"; rates from {10**first:.2g} to {10**last:.2g} do as well within the noise"
    if words is Words.LOW and missing is not None:
        around += f"; about {missing} more would make it fairly sure"
    elif best.is_held_back:
        around += "; higher ones may do better, but may diverge"
    if (checked := findings.confirmation) is not None and _is_same_rate(checked, best):
        around += _quote_measured(checked, best, evidence.objectives[0].metric)
    if findings.hardly_searched is not None:
        around += f"; around {10**findings.hardly_searched:.2g}, hardly searched, there may be a second valley"
    return around


def _quote_measured(checked: Confirmation, best: Spot, metric: str) -> str:
    """Return what fresh trainings gave, and where they were, if elsewhere than what is told."""
    rate, at = f"at {10**checked.log_rate:.3g}", "there"
    if not _is_same_batch(checked, best):
        at = f"{rate} and batch size {10**checked.log_batch:.0f}"
    elif abs(checked.log_rate - best.rate) >= _SHOWN_ALIKE:
        at = rate
    but = "; that is not what the search had promised" if checked.is_kept is False else ""
    return f"; {checked.n} fresh trainings {at} gave {metric} {_short(checked.mean)}{but}"


def _holds_for(evidence: Evidence) -> str:
    """Return how long a training and which data the answer is about."""
    parts = []
    steps = [
        step
        for state, step in zip(evidence.trials.state, evidence.trials.step, strict=True)
        if step and state == "completed"
    ]
    epochs = evidence.fixed.get("epochs")
    if epochs is not None:
        parts.append(f"for {epochs} epoch{'' if epochs == 1 else 's'}")
    elif steps and len(set(steps)) == 1:
        unit = evidence.step_unit
        parts.append(f"for {steps[0]} {unit}{'' if steps[0] == 1 or unit.endswith('s') else 's'}")
    if (dataset := evidence.fixed.get("dataset")) is not None:
        parts.append(f"on {dataset}")
    return f" {' '.join(parts)}" if parts else ""


def _refuse(unclear: Unclear, findings: Findings, evidence: Evidence) -> str:
    so_far = _quote_best(best_trial(findings.sample, evidence), evidence)
    if rate_name(evidence.space) is None:
        checked = findings.confirmation
        return (
            f"The learning rate was not searched, so there is nothing to say about it{so_far}{_quote_check(checked)}."
        )
    if unclear.advice is not None:
        return f"{unclear.advice}: {unclear.reason}{so_far}."
    more = "" if unclear.missing_trials is None else f" (about {unclear.missing_trials} more may do)"
    return f"Not enough trials to say which learning rate is best{more}: {unclear.reason}{so_far}."


def _no_answer(unclear: Unclear, sentence: str, findings: Findings) -> Answer:
    return Answer(
        sentence=sentence,
        words=Words.NONE,
        learning_rate=unknown(unclear.reason),
        batch_size=None,
        choices={},
        value=unknown(unclear.reason),
        confirmed=_confirmed(findings.confirmation),
        missing_trials=unclear.missing_trials,
        caveats=[],
        valley=[],
    )


def _confirmed(checked: Confirmation | None) -> Estimate:
    return unknown("no trials have checked the answer") if checked is None else checked.mean


def _quote_check(checked: Confirmation | None) -> str:
    if checked is None:
        return ""
    return f"; {checked.n} fresh trainings gave {_short(checked.mean)}"


def _short(estimate: Estimate) -> str:
    """Return an estimate in as many digits as tell its ends apart, three at least."""
    value, low, high = estimate.value, estimate.low, estimate.high
    assert value is not None, "a measured mean"
    assert low is not None, "a measured mean"
    assert high is not None, "a measured mean"
    if high - low <= ALIKE * abs(value):
        return f"{value:.6g} each"
    digits = next((n for n in range(3, _MOST_DIGITS) if f"{low:.{n}g}" != f"{high:.{n}g}"), _MOST_DIGITS)
    return f"{value:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def _caveats(findings: Findings, best: Spot, evidence: Evidence) -> list[str]:
    caveats = [f"{doubt[0].upper()}{doubt[1:]}." for doubt in findings.doubts[1:]]
    checked = findings.confirmation
    if checked is not None and not _is_same_batch(checked, best):
        caveats.append(
            f"The fresh trainings were at batch size {10**checked.log_batch:.0f}: what is told of "
            f"{10**best.log_batch:.0f} was not checked."
        )
    if best.is_held_back:
        caveats.append(
            f"The valley falls on to where training diverges: rates above {10**best.limit:.2g} are not recommended "
            f"(more than {MOST_CHANCE:.0%} of trainings may diverge there, or a trial did)."
        )
    if (other := findings.hardly_searched) is not None:
        caveats.append(
            f"A trial at {10**other:.2g} does much better than those between it and {10**best.rate:.2g}: there may be "
            "a second valley, which the search has hardly seen."
        )
    low, high = searched_rates(evidence.space, findings.about)
    if best.interval[0] < low - _SHOWN_ALIKE or best.interval[1] > high + _SHOWN_ALIKE:
        caveats.append(
            f"The interval reaches beyond the searched rates, {10**low:.2g} to {10**high:.2g}: nothing was tried there."
        )
    for contest in findings.contests:
        if len(contest.candidates) > 1:
            names = ", ".join(str(contest.choices[at]) for at in contest.candidates)
            caveats.append(f"The choices {names} of {contest.parameter} can't be told apart.")
    checked = findings.confirmation
    if checked is not None and checked.is_kept is False and checked.promised is not None:
        low, high = sorted(findings.sample.sign * end for end in checked.promised)
        caveats.append(
            f"The trials that checked the answer gave {checked.mean.value:.3g}, outside of the {low:.3g} to {high:.3g} "
            "that the search had promised."
        )
    if ACCUMULATION_NAME in evidence.space:
        caveats.append(f"Batch sizes count as {BATCH_NAME} times {ACCUMULATION_NAME}.")
    return caveats


def _picture(best: Spot, plateau: Plateau | None, sign: float) -> list[ValleyPoint]:
    """Return the valley within some decades of the rate, thinned to what a small picture can show."""
    if plateau is None:
        return []
    near = np.flatnonzero(np.abs(plateau.curve_x - best.rate) <= _PICTURE_DECADES)
    shown = near[np.unique(np.linspace(0, len(near) - 1, min(len(near), _PICTURE_POINTS)).astype(int))]
    return [
        ValleyPoint(
            learning_rate=float(10 ** plateau.curve_x[at]),
            value=scaled(
                Estimate(
                    value=float(plateau.curve[1, at]), low=float(plateau.curve[0, at]), high=float(plateau.curve[2, at])
                ),
                sign,
            ),
        )
        for at in shown
    ]


def _quote_best(best: BestTrial | None, evidence: Evidence) -> str:
    if best is None:
        return ""
    shown: dict[str, Scalar] = {name: best.params[name] for name in (*RATE_NAMES, BATCH_NAME) if name in best.params}
    shown = shown or dict(list(best.params.items())[:3])
    params = [
        f"{name.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in shown.items()
    ]
    at = f" at {', '.join(params)}" if params else ""
    so_far = "" if evidence.is_finished else " so far"
    return f"; the best trial{so_far} is number {best.number}: {evidence.objectives[0].metric} {best.value:.3g}{at}"


def _quote_range_test(evidence: Evidence) -> str:
    results = evidence.range_test.results if evidence.range_test else []
    found = [text for result in results if (text := _quote_sweeps(result))]
    if not found:
        state = "found no range to search" if evidence.is_finished else "has not finished"
        return f"This learning-rate range test {state}."
    refused = [f"nothing{_at(one)}, for {one.inconclusive}" for one in results if one.inconclusive is not None]
    return f"This learning-rate range test says where to search: {'; '.join([*found, *refused])}."


def _quote_sweeps(result: RangeTestResult) -> str | None:
    if result.suggestion is None or result.suggestion.value is None:
        return None
    low = f"from {result.low.value:.2g} " if result.low and result.low.value else ""
    high = f"up to {result.high.value:.2g}" if result.high and result.high.value else "upwards"
    known = [one for one in (result.low, result.suggestion, result.high) if one is not None and one.value is not None]
    caveats = dict.fromkeys(one.caveat for one in known if one.caveat is not None)
    why = "; ".join([f"{result.suggestion.value:.2g} is suggested", *caveats])
    return f"{low}{high}{_at(result)} ({why})"


def _at(result: RangeTestResult) -> str:
    return "" if result.batch_size is None else f" at batch size {result.batch_size}"
