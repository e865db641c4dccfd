"""The report of one job, put together from its parts, and of several jobs beside each other."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from stepsize.analysis.comparisons import comparisons
from stepsize.analysis.divergence import divergence
from stepsize.analysis.importances import importances
from stepsize.analysis.intervals import scaled, unknown
from stepsize.analysis.law import Focus, find_focus, noise, scaling_law, sensitivity, unseen_batch_sizes
from stepsize.analysis.sample import BATCH_NAME, RATE_NAMES, Sample, make_sample
from stepsize.analysis.tables import by_batch_size, by_learning_rate
from stepsize.analysis.valley import Unclear, Valley
from stepsize.domain.evidence import Evidence
from stepsize.domain.job import JobKind
from stepsize.domain.range_test import RangeTestResult
from stepsize.domain.report import (
    BestTrial,
    Confidence,
    JobRow,
    JobsReport,
    RateRange,
    Report,
    ReportedObjective,
    Sensitivity,
)
from stepsize.spec.space import Scalar

_GOOD_DECADES, _GOOD_TRIALS = 0.3, 30
"""An interval of the rate narrower than a factor of two, resting on this many trials."""
_FAIR_DECADES = 0.7
_WORDS = {
    Confidence.GOOD: "well supported",
    Confidence.FAIR: "fairly sure",
    Confidence.LOW: "a rough guess",
}


def make_report(evidence: Evidence) -> Report:
    """Return what a job teaches about its learning rate, with whatever trials there are."""
    sample = make_sample(evidence)
    focus = find_focus(sample, evidence.space)
    found = sensitivity(focus)
    best = _best_trial(sample, evidence)
    confidence = _confidence(found, focus)
    return Report(
        job_id=evidence.job_id,
        job_name=evidence.job_name,
        change=evidence.change,
        kind=evidence.kind,
        trainer=evidence.trainer,
        objective=_objective(evidence),
        n_trials=sum(evidence.counts.values()),
        counts=evidence.counts,
        noise=noise(sample, focus.valley),
        focus=dict(focus.choices),
        best_trial=best,
        by_learning_rate=by_learning_rate(sample, evidence),
        by_batch_size=by_batch_size(focus.sample, focus.valley),
        scaling_law=scaling_law(focus),
        sensitivity=found,
        comparisons=comparisons(sample, evidence.space),
        importances=importances(sample, evidence),
        divergence=divergence(sample),
        recommendation=_recommend(found, focus, confidence, best, evidence),
        confidence=confidence,
        caveats=_caveats(evidence, sample, focus),
    )


def compare_jobs(evidences: Sequence[Evidence]) -> JobsReport:
    """Return several jobs' answers beside each other: what differs between them, and which rate each wants."""
    settings = _differing([_settings(evidence) for evidence in evidences])
    rows = [_job_row(evidence, differs) for evidence, differs in zip(evidences, settings, strict=True)]
    caveats = []
    if len({(row.objective.metric, row.objective.direction) for row in rows}) > 1:
        caveats.append("The jobs have different objectives: compare their rates, not their values.")
    names = dict.fromkeys(name for row in rows for name in row.differs)
    by_setting = [group for name in names for group in _group(rows, name)]
    return JobsReport(jobs=rows, by_setting=by_setting, sentence=_compare_sentence(rows), caveats=caveats)


def _objective(evidence: Evidence) -> ReportedObjective:
    first = evidence.objectives[0]
    return ReportedObjective(metric=first.metric, direction=first.direction)


def _best_trial(sample: Sample, evidence: Evidence) -> BestTrial | None:
    if evidence.kind is JobKind.RANGE_TEST:
        return None  # the last loss of a sweep, which rises until it explodes, tells nothing
    rows = np.flatnonzero(sample.completed & np.isfinite(sample.cost) & (sample.group == sample.number))
    if not len(rows):
        return None
    row = int(rows[np.argmin(sample.cost[rows])])
    params = {name: value for name, value in sample.params[row].items() if name in evidence.space}
    return BestTrial(number=int(sample.number[row]), value=float(sample.sign * sample.cost[row]), params=params)


