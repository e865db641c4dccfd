"""What a job's trials say, found once and read by every part of the report: spots, choices, edges and doubts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.choices import Contest, about_trials, chosen_of, hold_contests, known_trials, own_columns
from stepsize.analysis.confirmation import Confirmation, confirm
from stepsize.analysis.divergence import Danger, find_danger
from stepsize.analysis.doubts import behind_a_ridge, is_contradicted, second_valley
from stepsize.analysis.exact import Exact, exact_spot, find_exact, is_of_rate_alone, is_repeatable
from stepsize.analysis.landscape import MIN_TRIALS, Landscape, Spot, fit_landscape, usable_trials
from stepsize.analysis.layout import knows_no_seed, searched_with_one_seed
from stepsize.analysis.sample import Sample
from stepsize.analysis.sensitivity import Plateau, exact_plateau, find_plateau
from stepsize.analysis.valley import MISFIT_DECADES
from stepsize.domain.evidence import Evidence
from stepsize.domain.seeds import derive_seed
from stepsize.spec.roles import rate_name
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, SearchSpace
from stepsize.spec.wording import counted

_SHOWS_LITTLE_DECADES = 1.5
_SHOWS_LITTLE_SHARE = 0.7
"""An interval wider than this, or than this share of the rates tried, says nothing."""
_EDGE_REACHED = 0.3
"""Decades from an end of the space within which it was searched."""
_TIE = 0.1
"""A batch size that does better than the best one with at least this probability can't be told from it."""
ENOUGH_TRIALS = 30
"""About what a first answer takes."""
_MOST_MISSING = 1000
WELL_DECADES, FAIR_DECADES = 0.45, 0.7
"""Intervals of the rate up to which an answer is well supported, or fairly sure."""
_FIXED_DECADES = 2 * 1.96 * MISFIT_DECADES
"""What no number of trials narrows."""
_SAME_VALUES = (
    "trainings with other seeds gave the very same values: they don't use the seed they are given, and a training that "
    "did may want another rate"
)
_NOTHING_SHOWS = "Nothing shows which learning rate is best"


@dataclass(frozen=True)
class Unclear:
    """Why nothing is told."""

    reason: str
    advice: str | None = None
    """Where to search instead, or that nothing would do; None: more trials in the same space may do."""
    missing_trials: int | None = None


class Edge(StrEnum):
    """An end of the searched rates beyond which a best rate lies."""

    BELOW = "below"
    ABOVE = "above"


@dataclass(frozen=True)
class Findings:
    """What the trials of a job say."""

    sample: Sample
    """All trials that ended."""
    about: Sample
    """Those with the choices that are told about."""
    landscape: Landscape | Unclear
    spots: Mapping[float, Spot]
    """log10 of the effective batch size → what is told there; only where some rate is safe."""
    edges: Mapping[float, Edge]
    """Batch sizes whose best rate lies beyond the searched ones."""
    best: Spot | Unclear
    """The spot to use."""
    plateau: Plateau | None
    contests: Sequence[Contest]
    danger: Danger | None
    doubts: Sequence[str]
    """What speaks against the best spot, worst first."""
    confirmation: Confirmation | None
    hardly_searched: float | None = None
    """log10 of a rate beyond worse ones where a trial does better again: a second valley may lie there."""
    is_exact: bool = False
    """Whether the best spot is the best trial's: there is no noise, and its valley is the only one."""


def find(sample: Sample, evidence: Evidence) -> Findings:
    """Return what the trials of a job say, the same for the same trials."""
    seed = derive_seed(evidence.seed, "valley")
    space = evidence.space
    if (refusal := _refuse(sample, space)) is not None:
        return _nothing(sample, refusal)
    contests = hold_contests(sample, space, seed=seed)
    known = sample.where(known_trials(sample, contests))
    about = known.where(about_trials(known, contests))
    if int(usable_trials(about).sum()) < MIN_TRIALS:
        contests, known, about = [], sample, sample
    landscape = fit_landscape(known, about=about_trials(known, contests), own=own_columns(contests), seed=seed,
                              choices=chosen_of(contests))  # fmt: skip
    spots = {at: spot for at in landscape.log_batches if (spot := landscape.spot(at)) is not None}
    repeats = is_of_rate_alone(space) and is_repeatable(about)
    exacts = _exacts(about, spots) if repeats else {}
    plateaus = {
        at: exact_plateau(exacts[at]) if at in exacts else find_plateau(landscape, spot) for at, spot in spots.items()
    }
    spots = {
        at: exact_spot(spot, exacts[at]) if at in exacts else _as_wide_as_known(spot, plateaus[at])
        for at, spot in spots.items()
    }
    bounds = searched_rates(space, about)
    edges = {at: edge for at, spot in spots.items() if (edge := _edge(spot, bounds)) is not None}
    best = _best_spot(landscape, spots, edges, bounds)
    if isinstance(best, Unclear) and edges:
        best = _flat(landscape, spots, plateaus) or best
    doubts: list[str] = []
    plateau, is_exact = None, False
    if isinstance(best, Spot):
        plateau, is_exact = plateaus[best.log_batch], best.log_batch in exacts
        if not is_exact:
            doubts = _doubts(landscape, best) + [_SAME_VALUES] * repeats
            if _shows_little(best, about):
                best = _little(best, plateau, len(landscape.sample))
    spots = {at: spot if at in exacts else _wider_if_rough(spot, plateaus[at]) for at, spot in spots.items()}
    best = spots[best.log_batch] if isinstance(best, Spot) else best
    confirmation = confirm(known, contests, seed=seed)
    return Findings(
        sample, about, landscape, spots, edges, best, plateau, contests, landscape.danger, doubts, confirmation,
        is_exact=is_exact, hardly_searched=None if is_exact or doubts else behind_a_ridge(landscape),
    )  # fmt: skip


