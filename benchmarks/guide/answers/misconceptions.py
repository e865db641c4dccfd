"""Four things people say about the learning rate, and what the runs say."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from benchmarks.guide import text
from benchmarks.guide.answers import schedules
from benchmarks.guide.answers.batch_sizes import batch_choices
from benchmarks.guide.answers.rates import best_of, mean_loss, ten_times_off
from benchmarks.guide.answers.scans import Choice, choices_of, worst_over_best
from benchmarks.guide.results import Results, Run
from benchmarks.guide.statistics import by_rate, difference, estimate, median_epochs_to, score

TARGETS = (0.8, 0.9, 0.95)
"""Accuracies that speed is measured to."""
FAST_TARGET = 0.9
"""The one that the answer is about."""

Scan = Mapping[float, Mapping[int, Run]]


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    return {
        **_higher_is_faster(by_rate(results.runs["rates"])),
        **_lower_is_better(by_rate(results.runs["rates"]), by_rate(results.runs["long"])),
        **_constant_is_best(results),
        **_all_that_matters(results),
    }


# -- higher is always faster ----------------------------------------------------------------------------------------


def speed(scan: Scan, target: float) -> dict[float, float]:
    """Return the median number of epochs to an accuracy, by rate; infinite: half of the seeds never reach it."""
    return {rate: median_epochs_to(found.values(), target) for rate, found in scan.items()}


def _higher_is_faster(scan: Scan) -> dict[str, str]:
    speeds = {target: speed(scan, target) for target in TARGETS}
    n_epochs = max(len(run.accuracies) for found in scan.values() for run in found.values())
    rows = [[text.rate(rate), *(text.epochs(speeds[target][rate], n_epochs) for target in TARGETS)] for rate in scan]
    middle = speeds[FAST_TARGET]
    fastest = min(middle.values())
    fast = [rate for rate, epochs in middle.items() if epochs == fastest]
    higher = [rate for rate in scan if rate > max(fast)]
    never = [rate for rate in higher if math.isinf(middle[rate])]
    return {
        "speed_table": text.table(["learning rate", *(f"epochs to {100 * target:.0f} %" for target in TARGETS)], rows),
        "answer_higher": (
            f"{'Only up to a point' if higher else 'In these runs, yes'}. Fastest to {100 * FAST_TARGET:.0f} % were "
            f"{text.listing([text.rate(rate) for rate in fast])}, with {text.number(fastest)} epochs; of the "
            f"{len(higher)} higher rates tried, {len(never)} never got there in {n_epochs} epochs."
        ),
    }


# -- lower is always better -----------------------------------------------------------------------------------------


def _lower_is_better(short: Scan, long: Scan) -> dict[str, str]:
    n_long = max(len(run.losses) for found in long.values() for run in found.values())
    n_short = max(len(run.losses) for found in short.values() for run in found.values())
    rows = []
    for rate, found in long.items():
        brief = short.get(rate, {})
        rows.append(
            [
                text.rate(rate),
                text.plus_minus(estimate(map(score, brief.values()))) if brief else "",
                text.plus_minus(estimate(map(score, found.values()))),
            ]
        )
    best = best_of(long)
    lower = [rate for rate in long if rate < best]
    gaps = [difference(_losses(long[rate]), _losses(long[best])) for rate in lower]
    clear = sum(gap.is_clear and gap.value > 0 for gap in gaps)
    lowest = min(long)
    return {
        "n_long": str(n_long),
        "long_table": text.table(
            ["learning rate", f"loss after {n_short} epochs", f"loss after {n_long} epochs"], rows
        ),
        "answer_lower": (
            f"{'Not so here' if clear else 'Not refuted here'}. With {n_long / n_short:g} times the epochs the best of "
            f"these rates was {text.rate(best)}, and {clear} of the {len(lower)} lower ones were clearly worse: "
            f"{text.rate(lowest)} ended at {mean_loss(long[lowest]):.2f} instead of {mean_loss(long[best]):.2f}, still "
            f"falling by {late_fall(long[lowest]):.2f} in the last tenth of its epochs."
        ),
    }


def late_fall(found: Mapping[int, Run]) -> float:
    """Return how much the loss fell over the last tenth of the epochs, mean over seeds: is it still on its way?"""
    return fmean(run.losses[-1 - max(1, len(run.losses) // 10)] - run.losses[-1] for run in found.values())


def _losses(found: Mapping[int, Run]) -> dict[int, float]:
    return {seed: score(run) for seed, run in found.items()}


# -- constant is best -----------------------------------------------------------------------------------------------


def _constant_is_best(results: Results) -> dict[str, str]:
    choices = schedules.ranked(results)
    gains = schedules.differences(choices)
    lower = sum(gain.value < 0 for gain in gains.values())
    n_seeds = choices[0].loss.n
    better = [name for name, gain in gains.items() if gain.is_clear and gain.value < 0]
    head = f"{lower} of {len(gains)} schedules had a lower mean loss than a constant rate"
    if better:
        tail = f"for {text.listing([f'`{name}`' for name in better])} the difference is clear. So: no."
    else:
        worse = sum(gain.is_clear and gain.value > 0 for gain in gains.values())
        tail = (
            f"with {n_seeds} seeds none is clearly lower, and {text.count(worse)} clearly higher. On this short "
            "training a constant rate holds its own, once it is tuned."
        )
    return {"answer_constant": f"{head}; {tail}"}


# -- the only parameter that matters --------------------------------------------------------------------------------


def _all_that_matters(results: Results) -> dict[str, str]:
    importances = sorted(results.importances.items(), key=lambda item: -item[1])
    too_low, too_high = off_by_ten(results)
    tuned, data = ratios(_settings(results)), ratios(_data(results))
    rows = {"learning rate, ten times too low": too_low, "learning rate, ten times too high": too_high, **tuned, **data}
    largest = max(tuned, key=tuned.__getitem__)
    share = results.importances.get("learning_rate", 0.0)
    n_over_high, n_over_low = (sum(ratio > own for ratio in tuned.values()) for own in (too_high, too_low))
    return {
        "importances_table": text.table(
            ["parameter", "share"], [[f"`{name}`", text.percent(value)] for name, value in importances]
        ),
        "n_many": str(len(results.runs["many"])),
        "matters_table": text.table(
            ["what is changed", "worst loss ÷ best loss"],
            [[name, text.number(ratio)] for name, ratio in sorted(rows.items(), key=lambda item: -item[1])],
        ),
        "answer_only": (
            f"No. A rate ten times too high multiplied the loss by {text.number(too_high, 2)}, and ten times too low "
            f"by {text.number(too_low, 2)}. Of {len(tuned)} other settings (the data itself left aside), with the rate "
            f"tuned for each choice, {text.count(n_over_high)} made a larger difference than the first and "
            f"{text.count(n_over_low)} than the second, the largest a factor of {text.number(tuned[largest], 2)} "
            f"({largest}). In a search over {len(importances)} parameters the learning rate's share of importance was "
            f"{text.percent(share)}."
        ),
    }


def off_by_ten(results: Results) -> tuple[float, float]:
    """Return how many times the best rate's mean loss that of rates ten times too low and too high is."""
    scan = by_rate(results.runs["rates"])
    best = best_of(scan)
    low, high = ten_times_off(scan, best)
    return low / mean_loss(scan[best]), high / mean_loss(scan[best])


def ratios(choices: Mapping[str, Sequence[Choice]]) -> dict[str, float]:
    """Return how many times the best choice's mean loss the worst one's is, each at its tuned rate."""
    return {f"{name}, {_ends(found)}": worst_over_best(found) for name, found in choices.items()}


def _settings(results: Results) -> dict[str, list[Choice]]:
    names = ("width", "depth", "weight_decay", "dropout", "label_smoothing")
    return {
        "schedule": schedules.ranked(results),
        "batch size": batch_choices(results),
        "activation": choices_of(results.runs["activations"], "activation"),
        **{name: choices_of(results.runs[name], name) for name in names},
    }


def _data(results: Results) -> dict[str, list[Choice]]:
    return {name: choices_of(results.runs[name], name) for name in ("train_fraction", "label_noise")}


def _ends(choices: Sequence[Choice]) -> str:
    if isinstance(choices[0].value, str):
        return f"{len(choices)} kinds"
    return f"{choices[0].value} to {choices[-1].value}"
