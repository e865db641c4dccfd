"""Choices of a setting beside each other across jobs: two are compared where they differ in nothing else.

A choice that a job fixes has a fit of its own, as the job's answer has: valleys of different models need not have one
shape. Choices that a job searches are read from the one fit in which that job compares them (`choices.py`). Whatever
two rows come from, draws of their difference tell how sure it is, and the intervals of all pairs of a setting hold
together. Rates are compared at one batch size, values each at its own best. Choices that put the values on another axis
(trainers, data sets) are compared by their rates alone.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.choices import Contest, hold_contests, joint_level, with_luck
from stepsize.analysis.findings import Findings, Unclear, find
from stepsize.analysis.intervals import of_draws, power_of_ten, scaled, unknown
from stepsize.analysis.landscape import MIN_TRIALS, Landscape, Spot, usable_trials
from stepsize.analysis.layout import searched_with_one_seed
from stepsize.analysis.sample import Sample, merge
from stepsize.analysis.settings import APART, Axis, Setup, axis_of, choices_in, setup_of
from stepsize.analysis.tables import Limits, edge_caveat, last_values, limits_of, rate_of, value_of
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.seeds import derive_seed
from stepsize.spec.roles import BATCH_NAME
from stepsize.spec.space import CategoricalParameter, Scalar, SearchSpace

_MOST_ROWS = 16
"""Choices of one group; with more, the intervals of all pairs say little."""


@dataclass(frozen=True)
class FoundJob:
    """A job and what its trials say."""

    evidence: Evidence
    findings: Findings
    setup: Setup
    axis: Axis


@dataclass(frozen=True)
class Valley:
    """What is told of one row; draws are None where it can't be compared."""

    learning_rate: Estimate
    value: Estimate
    log_batch: float | None = None
    """log10 of the batch size it is told about; None: there is none."""
    source: str = ""
    """The fit it comes from: draws of one fit belong together."""
    log_rates: Mapping[float, Floats] = field(default_factory=dict)
    """log10 of a batch size → draws of log10 of the best rate there, that with the most trials first."""
    costs: Floats | None = None


@dataclass(frozen=True)
class Row:
    """Trials with one choice, in jobs that are otherwise set alike."""

    choice: Scalar
    jobs: tuple[FoundJob, ...]
    others: Mapping[str, str]
    """The other settings, as text that is equal where they are."""
    sample: Sample
    metrics: Mapping[str, Floats]
    limits: Mapping[str, Limits]


@dataclass(frozen=True)
class Difference:
    """Two rows that differ in the setting alone."""

    rows: tuple[int, int]
    log_batch: float | None
    """Where their rates are compared; None: each where it is told."""
    log_ratio: Estimate
    improvement: Estimate


@dataclass(frozen=True)
class Match:
    """The rows of one setting, what is told of each, and what differs between two."""

    name: str
    rows: Sequence[Row]
    valleys: Sequence[Valley]
    differences: Sequence[Difference]
    left_out: Sequence[Scalar]
    """Choices beyond those with the most trials."""


def found_job(evidence: Evidence, findings: Findings) -> FoundJob:
    """Return a job as it is compared."""
    return FoundJob(evidence, findings, setup_of(evidence), axis_of(evidence))


def match_setting(jobs: Sequence[FoundJob], name: str) -> Match:
    """Return the choices of one setting beside each other."""
    rows: list[Row] = []
    left_out: list[Scalar] = []
    pairs: list[tuple[int, int]] = []
    for group in _groups(jobs, name):
        found = _rows(group, name)
        kept = sorted(found, key=lambda row: -len(row.sample))[:_MOST_ROWS]
        left_out += [row.choice for row in found if row not in kept]
        mine = [row for row in found if row in kept]
        pairs += [(len(rows) + one, len(rows) + two) for one, two in _pairs(mine)]
        rows += mine
    fits = _Fits(name)
    valleys = [fits.valley(row) for row in rows]
    return Match(name, rows, valleys, _differences(valleys, pairs, name=name), left_out)


def _groups(jobs: Sequence[FoundJob], name: str) -> list[list[FoundJob]]:
    """Return the jobs that agree in all that they have in common, the setting apart."""
    having = [job for job in jobs if choices_in(job.setup, job.findings.sample, name)]
    is_apart = name in APART
    by_axis: dict[object, list[FoundJob]] = defaultdict(list)
    for job in having:
        by_axis[None if is_apart else job.axis].append(job)
    groups: dict[object, list[FoundJob]] = defaultdict(list)
    for axis, mine in by_axis.items():
        ignored = APART if is_apart else {name}
        common = [one for one in mine[0].setup.names if all(one in job.setup.names for job in mine)]
        for job in mine:
            key = tuple(job.setup.same(one) for one in common if one not in ignored)
            groups[axis, key].append(job)
    return list(groups.values())


