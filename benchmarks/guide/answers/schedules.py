"""Schedules compared, each at a learning rate of its own."""

from collections.abc import Mapping, Sequence

from benchmarks.guide import text
from benchmarks.guide.answers.scans import Choice, choices_of
from benchmarks.guide.results import Results
from benchmarks.guide.statistics import Estimate, difference

BASELINE = "constant"


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    choices = ranked(results)
    gains = differences(choices)
    better = [name for name, gain in gains.items() if gain.is_clear and gain.value < 0]
    worse = [name for name, gain in gains.items() if gain.is_clear and gain.value > 0]
    constant = _constant(choices)
    widest = max(choices, key=lambda choice: choice.good_decades)
    return {
        "schedules_table": _table(choices, gains),
        "n_schedules": str(len(choices)),
        "n_schedule_seeds": str(constant.loss.n),
        "best_schedule": str(choices[0].value),
        "constant_rank": str(choices.index(constant) + 1),
        "constant_decades": f"{constant.good_decades:.1f}",
        "widest_schedule": str(widest.value),
        "widest_decades": f"{widest.good_decades:.1f}",
        "schedule_rates": _rates_sentence(choices, constant),
        "answer_schedules": _answer(better, worse, choices, gains),
    }


def ranked(results: Results) -> list[Choice]:
    """Return the schedules, lowest tuned loss first."""
    return sorted(choices_of(results.runs["schedules"], "schedule"), key=lambda choice: choice.loss.value)


def differences(choices: Sequence[Choice]) -> dict[str, Estimate]:
    """Return each schedule's tuned loss minus the constant rate's, paired by seed; all intervals hold together."""
    constant = _constant(choices)
    others = [choice for choice in choices if choice is not constant]
    return {
        str(choice.value): difference(choice.losses, constant.losses, n_comparisons=len(others)) for choice in others
    }


def _constant(choices: Sequence[Choice]) -> Choice:
    return next(choice for choice in choices if choice.value == BASELINE)


def _table(choices: Sequence[Choice], gains: Mapping[str, Estimate]) -> str:
    rows = [
        [
            f"`{choice.value}`",
            text.plus_minus(choice.loss),
            text.signed(gains[str(choice.value)]) if choice.value in gains else "",
            text.percent_plus_minus(choice.accuracy),
            text.rate_interval(choice.best_rate),
            f"{choice.good_decades:.1f} decades",
        ]
        for choice in choices
    ]
    header = ["schedule", "loss", "loss − constant's", "accuracy", "best rate (95 %)", "good region"]
    return text.table(header, rows)


def _answer(
    better: Sequence[str], worse: Sequence[str], choices: Sequence[Choice], gains: Mapping[str, Estimate]
) -> str:
    parts = []
    if better:
        parts.append(f"clearly better than a constant rate: {text.listing([f'`{name}`' for name in better])}")
    if worse:
        parts.append(f"clearly worse: {text.listing([f'`{name}`' for name in worse])}")
    if not parts:
        parts.append(f"of {len(gains)} schedules none can be told from a constant rate")
    told = "; ".join(parts)
    return f"{told[0].upper()}{told[1:]}; the lowest mean loss was `{choices[0].value}`'s."


def _rates_sentence(choices: Sequence[Choice], constant: Choice) -> str:
    others = [choice for choice in choices if choice is not constant]
    shifts = [difference(choice.log_rates, constant.log_rates, n_comparisons=len(others)) for choice in others]
    higher = [shift.value for shift in shifts if shift.is_clear and shift.value > 0]
    if not higher:
        return "No schedule's best peak rate can be shown to be higher than the constant one's."
    factors = text.listing([text.number(10**shift, 2) for shift in (min(higher), max(higher))])
    return (
        f"What differs is the peak: for {len(higher)} of {len(others)} the best peak rate is clearly higher than the "
        f"best constant rate, by factors between {factors}. Who changes the schedule must tune the rate again."
    )
