"""Jobs that are alike, and jobs that differ by a known amount, beside each other: what their common report claims.

`python -m benchmarks.honesty.beside`: two jobs of 60 trials on one landscape, which fix one setting under two names.
Whoever tells them apart is wrong. Then the second one's costs are larger by one standard deviation between seeds.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.honesty.jobs import Kept, Source, play_job
from benchmarks.playing import Params
from benchmarks.truth.tasks import TASKS, Role
from benchmarks.truth.valleys import Landscape, read_landscapes
from stepsize.analysis.intervals import share
from stepsize.analysis.jobs_report import compare_jobs
from stepsize.domain.evidence import Evidence
from stepsize.domain.seeds import derive_seed

_SETTING = "model"


@dataclass(frozen=True)
class Dearer:
    """A source whose costs are larger by a factor."""

    source: Source
    factor: float

    def cost(self, number: int, params: Params) -> float | None:
        """Return the larger cost."""
        cost = self.source.cost(number, params)
        return None if cost is None else cost * self.factor


@dataclass(frozen=True)
class Said:
    """What one report said of two jobs: None where it compared nothing."""

    rates_differ: bool | None
    second_is_better: bool | None
    second_is_worse: bool | None


def main() -> None:
    """Play pairs of jobs for some minutes, and print how often they are told apart."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.honesty.beside", description=__doc__)
    parser.add_argument("--pairs", type=int, default=4, help="pairs of equal and of different jobs, each landscape")
    parser.add_argument("--minutes", type=float, default=10, help="play no further jobs after this long")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    landscapes = [
        landscape
        for task in TASKS
        if task.role is Role.REPORTED
        for landscape in read_landscapes(task)
        if len(landscape.valleys) >= 2 and landscape.is_inside
    ]
    said: dict[bool, list[Said]] = {False: [], True: []}
    for index in range(args.pairs):
        for landscape in landscapes:
            if time.monotonic() < deadline:
                for differs, found in said.items():
                    found.append(_compare(landscape, index, differs=differs))
    print(f"{len(landscapes)} landscapes, {len(said[False])} pairs of equal jobs, {len(said[True])} of different ones")  # noqa: T201
    print(f"equal jobs: rates told apart {_share([one.rates_differ for one in said[False]])}, values "  # noqa: T201
          f"{_share([one.second_is_better or one.second_is_worse for one in said[False]])}")  # fmt: skip
    print(f"different jobs: the worse one found {_share([one.second_is_worse for one in said[True]])}, taken for the "  # noqa: T201
          f"better {_share([one.second_is_better for one in said[True]])}")  # fmt: skip


def _compare(landscape: Landscape, index: int, *, differs: bool) -> Said:
    factor = 1.0 + landscape.best.seed_sd if differs else 1.0
    jobs = [_job(landscape, index, name, factor if name == "that" else 1.0) for name in ("this", "that")]
    tables = [table for table in compare_jobs(jobs).tables if table.parameter == _SETTING]
    if not tables or not tables[0].pairs:
        return Said(None, None, None)
    pair, is_turned = tables[0].pairs[0], tables[0].rows[tables[0].pairs[0].rows[0]].choice == "that"
    low, high = pair.improvement.low or 0.0, pair.improvement.high or 0.0
    ratio_low, ratio_high = pair.rate_ratio.low or 1.0, pair.rate_ratio.high or 1.0
    better, worse = (high < 0, low > 0) if is_turned else (low > 0, high < 0)
    return Said(ratio_low > 1 or ratio_high < 1, better, worse)


def _job(landscape: Landscape, index: int, name: str, factor: float) -> Evidence:
    seed = derive_seed(0, landscape.name, index, name, str(factor))
    source = Dearer(Kept(landscape, np.random.default_rng(seed)), factor)
    return replace(play_job(landscape, source, seed=seed).evidence, fixed={_SETTING: name})


def _share(answers: Sequence[bool | None]) -> str:
    known = [answer for answer in answers if answer is not None]
    found = share(sum(known), len(known))
    if found.value is None or found.low is None or found.high is None:
        return "never compared"
    return f"{sum(known)} of {len(known)} ({found.low:.1%} to {found.high:.1%})"


if __name__ == "__main__":
    main()
