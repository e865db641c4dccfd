"""The report of one job, put together from its parts, and of several jobs beside each other."""

import math

import numpy as np

from stepsize.analysis.answer import answer_of, batch_size_of, best_trial
from stepsize.analysis.comparisons import comparisons
from stepsize.analysis.divergence import divergence
from stepsize.analysis.findings import Findings, Unclear, find
from stepsize.analysis.importances import importances
from stepsize.analysis.intervals import deviation, known, of_draws, unknown, within
from stepsize.analysis.landscape import Landscape
from stepsize.analysis.law import scaling_law
from stepsize.analysis.sample import Sample, make_sample
from stepsize.analysis.sensitivity import noise_at
from stepsize.analysis.tables import by_batch_size, by_learning_rate, rate_of
from stepsize.domain.answer import Answer
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.job import JobKind
from stepsize.domain.report import (
    Report,
    ReportedObjective,
    Sensitivity,
)
from stepsize.spec.wording import counted

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
        objective=objective_of(evidence),
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
        divergence=divergence(findings.about, findings.danger, choices=choices),
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


def objective_of(evidence: Evidence) -> ReportedObjective:
    first = evidence.objectives[0]
    return ReportedObjective(metric=first.metric, direction=first.direction)


def _best_trial_rate(sample: Sample) -> float | None:
    rows = sample.ranked[np.isfinite(sample.log_rate[sample.ranked])]
    return float(10 ** sample.log_rate[rows[0]]) if len(rows) else None


def _noise(findings: Findings) -> Estimate:
    """Return the standard deviation between trainings that should be alike: repeated ones, else what the fit leaves."""
    repeated = findings.sample.repeated()
    df = sum(len(costs) - 1 for costs in repeated)
    if df:
        return deviation(sum(float(((c - c.mean()) ** 2).sum()) for c in repeated) / df, df)
    if isinstance(findings.landscape, Unclear) or isinstance(findings.best, Unclear):
        return unknown("nothing was trained twice, and there is no fit whose scatter could stand in for them")
    found = of_draws(noise_at(findings.landscape, findings.best))
    caveat = "nothing was trained twice: the scatter of trials around the fitted valley stands in for them"
    return found.model_copy(update={"caveat": caveat})


def _caveats(evidence: Evidence, findings: Findings, answer: Answer) -> list[str]:
    if evidence.kind is JobKind.RANGE_TEST:
        return []
    sample = findings.sample
    caveats = []
    if not evidence.is_finished:
        caveats.append("The job has not finished: the next trials may change all of this.")
    if evidence.provenance_warning is not None:
        caveats.append(f"{evidence.provenance_warning[0].upper()}{evidence.provenance_warning[1:]}.")
    if len(evidence.objectives) > 1:
        others = ", ".join(objective.metric for objective in evidence.objectives[1:])
        caveats.append(f"About {evidence.objectives[0].metric} alone; the job optimises {others} too: see its front.")
    if answer.choices:
        chosen = ", ".join(f"{name} {choice}" for name, choice in answer.choices.items())
        caveats.append(
            "The law, the sensitivity, the recommendation, the batch sizes and the divergence are about trials with "
            f"{chosen} only."
        )
    if beyond := ", ".join(f"{10**at:.0f}" for at in sorted(findings.edges) if at):
        caveats.append(f"At batch size {beyond} the best learning rate lies beyond those searched: widen the space.")
    n_predicted = int((sample.pruned & sample.has_cost).sum())
    n_pruned = int(sample.pruned.sum())
    if n_pruned:
        caveats.append(
            f"Pruned: {counted(n_pruned, 'trial')}; {n_predicted} of them count with a value predicted from their last "
            "report."
        )
    return [*answer.caveats, *caveats]
