"""How the best learning rate moves with the batch size."""

import math
from collections.abc import Sequence

from benchmarks.guide import text
from benchmarks.guide.answers.scans import Choice, choices_of, scan_table
from benchmarks.guide.results import Results
from benchmarks.guide.statistics import Estimate, by_rate, difference, estimate, score, slope

REFERENCE = 64
"""The batch size whose rate is tried at all others."""
LAWS = {"a rate that ignores the batch size": 0.0, "the square-root rule": 0.5, "the linear rule": 1.0}


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    choices = batch_choices(results)
    found = exponent(choices)
    fitting = [name for name, value in LAWS.items() if found.low <= value <= found.high]
    excluded = [name for name in LAWS if name not in fitting]
    fits = f"that fits {text.listing(fitting)}" if fitting else "that fits none of the rules"
    without = f" and excludes {text.listing(excluded)}" if excluded and fitting else ""
    return {
        "batch_table": scan_table(choices, "batch size", baseline=REFERENCE),
        "borrowed_table": borrowed_table(choices),
        "exponent": text.plus_minus(found, 2),
        "answer_batch_sizes": (
            f"The best rate grew as batch size to the power {text.plus_minus(found, 2)}: {fits}{without}, over batch "
            f"sizes {choices[0].value} to {choices[-1].value}."
        ),
        "answer_borrowed": _answer_borrowed(choices),
    }


def batch_choices(results: Results) -> list[Choice]:
    """Return the batch sizes, smallest first."""
    return choices_of(results.runs["batch_sizes"], "batch_size")


def exponent(choices: Sequence[Choice]) -> Estimate:
    """Return b of best rate ∝ batch size^b, fitted for each seed by itself."""
    x = [math.log10(float(choice.value)) for choice in choices]
    by_seed = [choice.log_rates for choice in choices]
    return estimate(slope(x, [logs[seed] for logs in by_seed]) for seed in by_seed[0])


def borrowed(choices: Sequence[Choice]) -> dict[int, Estimate]:
    """Return for each other batch size how much higher the loss is at the reference's best rate than at its own."""
    reference = next(choice for choice in choices if choice.value == REFERENCE)
    wanted = reference.best_rate.value
    found = {}
    for choice in choices:
        if choice is reference:
            continue
        scan = by_rate(choice.runs)
        nearest = min(scan, key=lambda rate: abs(math.log10(rate) - wanted))
        losses = {seed: score(run) for seed, run in scan[nearest].items()}
        found[int(choice.value)] = difference(losses, choice.losses)
    return found


def borrowed_table(choices: Sequence[Choice]) -> str:
    """Return a row for each batch size that uses another's rate."""
    rows = [[str(size), text.signed(gap), "yes" if gap.is_clear else "no"] for size, gap in borrowed(choices).items()]
    return text.table(["batch size", f"loss at {REFERENCE}'s rate − loss at its own", "clear?"], rows)


def _answer_borrowed(choices: Sequence[Choice]) -> str:
    gaps = borrowed(choices)
    costly = [str(size) for size, gap in gaps.items() if gap.is_clear and gap.value > 0]
    if not costly:
        return (
            f"Keeping the rate of batch size {REFERENCE} cost nothing that could be shown at any other batch size: the "
            "good regions overlap."
        )
    return (
        f"Keeping the rate of batch size {REFERENCE} had a cost that can be shown at batch size {text.listing(costly)}."
    )
