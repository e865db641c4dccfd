"""The report of several jobs: their answers beside each other, and the choices of each setting that differs."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from stepsize.analysis.answer import answer_of, best_trial
from stepsize.analysis.findings import Findings, find
from stepsize.analysis.intervals import of_draws, power_of_ten, share, unknown
from stepsize.analysis.landscape import Spot
from stepsize.analysis.law import scaling_law
from stepsize.analysis.matches import (
    Difference,
    Match,
    Row,
    Valley,
    apart,
    common_batch,
    found_job,
    fresh_values,
    known_rates,
    match_setting,
)
from stepsize.analysis.report import objective_of, sensitivity
from stepsize.analysis.sample import make_sample
from stepsize.analysis.settings import APART, axis_of, names_to_compare, setup_of
from stepsize.analysis.tables import best_value, by_learning_rate, mean_time, rate_bands
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.job import JobKind
from stepsize.domain.jobs_report import (
    JobPair,
    JobRow,
    JobsReport,
    RateRange,
    SettingPair,
    SettingRow,
    SettingTable,
)
from stepsize.spec.space import Scalar

_MOST_PAIRED = 10
_MOST_TABLES = 12


def compare_jobs(evidences: Sequence[Evidence], findings: Sequence[Findings] | None = None) -> JobsReport:
    """Return several jobs' answers beside each other: what differs between them, and which rate each wants.

    Args:
        findings: what the trials of each say, where that has been found already.
    """
    settings = _differing([setup_of(evidence).fixed for evidence in evidences])
    found = [find(make_sample(one), one) for one in evidences] if findings is None else findings
    rows = [_job_row(*one) for one in zip(evidences, found, settings, strict=True)]
    caveats = []
    if len({axis_of(evidence) for evidence in evidences}) > 1:
        caveats.append("The jobs have different objectives, data or trainers: compare their rates, not their values.")
    if len({one for evidence in evidences for one in evidence.provenances}) > 1:
        caveats.append(
            "Trials of these jobs ran under different provenance (code, packages or machine): what differs between the "
            "jobs may differ for that. `stepsize provenance JOB JOB` says what is."
        )
    names = dict.fromkeys(name for row in rows for name in row.differs)
    by_setting = [group for name in names for group in _group(rows, name)]
    pairs = _pairs(rows, evidences, found)
    if sum(isinstance(one.best, Spot) for one in found) > _MOST_PAIRED:
        caveats.append(f"Compared two by two: the first {_MOST_PAIRED} jobs with an answer. Ask about fewer jobs.")
    jobs = [found_job(*one) for one in zip(evidences, found, strict=True) if one[0].kind is not JobKind.RANGE_TEST]
    varied = names_to_compare([job.setup for job in jobs], [job.findings.sample for job in jobs])
    if len(varied) > _MOST_TABLES:
        caveats.append(f"Not compared: {', '.join(varied[_MOST_TABLES:])}. Ask about fewer jobs.")
    tables: list[SettingTable] = []
    for name in varied[:_MOST_TABLES]:
        tables.append(_table(match_setting(jobs, name), tables))
    return JobsReport(
        jobs=rows, tables=tables, by_setting=by_setting, pairs=pairs,
        sentence=_compare_sentence(rows, pairs), caveats=caveats,
    )  # fmt: skip


def _table(match: Match, earlier: Sequence[SettingTable]) -> SettingTable:
    where = _where(match.rows)
    rows = [_row(*one) for one in zip(match.rows, match.valleys, where, strict=True)]
    pairs = [_setting_pair(rows, difference) for difference in match.differences]
    caveats = []
    if match.left_out:
        caveats.append(f"left out, having the fewest trials: {', '.join(map(str, match.left_out))}")
    if len(pairs) > 1:
        caveats.append(f"the intervals of all {len(pairs)} pairs hold together")
    return SettingTable(
        parameter=match.name,
        rows=rows,
        pairs=pairs,
        sentence=_table_sentence(match.name, rows, pairs),
        caveat="; ".join(caveats) or None,
        same_rows_as=tuple(one.parameter for one in earlier if _jobs_of(rows) == _jobs_of(one.rows) is not None),
    )


def _jobs_of(rows: Sequence[SettingRow]) -> list[list[str]] | None:
    """Return the jobs of each row, in order; None: a job's trials stand in several rows."""
    jobs = sorted(sorted(row.job_ids) for row in rows)
    ids = [one for row in jobs for one in row]
    return jobs if len(ids) == len(set(ids)) else None