def _confidence(found: Sensitivity, focus: Focus) -> Confidence:
    rate = found.recommended_rate
    if isinstance(focus.valley, Unclear) or not rate.low or not rate.high:
        return Confidence.NONE
    decades = math.log10(rate.high / rate.low)
    if decades <= _GOOD_DECADES and focus.valley.n_trials >= _GOOD_TRIALS and focus.valley.is_parabola:
        return Confidence.GOOD
    return Confidence.FAIR if decades <= _FAIR_DECADES else Confidence.LOW


def _recommend(
    found: Sensitivity, focus: Focus, confidence: Confidence, best: BestTrial | None, evidence: Evidence
) -> str:
    if evidence.kind is JobKind.RANGE_TEST:
        return _quote_range_test(evidence)
    rate = found.recommended_rate
    if isinstance(focus.valley, Valley) and confidence is not Confidence.NONE:
        where = "" if found.batch_size is None else f" at batch size {found.batch_size}"
        choices = "".join(f", with {name} {choice}" for name, choice in focus.choices.items())
        use = f"For {evidence.objectives[0].metric} alone, use" if len(evidence.objectives) > 1 else "Use"
        return (
            f"{use} a learning rate of {rate.value:.3g} (95 % interval {rate.low:.3g} to {rate.high:.3g})"
            f"{where}{choices}: {_WORDS[confidence]}, from {focus.valley.n_trials} trials around it."
        )
    so_far = _quote_best(best, evidence)
    if not any(name in evidence.space for name in RATE_NAMES):
        return f"The learning rate was not searched, so there is nothing to say about it{so_far}."
    valley = focus.valley
    if isinstance(valley, Unclear) and valley.advice is not None:
        return f"{valley.advice}: {valley.reason}{so_far}."
    reason = valley.reason if isinstance(valley, Unclear) else "the interval has no ends"
    return f"Not enough trials to say which learning rate is best: {reason}{so_far}."


def _quote_range_test(evidence: Evidence) -> str:
    results = evidence.range_test.results if evidence.range_test else []
    found = [text for result in results if (text := _quote_sweeps(result))]
    if not found:
        state = "found no range to search" if evidence.is_finished else "has not finished"
        return f"This learning-rate range test {state}."
    return f"This learning-rate range test says where to search: {'; '.join(found)}."


def _quote_sweeps(result: RangeTestResult) -> str | None:
    if result.suggestion is None or result.suggestion.value is None:
        return None
    low = f"from {result.low.value:.2g} " if result.low and result.low.value else ""
    high = f"up to {result.high.value:.2g}" if result.high and result.high.value else "upwards"
    at = "" if result.batch_size is None else f" at batch size {result.batch_size}"
    return f"{low}{high}{at} ({result.suggestion.value:.2g} is suggested)"


def _quote_best(best: BestTrial | None, evidence: Evidence) -> str:
    if best is None:
        return ""
    shown = {name: best.params[name] for name in (*RATE_NAMES, BATCH_NAME) if name in best.params}
    shown = shown or dict(list(best.params.items())[:3])
    params = [
        f"{name.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in shown.items()
    ]
    at = f" at {', '.join(params)}" if params else ""
    so_far = "" if evidence.is_finished else " so far"
    return f"; the best trial{so_far} is number {best.number}: {evidence.objectives[0].metric} {best.value:.3g}{at}"


