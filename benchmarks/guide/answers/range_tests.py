"""What the range test says, beside trainings at every rate."""

import math

from benchmarks.guide import text
from benchmarks.guide.answers.scans import Choice, choices_of
from benchmarks.guide.experiments import RANGE_TEST
from benchmarks.guide.results import Results, Sweep


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    best = {choice.value: choice for choice in choices_of(results.runs["batch_sizes"], "batch_size")}
    pairs = [(sweep, best[sweep.batch_size]) for sweep in results.sweeps if sweep.batch_size in best]
    inside = [holds(sweep, choice) for sweep, choice in pairs]
    distances = [abs(distance) for sweep, choice in pairs if (distance := distance_of(sweep, choice)) is not None]
    worst = f" and at most {max(distances):.1f}" if len(distances) > 1 else ""
    return {
        "range_table": range_table(pairs),
        "range_seeds": str(RANGE_TEST["seeds"]),
        "range_inside": f"{sum(inside)} of {len(inside)}",
        "answer_range_test": (
            f"At {sum(inside)} of {len(inside)} batch sizes the best rate of the full trainings lay between `low` and "
            f"`high`; the suggestion was {sorted(distances)[len(distances) // 2]:.1f} decades from it in the median"
            f"{worst}."
        ),
    }


def range_table(pairs: list[tuple[Sweep, Choice]]) -> str:
    """Return a row for each batch size."""
    rows = []
    for sweep, choice in pairs:
        distance = distance_of(sweep, choice)
        rows.append(
            [
                str(sweep.batch_size),
                _shown(sweep.low[0]),
                f"{_shown(sweep.suggestion[0])} ({_shown(sweep.suggestion[1])} to {_shown(sweep.suggestion[2])})",
                _shown(sweep.high[0]),
                text.rate_interval(choice.best_rate),
                "—" if distance is None else f"{distance:+.2f}".replace("-", "−"),
            ]
        )
    header = ["batch size", "low", "suggestion (95 %)", "high", "best of full trainings (95 %)", "distance, decades"]
    return text.table(header, rows)


def _shown(value: float | None) -> str:
    return "—" if value is None else text.rate(value)


def holds(sweep: Sweep, choice: Choice) -> bool:
    """Tell whether the best rate lies between the test's bounds."""
    low, high = sweep.low[0], sweep.high[0]
    return low is not None and high is not None and low <= 10**choice.best_rate.value <= high


def distance_of(sweep: Sweep, choice: Choice) -> float | None:
    """Return by how many decades the suggestion lies above the best rate."""
    suggestion = sweep.suggestion[0]
    return None if suggestion is None else math.log10(suggestion) - choice.best_rate.value
