"""What too high and too low look like."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from benchmarks.guide import text
from benchmarks.guide.answers.scans import FAST, Choice, accuracy
from benchmarks.guide.results import Results, Run
from benchmarks.guide.statistics import UNLEARNED, by_rate, estimate, median_epochs_to, score


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    runs = results.runs["rates"]
    scan = by_rate(runs)
    best = best_of(scan)
    edge = edge_of(scan)
    n_diverged = sum(run.outcome == "diverged" for run in runs)
    n_stuck = sum(is_stuck(run) for run in above(scan, best))
    choice = Choice("", runs)
    lower, higher = ten_times_off(scan, best)
    return {
        "rates_table": rates_table(scan),
        "best_rate": text.rate(best),
        "best_rate_interval": text.rate_interval(choice.best_rate),
        "good_decades": f"{choice.good_decades:.1f}",
        "edge": text.rate(edge),
        "edge_over_best": text.number(edge / best, 2),
        "n_rates_seeds": str(len(next(iter(scan.values())))),
        "n_diverged": str(n_diverged),
        "n_stuck": str(n_stuck),
        "ten_times_off": _ten_times_off(lower / mean_loss(scan[best]), higher / mean_loss(scan[best])),
        "answer_rates": (
            f"Too low is a smooth curve that does not arrive in time. Too high is a loss that stays up or jumps about: "
            f"of the {n_diverged + n_stuck} trainings above the best rate that learned nothing, {n_diverged} ended as "
            f"`diverged` and {n_stuck} ran to the end at chance, their loss finite."
        ),
    }


def _ten_times_off(low: float, high: float) -> str:
    side = "low" if low < high else "high"
    return (
        f"ten times too low multiplied the loss by {low:.1f}, ten times too high by {high:.1f}: here, {side} was the "
        "cheaper side to err on"
    )


def rates_table(scan: Mapping[float, Mapping[int, Run]]) -> str:
    """Return a row for each rate."""
    rows = []
    for rate, found in scan.items():
        runs = list(found.values())
        rows.append(
            [
                text.rate(rate),
                text.plus_minus(estimate(map(score, runs))),
                text.percent_plus_minus(estimate(map(accuracy, runs))),
                f"{sum(run.outcome == 'diverged' for run in runs)} of {len(runs)}",
                f"{sum(map(is_stuck, runs))} of {len(runs)}",
                text.epochs(median_epochs_to(runs, FAST), max(len(run.accuracies) for run in runs)),
            ]
        )
    header = ["learning rate", "loss", "accuracy", "diverged", "at chance", f"epochs to {100 * FAST:.0f} % (median)"]
    return text.table(header, rows)


def is_stuck(run: Run) -> bool:
    """Tell whether a training ran to its end and learned nothing."""
    return run.accuracy is not None and run.accuracy < UNLEARNED


def above(scan: Mapping[float, Mapping[int, Run]], best: float) -> list[Run]:
    """Return all runs at rates above the best."""
    return [run for rate, found in scan.items() if rate > best for run in found.values()]


def best_of(scan: Mapping[float, Mapping[int, Run]]) -> float:
    """Return the rate with the lowest mean loss."""
    return min(scan, key=lambda rate: mean_loss(scan[rate]))


def edge_of(scan: Mapping[float, Mapping[int, Run]]) -> float:
    """Return the lowest rate above the best at which half of the trainings or more learned nothing."""
    best = best_of(scan)
    failing = (rate for rate, found in scan.items() if rate > best and _share_lost(list(found.values())) >= 0.5)
    return next(failing, max(scan))


def _share_lost(runs: Sequence[Run]) -> float:
    return fmean(run.accuracy is None or is_stuck(run) for run in runs)


def mean_loss(found: Mapping[int, Run]) -> float:
    """Return the mean over seeds."""
    return fmean(map(score, found.values()))


def ten_times_off(scan: Mapping[float, Mapping[int, Run]], best: float) -> tuple[float, float]:
    """Return the mean losses a decade below and above a rate, or at the end of the scan if it ends before."""
    nearest = [min(scan, key=lambda rate: abs(rate / (best * factor) - 1)) for factor in (0.1, 10.0)]
    return mean_loss(scan[nearest[0]]), mean_loss(scan[nearest[1]])
