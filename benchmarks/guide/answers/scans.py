"""What several questions share: a parameter's choices, each with the learning rate tuned anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.guide import text
from benchmarks.guide.results import Run
from benchmarks.guide.statistics import (
    Estimate,
    best_log_rate,
    difference,
    estimate,
    good_decades,
    group,
    median_epochs_to,
    tuned,
    tuned_runs,
)
from stepsize.spec.space import Scalar

CHANCE = 0.1
"""The accuracy of guessing one of ten digits; what a training that diverged counts as."""
FAST = 0.9
"""Speed is the number of epochs to this accuracy."""


def accuracy(run: Run) -> float:
    """Return a run's last accuracy."""
    return CHANCE if run.accuracy is None else run.accuracy


@dataclass(frozen=True)
class Choice:
    """One value of a parameter over a scan of rates and seeds."""

    value: Scalar
    runs: Sequence[Run]

    @property
    def losses(self) -> Mapping[int, float]:
        """The tuned loss of each seed."""
        return tuned(self.runs)

    @property
    def loss(self) -> Estimate:
        return estimate(self.losses.values())

    @property
    def accuracy(self) -> Estimate:
        return estimate(tuned(self.runs, accuracy).values())

    @property
    def log_rates(self) -> Mapping[int, float]:
        return best_log_rate(self.runs)

    @property
    def best_rate(self) -> Estimate:
        return estimate(self.log_rates.values())

    @property
    def epochs_to_fast(self) -> float:
        """Median over seeds, at the tuned rates."""
        return median_epochs_to(tuned_runs(self.runs).values(), FAST)

    @property
    def n_epochs(self) -> int:
        return max(len(run.accuracies) for run in self.runs)

    @property
    def good_decades(self) -> float:
        return good_decades(self.runs)


def choices_of(runs: Sequence[Run], name: str) -> list[Choice]:
    """Return the choices of a parameter, in order."""
    return [Choice(value, found) for value, found in group(runs, name).items()]


def scan_table(choices: Sequence[Choice], name: str, *, baseline: Scalar | None = None) -> str:
    """Return a table with a row for each choice; with a baseline, also the paired difference from it."""
    reference = next((choice for choice in choices if choice.value == baseline), None)
    header = [name, "loss", "accuracy", "best rate (95 %)", "good region", f"epochs to {100 * FAST:.0f} %"]
    if reference is not None:
        header.insert(2, f"loss − loss at {baseline}")
    rows = []
    for choice in choices:
        row = [
            str(choice.value),
            text.plus_minus(choice.loss),
            text.percent_plus_minus(choice.accuracy),
            text.rate_interval(choice.best_rate),
            f"{choice.good_decades:.1f} decades",
            text.epochs(choice.epochs_to_fast, choice.n_epochs),
        ]
        if reference is not None:
            is_reference = choice is reference
            row.insert(2, "" if is_reference else text.signed(difference(choice.losses, reference.losses)))
        rows.append(row)
    return text.table(header, rows)


def shift_of_rate(low: Choice, high: Choice) -> Estimate:
    """Return by how many decades the best rate of one choice lies above another's, paired by seed."""
    return difference(high.log_rates, low.log_rates)


def shift_sentence(name: str, low: Choice, high: Choice) -> str:
    """Say whether the best rate moves between two choices, and how sure that is."""
    shift = shift_of_rate(low, high)
    factor = 10 ** abs(shift.value)
    ends = f"from {name} {low.value} to {high.value}"
    interval = f"{text.signed(shift, 2)} decades"
    if shift.is_clear:
        direction = "rises" if shift.value > 0 else "falls"
        return f"The best rate {direction} by a factor of {text.number(factor, 2)} {ends} ({interval})"
    return f"No shift of the best rate can be shown {ends} ({interval})"


def loss_sentence(name: str, low: Choice, high: Choice) -> str:
    """Say whether the tuned loss differs between two choices, and how sure that is."""
    found = difference(high.losses, low.losses)
    ends = f"from {name} {low.value} to {high.value}"
    if found.is_clear:
        direction = "rises" if found.value > 0 else "falls"
        return f"The loss at the tuned rate {direction} by {abs(found.value):.3f} {ends} ({text.signed(found)})"
    return f"No change of the loss at the tuned rate can be shown {ends} ({text.signed(found)})"


def worst_over_best(choices: Sequence[Choice]) -> float:
    """Return how many times the best choice's mean tuned loss the worst choice's is."""
    losses = [choice.loss.value for choice in choices]
    return max(losses) / min(losses)