def _exacts(about: Sample, spots: Mapping[float, Spot]) -> dict[float, Exact]:
    """Return what the trials of a repeatable function say at the batch sizes where the best owes nothing to luck."""
    has_batch = np.isfinite(about.log_effective)
    found = {at: find_exact(about, spot, (about.log_effective == at) | ~has_batch.any()) for at, spot in spots.items()}
    return {at: exact for at, exact in found.items() if exact is not None}


def _as_wide_as_known(spot: Spot, plateau: Plateau) -> Spot:
    """Return the spot with all rates that may be the best; beside a cliff, all that do as well on its flat side."""
    return replace(spot, core=plateau.core, as_good=(plateau.low, plateau.high) if spot.is_beside_a_cliff else None)


def _wider_if_rough(spot: Spot, plateau: Plateau) -> Spot:
    """Return the spot; one whose valley is hardly known, with all rates that do as well within the noise."""
    return replace(spot, as_good=(plateau.low, plateau.high)) if spot.width > FAIR_DECADES else spot


def missing_trials(spot: Spot, n_trials: int) -> int | None:
    """Return about how many more trials make an answer fairly sure; None where it is, or nobody can say.

    Intervals shrink with the root of the number of trials, down to what the fitted shape leaves open. Where that asks
    for more than a thousand, something else than their number is missing.
    """
    spot = replace(spot, as_good=None)
    first, last = spot.core or (spot.rate, spot.rate)
    fixed = max(_FIXED_DECADES, last - first)
    if spot.width <= FAIR_DECADES or fixed >= FAIR_DECADES:
        return None
    own, goal = spot.width**2 - fixed**2, FAIR_DECADES**2 - fixed**2
    missing = n_trials * (own / goal - 1)
    return max(5, 5 * math.ceil(missing / 5)) if missing <= _MOST_MISSING else None


def _nothing(sample: Sample, refusal: Unclear) -> Findings:
    return Findings(sample, sample, refusal, {}, {}, refusal, None, (), find_danger(sample), (), None)


def _refuse(sample: Sample, space: SearchSpace) -> Unclear | None:
    if rate_name(space) is None:
        return Unclear("the learning rate was not searched", advice=_NOTHING_SHOWS)
    usable = usable_trials(sample)
    x, cost = sample.log_rate[usable], sample.cost[usable]
    if not len(x):
        return _blame_divergence(sample)
    if len(x) < MIN_TRIALS:
        be = "is" if len(x) == 1 else "are"
        reason = f"{counted(len(x), 'trial')} with a value {be} too few; a valley needs at least {MIN_TRIALS}"
        return Unclear(reason, missing_trials=ENOUGH_TRIALS - len(x))
    if len(np.unique(np.round(x, 9))) == 1:
        return Unclear("every trial has the same learning rate", advice=_NOTHING_SHOWS)
    if np.ptp(cost) == 0:
        return Unclear("every trial has the same value", advice=_NOTHING_SHOWS)
    return None


def _blame_divergence(sample: Sample) -> Unclear:
    """Say why no trial has a value."""
    diverged = sample.log_rate[sample.diverged & np.isfinite(sample.log_rate)]
    if not len(diverged):
        return Unclear("no trial has a learning rate and a value yet", missing_trials=ENOUGH_TRIALS)
    lowest = 10 ** float(diverged.min())
    reason = f"no trial trained, and {len(diverged)} diverged, at learning rates down to {lowest:.2g}"
    return Unclear(reason, advice=f"Search learning rates below {lowest:.2g}")