def _row(row: Row, valley: Valley, where: dict[str, Scalar | None]) -> SettingRow:
    sample = row.sample
    everything = np.ones(len(sample), dtype=bool)
    return SettingRow(
        choice=row.choice,
        where=where,
        job_ids=[job.evidence.job_id for job in row.jobs],
        objective=objective_of(row.jobs[0].evidence),
        batch_size=None if valley.log_batch is None else round(10**valley.log_batch),
        n_trials=len(sample),
        n_completed=int(sample.completed.sum()),
        learning_rate=valley.learning_rate,
        value=valley.value,
        best_trial=best_value(sample, everything),
        train_time_s=mean_time(sample, sample.completed),
        diverged_share=share(int(sample.diverged.sum()), len(sample)),
        by_learning_rate=rate_bands(sample, row.metrics, row.limits),
    )


def _where(rows: Sequence[Row]) -> list[dict[str, Scalar | None]]:
    """Return what tells rows apart beside their choice: settings that several have, and that are not alike."""
    names = dict.fromkeys(name for row in rows for name in row.others)
    told = []
    for name in names:
        having = [row.others[name] for row in rows if name in row.others]
        if len(having) > 1 and len(set(having)) > 1:
            told.append(name)
    where: list[dict[str, Scalar | None]] = [
        {name: row.jobs[0].setup.fixed.get(name) for name in told if name in row.others} for row in rows
    ]
    labels = [(row.choice, *one.items()) for row, one in zip(rows, where, strict=True)]
    if len(set(labels)) < len(labels):  # one job fixes what another searches
        for row, one in zip(rows, where, strict=True):
            one["job"] = ", ".join(job.evidence.job_name or job.evidence.job_id for job in row.jobs)
    return where


def _setting_pair(rows: Sequence[SettingRow], difference: Difference) -> SettingPair:
    one, two = difference.rows
    names = (_row_name(rows[one], rows), _row_name(rows[two], rows))
    return SettingPair(
        rows=difference.rows,
        batch_size=None if difference.log_batch is None else round(10**difference.log_batch),
        rate_ratio=power_of_ten(difference.log_ratio),
        improvement=difference.improvement,
        sentence=_pair_sentence(names, difference.log_ratio, difference.improvement),
    )


def _row_name(row: SettingRow, rows: Sequence[SettingRow]) -> str:
    namesakes = [one for one in rows if repr(one.choice) == repr(row.choice)]
    told = ", ".join(f"{name} {value}" for name, value in row.where.items() if value is not None)
    return f"{row.choice} ({told})" if len(namesakes) > 1 and told else str(row.choice)


def _table_sentence(name: str, rows: Sequence[SettingRow], pairs: Sequence[SettingPair]) -> str:
    if not pairs:
        others = ", ".join(dict.fromkeys(other for row in rows for other in row.where))
        if others:
            return f"No two of these jobs differ in {name} alone ({others} differ too), so none are compared."
        return f"Not enough trials to compare the choices of {name}."
    rates = sum(not _holds(pair.rate_ratio, 1.0) for pair in pairs)
    told = [pair for pair in pairs if pair.improvement.value is not None]
    values = sum(not _holds(pair.improvement, 0.0) for pair in told)
    beside = f", and the values in {values}" if told else "; their values can't stand on one axis"
    n = "one pair that differs" if len(pairs) == 1 else f"{len(pairs)} pairs that differ"
    alone = _differing_with(name, rows, pairs)
    return f"Of {n} in {alone} alone, the best learning rates can be told apart in {rates}{beside}."


