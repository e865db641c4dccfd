"""Grid, random and Bayesian search, and cyclical rates that need none."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from benchmarks.guide import text
from benchmarks.guide.experiments import N_SEARCH_1, N_SEARCH_3, SAMPLERS
from benchmarks.guide.results import Results, Run
from benchmarks.guide.statistics import Estimate, best_so_far, difference, estimate, group, score, tuned

NAMES = {"grid": "grid", "random": "random", "tpe": "Bayesian (`tpe`)"}
WITHIN = 1.1
"""A search has arrived when it is within this factor of the lowest loss that any search found with the same seed."""


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    one, three = courses_of(results, 1), courses_of(results, 3)
    return {
        "search_1_table": search_table(one, results, 1, at=(N_SEARCH_1 // 4, N_SEARCH_1 // 2, N_SEARCH_1)),
        "search_3_table": search_table(three, results, 3, at=(N_SEARCH_3 // 4, N_SEARCH_3 // 2, N_SEARCH_3)),
        "n_search_seeds": str(len(one["tpe"])),
        "n_search_1": str(N_SEARCH_1),
        "n_search_3": str(N_SEARCH_3),
        "verdict_search_1": verdict(one, "one parameter"),
        "verdict_search_3": verdict(three, "three parameters"),
        "answer_searches": f"{verdict(one, 'one parameter')} {verdict(three, 'three parameters')}",
        "answer_search_diverged": _diverged(results),
        "cyclical_table": cyclical_table(results, one),
        "answer_cyclical": answer_cyclical(results, one),
        "cyclical_beside_tuned": _beside_tuned(results),
    }


def courses_of(results: Results, n_parameters: int) -> dict[str, dict[int, list[float]]]:
    """Return the best loss so far of each sampler's searches, by seed."""
    return {sampler: best_so_far(results.runs[f"search_{n_parameters}_{sampler}"]) for sampler in SAMPLERS}


Courses = Mapping[str, Mapping[int, Sequence[float]]]


def after(course: Mapping[int, Sequence[float]], n_trials: int) -> dict[int, float]:
    """Return each seed's best loss after so many trials."""
    return {seed: values[min(n_trials, len(values)) - 1] for seed, values in course.items()}


def trials_to_target(courses: Courses, sampler: str) -> list[float]:
    """Return for each seed the number of trials until the search has arrived; infinite: it never did."""
    found = []
    for seed, values in courses[sampler].items():
        target = WITHIN * min(course[seed][-1] for course in courses.values())
        found.append(next((float(n) for n, value in enumerate(values, start=1) if value <= target), math.inf))
    return found


def search_table(courses: Courses, results: Results, n_parameters: int, *, at: Sequence[int]) -> str:
    """Return a row for each sampler."""
    rows = []
    for sampler in SAMPLERS:
        arrivals = trials_to_target(courses, sampler)
        runs = results.runs[f"search_{n_parameters}_{sampler}"]
        middle = median(arrivals)
        rows.append(
            [
                NAMES[sampler],
                *(text.plus_minus(estimate(after(courses[sampler], n).values())) for n in at),
                text.number(middle) if math.isfinite(middle) else "—",
                f"{sum(map(math.isfinite, arrivals))} of {len(arrivals)}",
                text.percent(fmean(run.outcome == "diverged" for run in runs)),
            ]
        )
    header = ["search", *(f"best of {n} trials" for n in at), "trials to target", "arrived", "diverged"]
    return text.table(header, rows)


def _diverged(results: Results) -> str:
    shares = {
        sampler: fmean(run.outcome == "diverged" for n in (1, 3) for run in results.runs[f"search_{n}_{sampler}"])
        for sampler in SAMPLERS
    }
    told = text.listing([f"{text.percent(share)} for {NAMES[sampler]}" for sampler, share in shares.items()])
    return f"Over both spaces the share of trials that diverged was {told}."


def _arrived(courses: Courses, sampler: str) -> int:
    return sum(map(math.isfinite, trials_to_target(courses, sampler)))


