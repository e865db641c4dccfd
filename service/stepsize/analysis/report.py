"""The report of one job, put together from its parts, and of several jobs beside each other."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from stepsize.analysis.answer import answer_of, batch_size_of, best_trial
from stepsize.analysis.arrays import Floats
from stepsize.analysis.comparisons import comparisons
from stepsize.analysis.divergence import divergence
from stepsize.analysis.findings import Findings, Unclear, find
from stepsize.analysis.importances import importances
from stepsize.analysis.intervals import deviation, known, of_draws, power_of_ten, unknown, within
from stepsize.analysis.landscape import Landscape, Spot
from stepsize.analysis.law import scaling_law
from stepsize.analysis.sample import Sample, make_sample
from stepsize.analysis.sensitivity import noise_at
from stepsize.analysis.tables import by_batch_size, by_learning_rate, rate_of
from stepsize.domain.answer import Answer
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.job import JobKind
from stepsize.domain.report import (
    JobPair,
    JobRow,
    JobsReport,
    RateRange,
    Report,
    ReportedObjective,
    Sensitivity,
)
from stepsize.spec.space import Scalar

_MOST_PAIRED = 10


def make_report(evidence: Evidence, findings: Findings | None = None) -> Report:
    """Return what a job teaches about its learning rate, with whatever trials there are.

    Args:
        findings: what its trials say, where that has been found already.
    """
    findings = find(make_sample(evidence), evidence) if findings is None else findings
    sample = findings.sample
    answer = answer_of(findings, evidence)
    choices = dict(findings.landscape.choices) if isinstance(findings.landscape, Landscape) else {}
    return Report(
        job_id=evidence.job_id,
        job_name=evidence.job_name,
        change=evidence.change,
        kind=evidence.kind,
        trainer=evidence.trainer,
        objective=_objective(evidence),
        n_trials=sum(evidence.counts.values()),
        counts=evidence.counts,
        noise=_noise(findings),
        focus=choices,
        best_trial=best_trial(sample, evidence),
        by_learning_rate=by_learning_rate(sample, evidence),
        by_batch_size=by_batch_size(findings),
        scaling_law=scaling_law(findings),
        sensitivity=sensitivity(findings),
        comparisons=comparisons(findings, evidence.space),
        importances=importances(sample, evidence),
        divergence=divergence(findings.about, findings.danger),
        answer=answer,
        recommendation=answer.sentence,
        confidence=answer.words,
        caveats=_caveats(evidence, findings, answer),
    )


def sensitivity(findings: Findings) -> Sensitivity:
    """Return how wide the good region is, at the batch size that is recommended."""
    spot, plateau = findings.best, findings.plateau
    rate = _best_trial_rate(findings.about)
    if isinstance(spot, Unclear) or plateau is None:
        reason = spot.reason if isinstance(spot, Unclear) else "no plateau"
        nothing = unknown(reason)
        return Sensitivity(
            batch_size=None,
            tolerance=0.0,
            plateau_low=None,
            plateau_high=None,
            width_decades=nothing,
            plateau_centre=nothing,
            recommended_rate=nothing,
            best_trial_rate=rate,
            sentence=f"How exactly the learning rate must be met can't be said: {reason}.",
            caveat=reason,
        )
    size = batch_size_of(findings, spot)
    where = "" if size is None else f" at batch size {size}"
    low, high = 10**plateau.low, 10**plateau.high
    flat = ": the valley is flat" if plateau.is_flat else ""
    return Sensitivity(
        batch_size=size,
        tolerance=plateau.tolerance,
        plateau_low=low,
        plateau_high=high,
        width_decades=within(of_draws(plateau.widths), plateau.high - plateau.low),
        plateau_centre=known(math.sqrt(low * high)),
        recommended_rate=rate_of(spot),
        best_trial_rate=rate,
        sentence=f"Learning rates from {low:.2g} to {high:.2g} ({plateau.high - plateau.low:.2f} decades) stay within "
        f"{plateau.tolerance:.2g} of the best value{where}{flat}.",
        caveat=findings.doubts[0] if findings.doubts else None,
    )


def compare_jobs(evidences: Sequence[Evidence], findings: Sequence[Findings] | None = None) -> JobsReport:
    """Return several jobs' answers beside each other: what differs between them, and which rate each wants.

    Args:
        findings: what the trials of each say, where that has been found already.
    """
    settings = _differing([_settings(evidence) for evidence in evidences])
    found = [find(make_sample(one), one) for one in evidences] if findings is None else findings
    rows = [_job_row(*one) for one in zip(evidences, found, settings, strict=True)]
    caveats = []
    if len({_axis(evidence) for evidence in evidences}) > 1:
        caveats.append("The jobs have different objectives or data: compare their rates, not their values.")
    names = dict.fromkeys(name for row in rows for name in row.differs)
    by_setting = [group for name in names for group in _group(rows, name)]
    pairs = _pairs(rows, evidences, found)
    return JobsReport(
        jobs=rows, by_setting=by_setting, pairs=pairs, sentence=_compare_sentence(rows, pairs), caveats=caveats
    )


def _objective(evidence: Evidence) -> ReportedObjective:
    first = evidence.objectives[0]
    return ReportedObjective(metric=first.metric, direction=first.direction)


def _best_trial_rate(sample: Sample) -> float | None:
    rows = np.flatnonzero(sample.completed & np.isfinite(sample.cost) & np.isfinite(sample.log_rate))
    if not len(rows):
        return None
    return float(10 ** sample.log_rate[rows[np.argmin(sample.cost[rows])]])


def _noise(findings: Findings) -> Estimate:
    """Return the standard deviation between trainings that should be alike: replicates, else what the fit leaves."""
    sample = findings.sample
    alike, sizes = np.unique(sample.group, return_counts=True)
    groups = [sample.cost[sample.completed & (sample.group == one)] for one in alike[sizes > 1]]
    repeated = [costs for costs in groups if len(costs) > 1]
    df = sum(len(costs) - 1 for costs in repeated)
    if df:
        return deviation(sum(float(((c - c.mean()) ** 2).sum()) for c in repeated) / df, df)
    if isinstance(findings.landscape, Unclear) or isinstance(findings.best, Unclear):
        return unknown("no replicates, and no fit whose scatter could stand in for them")
    found = of_draws(noise_at(findings.landscape, findings.best))
    caveat = "no replicates: the scatter of trials around the fitted valley stands in for them"
    return found.model_copy(update={"caveat": caveat})


def _caveats(evidence: Evidence, findings: Findings, answer: Answer) -> list[str]:
    if evidence.kind is JobKind.RANGE_TEST:
        return []
    sample = findings.sample
    caveats = []
    if not evidence.is_finished:
        caveats.append("The job has not finished: the next trials may change all of this.")
    if len(evidence.objectives) > 1:
        others = ", ".join(objective.metric for objective in evidence.objectives[1:])
        caveats.append(f"About {evidence.objectives[0].metric} alone; the job optimises {others} too: see its front.")
    if answer.choices:
        chosen = ", ".join(f"{name} {choice}" for name, choice in answer.choices.items())
        caveats.append(f"The law, the sensitivity and the recommendation are about trials with {chosen} only.")
    if beyond := ", ".join(f"{10**at:.0f}" for at in sorted(findings.edges) if at):
        caveats.append(f"At batch size {beyond} the best learning rate lies beyond those searched: widen the space.")
    n_predicted = int((sample.pruned & sample.has_cost).sum())
    n_pruned = int(sample.pruned.sum())
    if n_pruned:
        caveats.append(
            f"{n_pruned} trials were pruned; {n_predicted} of them count with a value predicted from their last report."
        )
    return [*answer.caveats, *caveats]


def _settings(evidence: Evidence) -> dict[str, Scalar]:
    return {"trainer": evidence.trainer, **evidence.fixed}


def _differing(settings: Sequence[Mapping[str, Scalar]]) -> list[dict[str, Scalar | None]]:
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({repr(one.get(name)) for one in settings}) > 1]
    return [{name: one.get(name) for name in differing} for one in settings]


def _axis(evidence: Evidence) -> tuple[str, str, Scalar | None]:
    """Return what must be the same for values to stand on one axis."""
    objective = evidence.objectives[0]
    return objective.metric, objective.direction, evidence.fixed.get("dataset")


def _job_row(evidence: Evidence, findings: Findings, differs: dict[str, Scalar | None]) -> JobRow:
    answer, found = answer_of(findings, evidence), sensitivity(findings)
    return JobRow(
        job_id=evidence.job_id,
        job_name=evidence.job_name,
        trainer=evidence.trainer,
        differs=differs,
        n_completed=int(findings.sample.completed.sum()),
        batch_size=answer.batch_size,
        recommended_rate=answer.learning_rate,
        value=answer.value,
        best_trial=best_trial(findings.sample, evidence),
        width_decades=found.width_decades,
        b=scaling_law(findings).b,
        objective=_objective(evidence),
        confidence=answer.words,
        recommendation=answer.sentence,
    )


def _pairs(rows: Sequence[JobRow], evidences: Sequence[Evidence], found: Sequence[Findings]) -> list[JobPair]:
    """Return the jobs that have an answer two by two."""
    known_ones = [at for at, one in enumerate(found) if isinstance(one.best, Spot)][:_MOST_PAIRED]
    pairs = list(combinations(known_ones, 2))
    level = 1 - 0.05 / max(1, len(pairs))
    return [_pair((rows[one], rows[two]), (found[one], found[two]), level,
                  is_one_axis=_axis(evidences[one]) == _axis(evidences[two])) for one, two in pairs]  # fmt: skip


def _pair(rows: tuple[JobRow, JobRow], found: tuple[Findings, Findings], level: float, *, is_one_axis: bool) -> JobPair:
    first, second = found[0].best, found[1].best
    assert isinstance(first, Spot), "pairs are made of jobs with an answer"
    assert isinstance(second, Spot), "pairs are made of jobs with an answer"
    ratio = of_draws(_apart(second.rates, first.rates), level=level)
    gain = unknown("different objectives or data: their values can't stand on one axis")
    if is_one_axis:
        gain = of_draws(_apart(first.values, second.values), level=level)
    return JobPair(
        job_ids=(rows[0].job_id, rows[1].job_id),
        rate_ratio=power_of_ten(ratio),
        improvement=gain,
        sentence=_pair_sentence((_name(rows[0]), _name(rows[1])), ratio, gain),
    )


def _apart(one: Floats, two: Floats) -> Floats:
    """Return draws of the difference between two jobs' numbers, whose draws have nothing to do with each other."""
    n = min(len(one), len(two))
    return np.asarray(one[:n] - np.random.default_rng(0).permutation(two)[:n])