def _rows(jobs: Sequence[FoundJob], name: str) -> list[Row]:
    """Return one row for each choice; jobs that are set alike share theirs, and one that searches it has its own."""
    members: dict[str, list[tuple[Scalar, FoundJob]]] = defaultdict(list)
    for job in jobs:
        for choice in choices_in(job.setup, job.findings.sample, name):
            key = repr((choice, name in job.setup.fixed, sorted(_others(job, name).items()), job.axis))
            members[key].append((choice, job))
    rows = [_row(found[0][0], [job for _, job in found], name) for found in members.values()]
    return sorted(rows, key=_order)


def _row(choice: Scalar, jobs: Sequence[FoundJob], name: str) -> Row:
    samples, metrics = [], []
    for job in jobs:
        sample = job.findings.sample
        if name in job.setup.searched:
            sample = sample.where(sample.has(name, choice))
        samples.append(sample)
        metrics.append(last_values(sample, job.evidence))
    nothing = [np.full(len(sample), np.nan) for sample in samples]
    names = dict.fromkeys(metric for one in metrics for metric in one)
    merged = {
        metric: np.concatenate([one.get(metric, empty) for one, empty in zip(metrics, nothing, strict=True)])
        for metric in names
    }
    limits = limits_of(jobs[0].evidence)
    sample = merge(samples, [job.evidence for job in jobs])
    return Row(choice, tuple(jobs), _others(jobs[0], name), sample, merged, limits)


def _others(job: FoundJob, name: str) -> dict[str, str]:
    return {one: job.setup.same(one) or "" for one in job.setup.names if one != name}


def _order(row: Row) -> tuple[bool, float, str]:
    is_number = isinstance(row.choice, int | float) and not isinstance(row.choice, bool)
    return not is_number, float(row.choice) if is_number else 0.0, str(row.choice)


