"""Choices that are the same, and choices that differ by a known amount: what is said about them."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.honesty.jobs import Source, play_job
from benchmarks.honesty.reading import read_improvements
from benchmarks.truth.valleys import Landscape

SAME: Mapping[str, float] = {"this": 1.0, "that": 1.0}
"""One choice under two names: an inert parameter."""


@dataclass(frozen=True)
class Claim:
    """What was said about a choice beside the first one."""

    task: str
    differs: bool
    """Whether there is a difference."""
    is_live: bool
    claimed: bool
    """Whether one is claimed; the right way round, where there is one."""


def different(landscape: Landscape) -> Mapping[str, float]:
    """Return two choices of which the second is worse by one standard deviation over seeds, once both are tuned."""
    return {"better": 1.0, "worse": 1.0 + landscape.best.seed_sd}


def compare(landscape: Landscape, source: Source, factors: Mapping[str, float], *, seed: int) -> Claim:
    """Play a job that searches a choice, and return what it says."""
    job = play_job(landscape, source, seed=seed, factors=factors)
    said = read_improvements(job.evidence).get(list(factors)[1])
    differs = len(set(factors.values())) > 1
    claimed = said is not None and (said.high < 0 or (said.low > 0 and not differs))
    return Claim(landscape.task.name, differs, job.is_live, claimed)