def verdict(courses: Courses, space: str) -> str:
    """Say which searches can be told apart after the last trial."""
    n = len(next(iter(courses["tpe"].values())))
    pairs = [("tpe", "random"), ("tpe", "grid"), ("grid", "random")]
    clear = []
    for one, other in pairs:
        found = difference(after(courses[one], n), after(courses[other], n), n_comparisons=len(pairs))
        if found.is_clear:
            better, worse = (one, other) if found.value < 0 else (other, one)
            clear.append(f"{NAMES[better]} ends below {NAMES[worse]} (by {abs(found.value):.3f} ± {found.half:.3f})")
    if not clear:
        reached = [f"{_arrived(courses, sampler)} ({NAMES[sampler]})" for sampler in SAMPLERS]
        return (
            f"With {space} and {n} trials no search can be told from another by where it ends; the target was reached "
            f"by {text.listing(reached)} of {len(courses['tpe'])}."
        )
    return f"With {space} and {n} trials {text.listing(clear)}."


# -- cyclical rates -------------------------------------------------------------------------------------------------


def cyclical_variants(results: Results) -> dict[str, list[Run]]:
    """Return the runs of each kind of cycle."""
    found: dict[str, list[Run]] = {}
    for mode, runs in group(results.runs["cyclical"], "cycle_mode").items():
        for length, variant in group(runs, "cycle_length").items():
            found[f"`{mode}`, {length} epochs a cycle"] = variant
    return found


def losses_of(runs: Sequence[Run]) -> dict[int, float]:
    """Return the last loss of each seed."""
    return {run.seed: score(run) for run in runs}


def cyclical_table(results: Results, courses: Courses) -> str:
    """Return a row for each kind of cycle: its loss, and how many trials each search needs for a mean as low."""
    rows = []
    for name, runs in cyclical_variants(results).items():
        found = estimate(losses_of(runs).values())
        needs = [_shown(trials_needed(courses[sampler], found.value)) for sampler in SAMPLERS]
        rows.append([name, text.plus_minus(found), *needs])
    return text.table(
        ["cyclical rate, one training", "loss", *(f"{NAMES[sampler]} needs" for sampler in SAMPLERS)], rows
    )


def trials_needed(course: Mapping[int, Sequence[float]], loss: float) -> int | None:
    """Return after how many trials the mean best loss of a search is as low as this."""
    n = len(next(iter(course.values())))
    return next((k for k in range(1, n + 1) if fmean(after(course, k).values()) <= loss), None)


def _shown(n: int | None) -> str:
    return "more than were run" if n is None else text.plural(n, "trial")


def best_cyclical(results: Results) -> tuple[str, Estimate, dict[int, float]]:
    """Return the kind of cycle with the lowest mean loss."""
    variants = cyclical_variants(results)
    name = min(variants, key=lambda one: fmean(losses_of(variants[one]).values()))
    losses = losses_of(variants[name])
    return name, estimate(losses.values()), losses


def _beside_tuned(results: Results) -> str:
    """Compare the best cycle with a constant rate that other seeds chose, which no luck has flattered."""
    _, _, losses = best_cyclical(results)
    gap = difference(losses, tuned(results.runs["rates"]))
    verdict = "clearly higher" if gap.value > 0 else "clearly lower"
    told = verdict if gap.is_clear else "no clear difference"
    return f"{text.signed(gap)} ({told})"


def answer_cyclical(results: Results, courses: Courses) -> str:
    """Compare the best cycle with where the searches end."""
    name, found, losses = best_cyclical(results)
    ends = {
        sampler: difference(losses, after(course, N_SEARCH_1), n_comparisons=len(courses))
        for sampler, course in courses.items()
    }
    worse = [NAMES[sampler] for sampler, gap in ends.items() if gap.is_clear and gap.value > 0]
    better = [NAMES[sampler] for sampler, gap in ends.items() if gap.is_clear and gap.value < 0]
    head = (
        f"One training with a cyclical rate between the range test's bounds ({name}) reached {text.plus_minus(found)}"
    )
    if worse:
        return f"{head}: clearly above the best of {N_SEARCH_1} constant rates found by {text.listing(worse)} search."
    if better:
        return f"{head}: clearly below the best of {N_SEARCH_1} constant rates found by {text.listing(better)} search."
    return f"{head}: it can't be told from the best of {N_SEARCH_1} constant rates that any of the searches found."