def searched_rates(space: SearchSpace, about: Sample) -> tuple[float, float]:
    """Return log10 of the lowest and the highest rate that was searched."""
    name = rate_name(space)
    parameter = None if name is None else space[name]
    tried = about.log_rate[np.isfinite(about.log_rate)]
    low, high = float(tried.min()), float(tried.max())
    match parameter:
        case FloatParameter() | IntParameter():
            if parameter.low is not None and parameter.low > 0:
                low = math.log10(parameter.low)
            if parameter.high is not None and parameter.high > 0:
                high = math.log10(parameter.high)
        case CategoricalParameter() | None:
            pass
    return low, high


def _edge(spot: Spot, bounds: tuple[float, float]) -> Edge | None:
    """Return beyond which end of the searched rates a bottom lies, if that end was reached there."""
    low, high = bounds
    middle = float(np.median(spot.unbounded))
    if middle > high and spot.tried[1] > high - _EDGE_REACHED and spot.limit >= min(high, spot.tried[1]):
        return Edge.ABOVE
    return Edge.BELOW if middle < low and spot.tried[0] < low + _EDGE_REACHED else None


def _best_spot(
    landscape: Landscape, spots: Mapping[float, Spot], edges: Mapping[float, Edge], bounds: tuple[float, float]
) -> Spot | Unclear:
    """Return the spot of the batch size that does best; of those that can't be told apart, the one with most trials.

    Where a bottom lies beyond the searched rates, or was not seen, nobody knows how well a batch size does.
    """
    seen = [spot for at, spot in spots.items() if at not in edges and spot.flag is None]
    seen = seen or [spot for at, spot in spots.items() if at not in edges and spot.extrapolated is None]
    if not seen:
        return _explain(landscape, spots, edges, bounds)
    best = min(seen, key=lambda spot: float(spot.values.mean()))
    tied = [spot for spot in seen if float((spot.values < best.values).mean()) >= _TIE or spot is best]
    return max(tied, key=lambda spot: (int(landscape.is_here(spot.log_batch).sum()), spot.log_batch))


def _explain(
    landscape: Landscape, spots: Mapping[float, Spot], edges: Mapping[float, Edge], bounds: tuple[float, float]
) -> Unclear:
    """Say why there is no spot to use."""
    if not spots:
        reason = "at every rate that was tried, training diverges too often"
        return Unclear(reason, advice=f"Search learning rates below {10 ** float(landscape.sample.log_rate.min()):.2g}")
    if any(edge is Edge.BELOW for edge in edges.values()):
        reason = "the best trials lie at the lower end of the searched rates"
        return Unclear(reason, advice=f"Search learning rates below {10 ** bounds[0]:.2g} too")
    if edges:
        reason = "the best trials lie at the upper end of the searched rates"
        return Unclear(reason, advice=f"Search learning rates above {10 ** bounds[1]:.2g} too")
    return Unclear(
        "no batch size has trials on both sides of its best learning rate", missing_trials=len(landscape.sample)
    )


def _flat(landscape: Landscape, spots: Mapping[float, Spot], plateaus: Mapping[float, Plateau]) -> Unclear | None:
    """Return that no rate is better than another where the draws lie beyond an edge for want of anything else."""
    spot = max(spots.values(), key=lambda spot: int(landscape.is_here(spot.log_batch).sum()))
    plateau = plateaus[spot.log_batch]
    return _little(spot, plateau, len(landscape.sample)) if plateau.is_flat else None


def _shows_little(best: Spot, about: Sample) -> bool:
    tried: Floats = about.log_rate[usable_trials(about)]
    return best.width > min(_SHOWS_LITTLE_DECADES, _SHOWS_LITTLE_SHARE * float(np.ptp(tried)))


def _little(best: Spot, plateau: Plateau, n_trials: int) -> Unclear:
    missing = missing_trials(best, n_trials)
    if plateau.is_flat:
        return Unclear(plateau.flatness, missing_trials=missing)
    return Unclear("the values do not show at which rate they are best", missing_trials=missing)


def _doubts(landscape: Landscape, best: Spot) -> list[str]:
    doubts = []
    if is_contradicted(landscape):
        doubts.append("the trials contradict the fitted valley")
    other = second_valley(landscape, best)
    if other is not None:
        doubts.append(f"trials at learning rates around {10**other:.2g} do as well: there may be a second valley")
    if searched_with_one_seed(landscape.sample):
        share = "all trials of its search share one training seed"
        if knows_no_seed(landscape.sample):
            share = "nobody knows whether its trials share one training seed"
        doubts.append(f"{share}, and other seeds may want another rate")
    if best.flag is not None:
        doubts.append(f"it rests on {best.flag}")
    return doubts
