"""Are our answers true? `make bench-honesty` plays jobs of 60 trials over the kept trainings of benchmarks/truth.

Each job is searched by the product's own search with a seed of its own for every trial, ends with the product's own
checks, and is answered by its own report. A tenth of the jobs train live, as does a fifth of the comparisons of one
choice under two names. Figures are told about tasks on which no constant was chosen; their intervals come from drawing
whole tasks anew. It prints the figures beside their targets and one JSON line.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np

from benchmarks.honesty.comparing import Claim
from benchmarks.honesty.figures import Measured, group, mean, measure, median
from benchmarks.honesty.plays import play_all, plays_of
from benchmarks.honesty.scores import Score
from benchmarks.orchestration import print_table
from benchmarks.truth.data import TRACES
from benchmarks.truth.inputs import write_inputs
from benchmarks.truth.tasks import TASKS, Role
from benchmarks.truth.valleys import KNOWN, read_landscapes

SURE = ("well_supported", "fairly_sure")
WORDS = (*SURE, "low", "none")


@dataclass(frozen=True)
class Target:
    """A figure and what it should be."""

    name: str
    wanted: str
    measured: Measured
    low: float = -np.inf
    high: float = np.inf
    scale: float = 100
    digits: int = 0
    by: str = "value"
    """Which number of the figure is judged: itself, or an end of its interval."""

    @property
    def is_reached(self) -> bool:
        return bool(self.low <= getattr(self.measured, self.by) <= self.high)


def main() -> None:
    """Play all jobs and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.honesty", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10, help="jobs a landscape (a task and a metric)")
    parser.add_argument("--role", choices=[role.value for role in Role], default=Role.REPORTED.value)
    parser.add_argument("--tasks", nargs="*", default=[], help="names of tasks; all without any")
    parser.add_argument("--minutes", type=float, default=60, help="play no further jobs after this long")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="jobs played at once; one a core")
    parser.add_argument("--no-live", action="store_true", help="train nothing")
    args = parser.parse_args()
    write_inputs(TRACES / "datasets")
    found = [
        landscape
        for task in TASKS
        if task.role == args.role and (not args.tasks or task.name in args.tasks)
        for landscape in read_landscapes(task)
    ]
    landscapes = [landscape for landscape in found if len(landscape.valleys) >= 2 and landscape.is_inside]
    plays = list(plays_of(landscapes, args.jobs, is_live_too=not args.no_live))
    scores, claims = play_all(plays, time.monotonic() + 60 * args.minutes, args.processes)
    targets = judge(scores, claims)
    left_out = sorted({one.name for one in found} - {one.name for one in landscapes})
    n_landscapes, n_tasks = len({one.cell for one in scores}), len({one.task for one in scores})
    say(
        f"{len(scores)} jobs on {n_landscapes} landscapes of {n_tasks} tasks, {sum(one.is_live for one in scores)} "
        "trained live; "
        f"{len(claims)} more that compare two choices, {sum(one.is_live for one in claims)} trained live"
    )
    say(f"processor time of a report: {median([one.analysis_s for one in scores]):.1f} s")
    say(f"left out, as a batch size has its best rate at an end of those tried: {', '.join(left_out) or 'none'}")
    say(f"load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
    print_table(
        ("figure", "target", "measured", "reached"),
        [
            [one.name, one.wanted, one.measured.shown(one.scale, one.digits), "yes" if one.is_reached else "NO"]
            for one in targets
        ],
    )
    print_table(("words", "jobs", "regret: median", "95 %", "worst"), [regret_row(scores, words) for words in WORDS])
    print_table(
        ("task", "rate", "rows", "b", "value", "width", "fairly sure", "regret", "arg-min's"),
        [task_row(name, mine) for name, mine in group(scores, lambda one: one.task).items()],
    )
    print(json.dumps({"targets": [summary(one) for one in targets], "load": os.getloadavg()}))  # noqa: T201


def judge(scores: Sequence[Score], claims: Sequence[Claim]) -> list[Target]:
    """Return every figure beside its target."""
    by_task = group(scores, lambda one: one.task)

    def share(pick: str) -> Measured:
        picked = {task: [getattr(one, pick) for one in mine] for task, mine in by_task.items()}
        return measure({task: [v for v in mine if v is not None] for task, mine in picked.items()}, mean)

    def flat(pick: str) -> dict[str, list[float]]:
        return {task: [value for one in mine for value in getattr(one, pick)] for task, mine in by_task.items()}

    widths = {task: [one.rate_width for one in mine if one.rate_width is not None] for task, mine in by_task.items()}
    sure = {task: [one.words in SURE for one in mine] for task, mine in by_task.items()}
    ratios = {
        task: [one.regret / one.argmin_regret for one in mine if one.regret is not None]
        for task, mine in by_task.items()
    }
    more = {
        task: [one.chance - one.argmin_chance for one in mine if one.chance is not None]
        for task, mine in by_task.items()
    }
    claimed = {
        differs: {
            task: [one.claimed for one in mine if one.differs is differs]
            for task, mine in group(claims, lambda one: one.task).items()
        }
        for differs in (False, True)
    }
    known_rates = {
        task: [one.rate_covers for one in mine if one.rate_covers is not None and (one.rate_error or 0.0) <= KNOWN]
        for task, mine in by_task.items()
    }
    known_b = {
        task: [one.b_covers for one in mine if one.b_covers is not None and one.b_error <= KNOWN]
        for task, mine in by_task.items()
    }
    return [
        Target("rate: interval covers, %", "90 to 99", share("rate_covers"), 0.90, 0.99),
        Target("rate, where the truth has an error ≤ 0.1", "90 to 99", measure(known_rates, mean), 0.90, 0.99),
        Target("rate, rows by batch size, %", "90 to 99", measure(flat("rows_cover"), mean), 0.90, 0.99),
        Target("b: interval covers, %", "90 to 99", share("b_covers"), 0.90, 0.99),
        Target("b, where the truth has an error ≤ 0.1", "90 to 99", measure(known_b, mean), 0.90, 0.99),
        Target("rate: median width, decades", "≤ 0.5", measure(widths, median), high=0.5, scale=1, digits=2),
        Target("at least fairly sure, %", "≥ 60", measure(sure, mean), low=0.60),
        Target("true difference found, %", "≥ 70", measure(claimed[True], mean), low=0.70),
        Target("promised value covers, %", "88 to 99", share("value_covers"), 0.88, 0.99),
        Target("confirmed value covers, %", "88 to 99", share("confirmed_covers"), 0.88, 0.99),
        Target("disjoint pairs of b, %", "≤ 3", measure(disjoint_pairs(scores), mean), high=0.03, digits=1),
        Target("false comparisons, %", "≤ 5", measure(claimed[False], mean), high=0.05, digits=1),
        Target("cost ÷ arg-min's", "upper end ≤ 1.02", measure(ratios, mean), high=1.02, scale=1, digits=3, by="high"),
        Target("diverged, %", "≤ 5", share("chance"), high=0.05, digits=1),
        Target("diverged, minus arg-min's, %", "≤ 0", measure(more, mean), high=0.0, digits=1),
    ]


def disjoint_pairs(scores: Sequence[Score]) -> dict[str, list[bool]]:
    """Return for each two jobs of one landscape whether their intervals of b have nothing in common; by task."""
    pairs: dict[str, list[bool]] = {}
    for mine in group(scores, lambda one: one.cell).values():
        known = [one for one in mine if one.b is not None]
        for one, other in combinations(known, 2):
            assert one.b is not None
            assert other.b is not None
            pairs.setdefault(one.task, []).append(one.b.is_apart_from(other.b))
    return pairs


def regret_row(scores: Sequence[Score], words: str) -> list[str]:
    """Return what answers with these words cost beside the best there is."""
    regrets = [one.regret for one in scores if one.words == words and one.regret is not None]
    share = sum(one.words == words for one in scores) / max(1, len(scores))
    if not regrets:
        return [words, f"{share:.0%}", "–", "–", "–"]
    middle, high, worst = np.quantile(regrets, [0.5, 0.95, 1.0])
    return [words, f"{share:.0%}", f"{middle:.3f}", f"{high:.3f}", f"{worst:.3f}"]


def task_row(name: str, scores: Sequence[Score]) -> list[str]:
    """Return one task's figures."""

    def percent(values: Iterator[float | bool | None]) -> str:
        known = [value for value in values if value is not None]
        return f"{mean(known):.0%}" if known else "–"

    return [
        name,
        percent(one.rate_covers for one in scores),
        percent(covers for one in scores for covers in one.rows_cover),
        percent(one.b_covers for one in scores),
        percent(one.value_covers for one in scores),
        f"{median([one.rate_width for one in scores if one.rate_width is not None]):.2f}",
        percent(one.words in SURE for one in scores),
        f"{mean([one.regret for one in scores if one.regret is not None]):.3f}",
        f"{mean([one.argmin_regret for one in scores]):.3f}",
    ]


def summary(target: Target) -> dict[str, object]:
    """Return a figure for the JSON line."""
    return {"name": target.name, "target": target.wanted, "reached": target.is_reached, **asdict(target.measured)}


def say(line: str) -> None:
    """Print a line of the result."""
    print(line)  # noqa: T201 - the product of this script


if __name__ == "__main__":
    main()
