"""Choices beside each other, best against best: each at its own best rate, in one fit with one shape for all.

A fit for each choice makes differences up where there are none, for an adaptive search starves the choice that was
unlucky first. Differences are told as they are drawn: on the tasks that constants were chosen on (60 trials, 9 of them
checks that two undecided choices share) none of 31 intervals left out a difference of none. With more than two choices
the intervals of all differences hold together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from stepsize.analysis.arrays import Floats, Mask
from stepsize.analysis.landscape import Landscape, fit_landscape, usable_trials
from stepsize.analysis.layout import SEED_DEPTH_SD, searched_with_one_seed
from stepsize.analysis.sample import Sample
from stepsize.analysis.valley import Effort
from stepsize.spec.roles import choices_of
from stepsize.spec.space import Scalar, SearchSpace

MIN_PER_CHOICE = 4
"""Trials with a value from which a choice is fitted."""
_MOST_FITTED = 8
_MOST_PARAMETERS = 6
EFFORT = Effort(n_steps=400, n_burn_in=200, thin=5)


@dataclass(frozen=True)
class Contest:
    """The choices of one parameter in one fit."""

    parameter: str
    choices: tuple[Scalar, ...]
    """Those with enough trials, the most frequent one first."""
    rates: tuple[Floats, ...]
    """Draws of log10 of each one's best rate."""
    costs: tuple[Floats, ...]
    """Draws of each one's cost at that rate."""
    level: float
    """Of each interval of a difference, so that all of them hold together with 95 %."""
    candidates: tuple[int, ...]
    """Positions of the choices that can't be told from the best, most promising first."""
    rates_differ: bool
    """Whether the candidates' best rates lie apart."""
    log_batch: float | None = None
    """log10 of the batch size at which they are compared; None: there is none."""

    def position(self, choice: Scalar) -> int | None:
        """Return where a choice stands; None where it was not fitted (1 is not True)."""
        return next((at for at, one in enumerate(self.choices) if type(one) is type(choice) and one == choice), None)

    def gain(self, at: int, over: int) -> tuple[float, float, float]:
        """Return by how much a choice costs less than another: the median and the interval's ends."""
        draws = self.costs[over] - self.costs[at]
        low, value, high = np.quantile(draws, [(1 - self.level) / 2, 0.5, (1 + self.level) / 2])
        return float(low), float(value), float(high)


def hold_contests(sample: Sample, space: SearchSpace, *, seed: int) -> list[Contest]:
    """Return one contest for each parameter of which two choices or more have enough trials."""
    usable = sample.where(usable_trials(sample))
    contests = []
    for name, parameter in list(choices_of(space).items())[:_MOST_PARAMETERS]:
        counted = [(int(usable.has(name, choice).sum()), choice) for choice in parameter.choices]
        enough = sorted((pair for pair in counted if pair[0] >= MIN_PER_CHOICE), key=lambda pair: -pair[0])
        fitted = [choice for _, choice in enough[:_MOST_FITTED]]
        if len(fitted) > 1:
            contests.append(_contest(sample, name, fitted, seed))
    return contests


def own_columns(contests: Sequence[Contest]) -> list[tuple[str, Scalar]]:
    """Return the choices that need a rate and a depth of their own: those known to be worse, or at another rate."""
    own = []
    for contest in contests:
        shared = contest.candidates[:1] if contest.rates_differ else contest.candidates
        own += [(contest.parameter, choice) for at, choice in enumerate(contest.choices) if at not in shared]
    return own


def chosen_of(contests: Sequence[Contest]) -> dict[str, Scalar]:
    """Return the choice to use of each parameter whose choices have valleys of their own.

    Where the candidates' rates lie apart one of them must be named, though it may be no better than the others.
    """
    return {
        contest.parameter: contest.choices[contest.candidates[0]]
        for contest in contests
        if len(contest.candidates) == 1 or contest.rates_differ
    }


def known_trials(sample: Sample, contests: Sequence[Contest]) -> Mask:
    """Return which trials have choices that were fitted, or that don't apply."""
    known = np.ones(len(sample), dtype=bool)
    for contest in contests:
        fitted = [sample.has(contest.parameter, choice) for choice in contest.choices]
        known &= np.logical_or.reduce(fitted) | _is_absent(sample, contest.parameter)
    return known


def about_trials(sample: Sample, contests: Sequence[Contest]) -> Mask:
    """Return which trials have the choices that are told about, or none of their parameter's."""
    about = np.ones(len(sample), dtype=bool)
    for contest in contests:
        kept = contest.candidates[:1] if contest.rates_differ else contest.candidates
        having = [sample.has(contest.parameter, contest.choices[at]) for at in kept]
        about &= np.logical_or.reduce(having) | _is_absent(sample, contest.parameter)
    return about


def _is_absent(sample: Sample, name: str) -> Mask:
    return np.array([value is None for value in sample.column(name)], dtype=bool)


def _contest(sample: Sample, name: str, fitted: Sequence[Scalar], seed: int) -> Contest:
    mine = np.zeros(len(sample), dtype=bool)
    for choice in fitted:
        mine |= sample.has(name, choice)
    own = [(name, choice) for choice in fitted[1:]]
    landscape = fit_landscape(sample.where(mine), own=own, seed=seed, effort=EFFORT)
    log_batch = _commonest_size(landscape.sample)
    at = log_batch or 0.0
    rates = [landscape.centres(at, {name: choice}) for choice in fitted]
    costs = [
        landscape.costs(rate[:, None], at, {name: choice})[:, 0] for rate, choice in zip(rates, fitted, strict=True)
    ]
    if searched_with_one_seed(landscape.sample):
        costs = [with_luck(landscape, cost, np.random.default_rng([seed, at])) for at, cost in enumerate(costs)]
    level = joint_level([one - two for one, two in combinations(costs, 2)])
    order = sorted(range(len(fitted)), key=lambda at: float(costs[at].mean()))
    best = costs[order[0]]
    candidates = [at for at in order if np.quantile(costs[at] - best, (1 - level) / 2) <= 0]
    differ = any(_excludes_zero(rates[one] - rates[two], level) for one in candidates for two in candidates)
    return Contest(name, tuple(fitted), tuple(rates), tuple(costs), level, tuple(candidates), differ, log_batch)


def with_luck(landscape: Landscape, cost: Floats, rng: np.random.Generator) -> Floats:
    """Return draws of a cost that know nothing of how lucky a choice is with the one seed of all its trials."""
    scale = landscape.sample.scale
    return scale.back(scale.forward(cost) + SEED_DEPTH_SD * rng.normal(size=cost.shape))


def _excludes_zero(draws: Floats, level: float) -> bool:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return bool(low > 0 or high < 0)


def joint_level(differences: Sequence[Floats]) -> float:
    """Return of which level each interval must be so that 95 % of the draws lie in all of them."""
    if len(differences) == 1:
        return 0.95
    n = len(differences[0])
    ranks = np.array([draws.argsort().argsort() for draws in differences])
    return float(np.quantile(np.abs((2 * ranks + 1) / n - 1).max(axis=0), 0.95))


def _commonest_size(sample: Sample) -> float | None:
    """Return log10 of the batch size of most trials, at which choices are compared; None without one."""
    sizes = sample.log_effective[np.isfinite(sample.log_effective)]
    if not len(sizes):
        return None
    unique, counts = np.unique(sizes, return_counts=True)
    return float(unique[counts.argmax()])
