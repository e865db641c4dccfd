"""What a job's trials say, found once and read by every part of the report: spots, choices, edges and doubts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.choices import Contest, about_trials, chosen_of, hold_contests, known_trials, own_columns
from stepsize.analysis.confirmation import Confirmation, confirm
from stepsize.analysis.divergence import Danger, find_danger
from stepsize.analysis.doubts import is_contradicted, second_valley
from stepsize.analysis.landscape import MIN_TRIALS, Landscape, Spot, fit_landscape, usable_trials
from stepsize.analysis.layout import searched_with_one_seed
from stepsize.analysis.sample import RATE_NAMES, Sample
from stepsize.analysis.sensitivity import Plateau, find_plateau
from stepsize.domain.evidence import Evidence
from stepsize.domain.seeds import derive_seed
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, SearchSpace

_SHOWS_LITTLE_DECADES = 1.5
_SHOWS_LITTLE_SHARE = 0.7
"""An interval wider than this, or than this share of the rates tried, says nothing."""
_EDGE_REACHED = 0.3
"""Decades from an end of the space within which it was searched."""
_TIE = 0.1
"""A batch size that does better than the best one with at least this probability can't be told from it."""
ENOUGH_TRIALS = 30
"""About what a first answer takes."""


@dataclass(frozen=True)
class Unclear:
    """Why nothing is told."""

    reason: str
    advice: str | None = None
    """Where to search instead; None: more trials in the same space may do."""
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


def find(sample: Sample, evidence: Evidence) -> Findings:
    """Return what the trials of a job say, the same for the same trials."""
    seed = derive_seed(0, evidence.job_id, "valley")
    space = evidence.space
    if (refusal := _refuse(sample)) is not None:
        return _nothing(sample, refusal)
    contests = hold_contests(sample, space, seed=seed)
    known = sample.where(known_trials(sample, contests))
    about = known.where(about_trials(known, contests))
    if int(usable_trials(about).sum()) < MIN_TRIALS:
        contests, known, about = [], sample, sample
    landscape = fit_landscape(known, about=about_trials(known, contests), own=own_columns(contests), seed=seed,
                              choices=chosen_of(contests))  # fmt: skip
    spots = {at: spot for at in landscape.log_batches if (spot := landscape.spot(at)) is not None}
    bounds = _bounds(space, about)
    edges = {at: edge for at, spot in spots.items() if (edge := _edge(spot, bounds)) is not None}
    best = _best_spot(landscape, spots, edges, bounds)
    doubts: list[str] = []
    plateau = None
    if isinstance(best, Spot):
        plateau = find_plateau(landscape, best)
        doubts = _doubts(landscape, best)
        if _shows_little(best, about):
            best = _little(best, plateau, len(landscape.sample))
    confirmation = confirm(known, contests, seed=seed)
    return Findings(
        sample, about, landscape, spots, edges, best, plateau, contests, landscape.danger, doubts, confirmation
    )


def missing_trials(width: float, wanted: float, n_trials: int, fixed: float) -> int | None:
    """Return about how many more trials make an interval as narrow as wanted; None where it is.

    Widths shrink with the root of the number of trials, down to what is fixed by the misfit.
    """
    if width <= wanted:
        return None
    own, goal = width**2 - fixed**2, wanted**2 - fixed**2
    missing = n_trials * (own / goal - 1)
    return max(5, 5 * math.ceil(min(missing, 1000) / 5))


def _nothing(sample: Sample, refusal: Unclear) -> Findings:
    return Findings(sample, sample, refusal, {}, {}, refusal, None, (), find_danger(sample), (), None)


def _refuse(sample: Sample) -> Unclear | None:
    usable = usable_trials(sample)
    x, cost = sample.log_rate[usable], sample.cost[usable]
    if not len(x):
        return _blame_divergence(sample)
    if len(x) < MIN_TRIALS:
        reason = f"{len(x)} trials with a value are too few; a valley needs at least {MIN_TRIALS}"
        return Unclear(reason, missing_trials=ENOUGH_TRIALS - len(x))
    if len(np.unique(np.round(x, 9))) == 1:
        return Unclear("every trial has the same learning rate")
    if np.ptp(cost) == 0:
        return Unclear("every trial has the same value")
    return None


def _blame_divergence(sample: Sample) -> Unclear:
    """Say why no trial has a value."""
    diverged = sample.log_rate[sample.diverged & np.isfinite(sample.log_rate)]
    if not len(diverged):
        return Unclear("no trial has a learning rate and a value yet", missing_trials=ENOUGH_TRIALS)
    lowest = 10 ** float(diverged.min())
    reason = f"no trial trained, and {len(diverged)} diverged, at learning rates down to {lowest:.2g}"
    return Unclear(reason, advice=f"Search learning rates below {lowest:.2g}")


def _bounds(space: SearchSpace, about: Sample) -> tuple[float, float]:
    """Return log10 of the lowest and the highest rate that was searched."""
    parameter = next((space[name] for name in RATE_NAMES if name in space), None)
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


def _shows_little(best: Spot, about: Sample) -> bool:
    tried: Floats = about.log_rate[usable_trials(about)]
    return best.width > min(_SHOWS_LITTLE_DECADES, _SHOWS_LITTLE_SHARE * float(np.ptp(tried)))


def _little(best: Spot, plateau: Plateau, n_trials: int) -> Unclear:
    missing = missing_trials(best.width, 0.7, n_trials, fixed=0.28)
    if plateau.is_flat:
        low, high = 10**plateau.low, 10**plateau.high
        reason = f"the valley is flat: learning rates from {low:.2g} to {high:.2g} differ by less than the noise"
        return Unclear(reason, missing_trials=missing)
    return Unclear("the values do not show at which rate they are best", missing_trials=missing)


def _doubts(landscape: Landscape, best: Spot) -> list[str]:
    doubts = []
    if is_contradicted(landscape):
        doubts.append("the trials contradict the fitted valley")
    other = second_valley(landscape, best)
    if other is not None:
        doubts.append(f"trials at learning rates around {10**other:.2g} do as well: there may be a second valley")
    if searched_with_one_seed(landscape.sample):
        doubts.append("all trials of its search share one training seed, and other seeds may want another rate")
    if best.flag is not None:
        doubts.append(f"it rests on {best.flag}")
    return doubts