def _pair_sentence(names: tuple[str, str], ratio: Estimate, gain: Estimate) -> str:
    first, second = names
    rates = f"the best learning rates of {first} and {second} can't be told apart"
    if _is_apart(ratio):
        assert ratio.value is not None, "known"
        side = "higher" if ratio.value > 0 else "lower"
        rates = f"{second} wants {10 ** abs(ratio.value):.2g} times {side} rates than {first}"
    if gain.value is None:
        return f"{rates[0].upper()}{rates[1:]}."
    values = "their values can't be told apart"
    if _is_apart(gain):
        values = f"{second if gain.value > 0 else first} does better"
    return f"{rates[0].upper()}{rates[1:]}; {values}."


def _is_apart(difference: Estimate) -> bool:
    assert difference.low is not None, "known"
    assert difference.high is not None, "known"
    return difference.low > 0 or difference.high < 0


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


def _compare_sentence(rows: Sequence[JobRow], pairs: Sequence[JobPair]) -> str:
    known_ones = [row for row in rows if row.recommended_rate.value]
    if len(known_ones) < 2:
        return f"{len(known_ones)} of {len(rows)} jobs have enough trials to say which learning rate is best."
    low = min(known_ones, key=lambda row: row.recommended_rate.value or 0.0)
    high = max(known_ones, key=lambda row: row.recommended_rate.value or 0.0)
    assert low.recommended_rate.value is not None, "known"
    assert high.recommended_rate.value is not None, "known"
    factor = high.recommended_rate.value / low.recommended_rate.value
    differ = [pair for pair in pairs if (pair.rate_ratio.low or 0) > 1 or (pair.rate_ratio.high or math.inf) < 1]
    told = "no two of which can be told apart" if not differ else f"and {len(differ)} of {len(pairs)} pairs differ"
    return (
        f"The best learning rate runs from {low.recommended_rate.value:.2g} ({_name(low)}) to "
        f"{high.recommended_rate.value:.2g} ({_name(high)}), a factor of {factor:{'.0f' if factor >= 10 else '.2g'}}, "
        f"{told}."
    )


def _name(row: JobRow) -> str:
    settings = ", ".join(f"{name} {choice}" for name, choice in row.differs.items() if choice is not None)
    return row.job_name or settings or row.job_id