def _differing_with(name: str, rows: Sequence[SettingRow], pairs: Sequence[SettingPair]) -> str:
    """Return a setting and those that differ with it: a trainer comes with its data."""
    wheres = [(rows[one].where, rows[two].where) for one, two in (pair.rows for pair in pairs)]
    others = [other for other in rows[0].where if any(one.get(other) != two.get(other) for one, two in wheres)]
    return " and ".join([name, *(other for other in others if other in APART)])


def _holds(estimate: Estimate, value: float) -> bool:
    assert estimate.low is not None, "known"
    assert estimate.high is not None, "known"
    return estimate.low <= value <= estimate.high


def _differing(settings: Sequence[Mapping[str, Scalar]]) -> list[dict[str, Scalar | None]]:
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({repr(one.get(name)) for one in settings}) > 1]
    return [{name: one.get(name) for name in differing} for one in settings]


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
        objective=objective_of(evidence),
        confidence=answer.words,
        recommendation=answer.sentence,
        by_learning_rate=by_learning_rate(findings.sample, evidence),
    )


def _pairs(rows: Sequence[JobRow], evidences: Sequence[Evidence], found: Sequence[Findings]) -> list[JobPair]:
    """Return the jobs that have an answer two by two."""
    known_ones = [at for at, one in enumerate(found) if isinstance(one.best, Spot)][:_MOST_PAIRED]
    pairs = list(combinations(known_ones, 2))
    level = 1 - 0.05 / max(1, len(pairs))
    return [_pair((rows[one], rows[two]), (found[one], found[two]), level,
                  is_one_axis=axis_of(evidences[one]) == axis_of(evidences[two])) for one, two in pairs]  # fmt: skip


def _pair(rows: tuple[JobRow, JobRow], found: tuple[Findings, Findings], level: float, *, is_one_axis: bool) -> JobPair:
    first, second = found[0].best, found[1].best
    assert isinstance(first, Spot), "pairs are made of jobs with an answer"
    assert isinstance(second, Spot), "pairs are made of jobs with an answer"
    rates = known_rates(found[0]), known_rates(found[1])
    at = common_batch(*rates)
    drawn = (first.rates, second.rates) if at is None else (rates[0][at], rates[1][at])
    ratio = of_draws(apart(drawn[1], drawn[0]), level=level)
    gain = unknown("different objectives, data or trainers: their values can't stand on one axis")
    if is_one_axis:
        gain = of_draws(apart(fresh_values(found[0], first), fresh_values(found[1], second)), level=level)
    return JobPair(
        job_ids=(rows[0].job_id, rows[1].job_id),
        batch_size=None if at is None or rows[0].batch_size is None else round(10**at),
        rate_ratio=power_of_ten(ratio),
        improvement=gain,
        sentence=_pair_sentence((_name(rows[0]), _name(rows[1])), ratio, gain),
    )


def _pair_sentence(names: tuple[str, str], ratio: Estimate, gain: Estimate) -> str:
    first, second = names
    rates = f"The best learning rates of {first} and {second} can't be told apart"
    if _is_apart(ratio):
        assert ratio.value is not None, "known"
        side = "higher" if ratio.value > 0 else "lower"
        rates = f"{second} wants {_times(10 ** abs(ratio.value))} times {side} rates than {first}"
    if gain.value is None:
        return f"{rates}."
    values = "their values can't be told apart"
    if _is_apart(gain):
        values = f"{second if gain.value > 0 else first} does better"
    return f"{rates}; {values}."


def _times(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 10 else f"{factor:.2g}"


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
    first = f" of the first {_MOST_PAIRED}" if len(known_ones) > _MOST_PAIRED else ""
    told = f"and {len(differ)} of {len(pairs)} pairs{first} differ"
    if not differ:
        told = f"no two{first or ' of which'} can be told apart"
    return (
        f"The best learning rate runs from {low.recommended_rate.value:.2g} ({_name(low)}) to "
        f"{high.recommended_rate.value:.2g} ({_name(high)}), a factor of {_times(factor)}, "
        f"{told}."
    )


def _name(row: JobRow) -> str:
    return row.job_name or row.job_id