def _caveats(evidence: Evidence, sample: Sample, focus: Focus) -> list[str]:
    if evidence.kind is JobKind.RANGE_TEST:
        return []
    caveats = []
    if not evidence.is_finished:
        caveats.append("The job has not finished: the next trials may change all of this.")
    if len(evidence.objectives) > 1:
        others = ", ".join(objective.metric for objective in evidence.objectives[1:])
        caveats.append(f"About {evidence.objectives[0].metric} alone; the job optimises {others} too: see its front.")
    if focus.choices:
        chosen = ", ".join(f"{name} {choice}" for name, choice in focus.choices.items())
        caveats.append(f"The law, the sensitivity and the recommendation are about trials with {chosen} only.")
    if unseen := ", ".join(map(str, unseen_batch_sizes(focus))):
        caveats.append(f"At batch size {unseen} the best learning rate lies beyond those searched: widen the space.")
    n_predicted = int((sample.pruned & (sample.weight > 0)).sum())
    n_pruned = int(sample.pruned.sum())
    if n_pruned:
        caveats.append(
            f"{n_pruned} trials were pruned; {n_predicted} of them count with a value predicted from their last report."
        )
    return caveats


def _settings(evidence: Evidence) -> dict[str, Scalar]:
    return {"trainer": evidence.trainer, **evidence.fixed}


def _differing(settings: Sequence[Mapping[str, Scalar]]) -> list[dict[str, Scalar | None]]:
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({repr(one.get(name)) for one in settings}) > 1]
    return [{name: one.get(name) for name in differing} for one in settings]


def _job_row(evidence: Evidence, differs: dict[str, Scalar | None]) -> JobRow:
    sample = make_sample(evidence)
    focus = find_focus(sample, evidence.space)
    found, best = sensitivity(focus), _best_trial(sample, evidence)
    confidence = _confidence(found, focus)
    if isinstance(focus.valley, Unclear):
        value = unknown(focus.valley.reason)
    else:
        at = 0.0 if found.batch_size is None else math.log10(found.batch_size)
        value = scaled(focus.valley.cost(at), sample.sign)
    return JobRow(
        job_id=evidence.job_id,
        job_name=evidence.job_name,
        trainer=evidence.trainer,
        differs=differs,
        n_completed=int(sample.completed.sum()),
        batch_size=found.batch_size,
        recommended_rate=found.recommended_rate,
        value=value,
        best_trial=best,
        width_decades=found.width_decades,
        b=scaling_law(focus).b,
        objective=_objective(evidence),
        confidence=confidence,
        recommendation=_recommend(found, focus, confidence, best, evidence),
    )


def _group(rows: Sequence[JobRow], name: str) -> list[RateRange]:
    choices = {repr(row.differs.get(name)): row.differs.get(name) for row in rows}
    groups = []
    for key, choice in choices.items():
        mine = [row for row in rows if repr(row.differs.get(name)) == key]
        rates = [row.recommended_rate.value for row in mine if row.recommended_rate.value]
        groups.append(
            RateRange(
                parameter=name,
                choice=choice,
                job_ids=[row.job_id for row in mine],
                lowest_rate=min(rates, default=None),
                highest_rate=max(rates, default=None),
                typical_rate=math.exp(sum(map(math.log, rates)) / len(rates)) if rates else None,
            )
        )
    return groups


def _compare_sentence(rows: Sequence[JobRow]) -> str:
    known = [row for row in rows if row.recommended_rate.value]
    if len(known) < 2:
        return f"{len(known)} of {len(rows)} jobs have enough trials to say which learning rate is best."
    low = min(known, key=lambda row: row.recommended_rate.value or 0.0)
    high = max(known, key=lambda row: row.recommended_rate.value or 0.0)
    assert low.recommended_rate.value is not None, "known"
    assert high.recommended_rate.value is not None, "known"
    factor = high.recommended_rate.value / low.recommended_rate.value
    return (
        f"The best learning rate runs from {low.recommended_rate.value:.2g} ({_name(low)}) to "
        f"{high.recommended_rate.value:.2g} ({_name(high)}), a factor of {factor:{'.0f' if factor >= 10 else '.2g'}}."
    )


def _name(row: JobRow) -> str:
    settings = ", ".join(f"{name} {choice}" for name, choice in row.differs.items() if choice is not None)
    return row.job_name or settings or row.job_id