def _pairs(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return the rows two by two that differ in the setting alone: in nothing else that both have."""
    return [
        (one, two)
        for (one, first), (two, second) in combinations(enumerate(rows), 2)
        if repr(first.choice) != repr(second.choice) and _is_alike(first.others, second.others)
    ]


def _is_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys() - APART)


class _Fits:
    """The fits that the rows of one setting come from; each is made once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._findings: dict[str, Findings] = {}
        self._contests: dict[str, Contest | None] = {}

    def valley(self, row: Row) -> Valley:
        """Return what is told of a row."""
        job = row.jobs[0]
        source = ",".join(one.evidence.job_id for one in row.jobs)
        if self._name == BATCH_NAME or self._name in job.setup.fixed:
            findings = self._find(source, row.jobs)
            return _fixed(row, findings, source) if self._name in job.setup.fixed else _batch(row, findings, source)
        contest = self._contest(source, row.jobs)
        at = None if contest is None else contest.position(row.choice)
        if contest is None or at is None:
            nothing = unknown("too few trials for a fit")
            return Valley(nothing, nothing)
        return _searched(row, contest, at, source)

    def _find(self, source: str, jobs: Sequence[FoundJob]) -> Findings:
        if source not in self._findings:
            self._findings[source] = jobs[0].findings if len(jobs) == 1 else find(_all(jobs), jobs[0].evidence)
        return self._findings[source]

    def _contest(self, source: str, jobs: Sequence[FoundJob]) -> Contest | None:
        if source not in self._contests:
            mine = [one for one in jobs[0].findings.contests if one.parameter == self._name] if len(jobs) == 1 else []
            self._contests[source] = mine[0] if mine else self._hold(source, jobs)
        return self._contests[source]

    def _hold(self, source: str, jobs: Sequence[FoundJob]) -> Contest | None:
        """Return a contest that no job holds by itself: of several jobs, or of a whole number."""
        sample = _all(jobs)
        if int(usable_trials(sample).sum()) < MIN_TRIALS or not np.ptp(sample.log_rate[usable_trials(sample)]):
            return None
        choices = {repr(choice): choice for job in jobs for choice in choices_in(job.setup, sample, self._name)}
        if len(choices) < 2:
            return None
        space: SearchSpace = {self._name: CategoricalParameter(type="categorical", choices=list(choices.values()))}
        held = hold_contests(sample, space, seed=derive_seed(0, source, self._name))
        return held[0] if held else None


def _all(jobs: Sequence[FoundJob]) -> Sample:
    return merge([job.findings.sample for job in jobs], [job.evidence for job in jobs])


def _fixed(row: Row, findings: Findings, source: str) -> Valley:
    """Return the answer of jobs that fix the choice."""
    if isinstance(findings.best, Unclear):
        nothing = unknown(findings.best.reason)
        return Valley(nothing, nothing)
    return _at(findings.best, row, findings, source, known_rates(findings))


def _batch(row: Row, findings: Findings, source: str) -> Valley:
    """Return what the fit of jobs that search the batch size says of one of them."""
    sizes = np.unique(row.sample.log_effective)
    spot = findings.spots.get(float(sizes[0])) if len(sizes) == 1 else None
    if spot is None:
        nothing = unknown("nothing is known of this batch size")
        return Valley(nothing, nothing)
    if (edge := findings.edges.get(spot.log_batch)) is not None:
        nothing = unknown(edge_caveat(edge))
        return Valley(nothing, nothing)
    return _at(spot, row, findings, source, {spot.log_batch: spot.rates})


def _at(spot: Spot, row: Row, findings: Findings, source: str, rates: Mapping[float, Floats]) -> Valley:
    told = rate_of(spot), value_of(spot, row.sample.sign)
    log_batch = spot.log_batch if np.isfinite(row.sample.log_effective).any() else None
    if spot.flag is not None:  # a guess is shown, but nothing is concluded from it
        return Valley(*told, log_batch)
    return Valley(*told, log_batch, source, rates, fresh_values(findings, spot))


def known_rates(findings: Findings) -> dict[float, Floats]:
    """Return draws of the best rate at each batch size of which it was seen, that with the most trials first."""
    assert isinstance(findings.landscape, Landscape), "a spot lies in a landscape"
    seen = [spot for at, spot in findings.spots.items() if spot.flag is None and at not in findings.edges]
    often = sorted(seen, key=lambda spot: -int((findings.about.log_effective == spot.log_batch).sum()))
    return {spot.log_batch: spot.rates for spot in often}


def common_batch(one: Mapping[float, Floats], other: Mapping[float, Floats]) -> float | None:
    """Return the batch size at which to compare two fits: of those both have, what the first has most trials of."""
    return next((at for at in one if at in other), None)


def _searched(row: Row, contest: Contest, at: int, source: str) -> Valley:
    """Return what a contest says of one choice."""
    log_rates, costs = contest.rates[at], contest.costs[at]
    x = row.sample.log_rate[usable_trials(row.sample)]
    middle, lowest, highest = float(np.median(log_rates)), float(x.min()), float(x.max())
    if not lowest <= middle <= highest:
        side, end = ("above", highest) if middle > highest else ("below", lowest)
        nothing = unknown(f"the best rate lies {side} those searched with this choice ({10**end:.2g}): widen the space")
        return Valley(nothing, nothing)
    told = power_of_ten(of_draws(log_rates)), scaled(of_draws(costs), row.sample.sign)
    return Valley(*told, contest.log_batch, source, {contest.log_batch or 0.0: log_rates}, costs)


def fresh_values(findings: Findings, spot: Spot) -> Floats:
    """Return draws of the cost at a spot that know nothing of how lucky one seed for all trials is."""
    landscape = findings.landscape
    if not isinstance(landscape, Landscape) or not searched_with_one_seed(landscape.sample):
        return spot.values
    return with_luck(landscape, spot.values, np.random.default_rng(len(findings.sample)))


def _differences(valleys: Sequence[Valley], pairs: Sequence[tuple[int, int]], *, name: str) -> list[Difference]:
    """Return what differs between rows, in intervals that all hold together."""
    n = min((len(one.costs) for one in valleys if one.costs is not None), default=0)
    known, ratios, gains = [], [], []
    for pair in pairs:
        one, two = valleys[pair[0]], valleys[pair[1]]
        at = common_batch(one.log_rates, two.log_rates)
        places = (one.log_batch, two.log_batch) if name == BATCH_NAME else (at, at)
        if one.costs is None or two.costs is None or (name != BATCH_NAME and at is None):
            continue
        first, second = one.log_rates[places[0] or 0.0], two.log_rates[places[1] or 0.0]
        known.append((pair, None if name == BATCH_NAME or one.log_batch is None else at))
        ratios.append(_drawn(two, second, n) - _drawn(one, first, n))
        gains.append(_drawn(one, one.costs, n) - _drawn(two, two.costs, n))
    if not known:
        return []
    no_axis = unknown("other data or another trainer: their values can't stand on one axis")
    levels = joint_level(ratios), joint_level(gains)
    return [
        Difference(
            pair,
            at,
            of_draws(ratio, level=levels[0]),
            no_axis if name in APART else of_draws(gain, level=levels[1]),
        )
        for (pair, at), ratio, gain in zip(known, ratios, gains, strict=True)
    ]


def _drawn(valley: Valley, draws: Floats, n: int) -> Floats:
    """Return as many draws: those of one fit stay together, others are shuffled."""
    order = np.random.default_rng(derive_seed(0, valley.source)).permutation(len(draws))
    return np.asarray(draws[order[:n]])


def apart(one: Floats, two: Floats) -> Floats:
    """Return draws of the difference between two numbers whose draws have nothing to do with each other."""
    n = min(len(one), len(two))
    return np.asarray(one[:n] - np.random.default_rng(0).permutation(two)[:n])
