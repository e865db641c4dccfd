"""What articles about learning rates print, judged by what the jobs measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stepsize.domain.jobs_report import SettingPair, SettingTable


class Kind(StrEnum):
    """In what the second choice is said to differ from the first."""

    HIGHER_RATE = "a higher rate"
    LOWER_RATE = "a lower rate"
    BETTER = "a better value"


@dataclass(frozen=True)
class Claim:
    """One printed sentence.

    Attributes:
        says: the sentence.
        setting: in whose table it is judged.
        first, second: the choices; the second is said to differ from the first.
    """

    says: str
    setting: str
    first: object
    second: object
    kind: Kind


CLAIMS: dict[str, Sequence[Claim]] = {
    "activations": (
        Claim("Sigmoid wants lower rates than ReLU.", "activation", "relu", "sigmoid", Kind.LOWER_RATE),
        Claim("Tanh wants lower rates than ReLU.", "activation", "relu", "tanh", Kind.LOWER_RATE),
        Claim("GELU does better than ReLU.", "activation", "relu", "gelu", Kind.BETTER),
    ),
    "decay": (
        Claim("Step decay does better than a constant rate.", "schedule", "constant", "step", Kind.BETTER),
        Claim("Step decay at milestones does better.", "schedule", "constant", "multi_step", Kind.BETTER),
        Claim("Exponential decay does better.", "schedule", "constant", "exponential", Kind.BETTER),
        Claim("Polynomial decay does better.", "schedule", "constant", "polynomial", Kind.BETTER),
        Claim("Time-based decay does better.", "schedule", "constant", "time_based", Kind.BETTER),
        Claim("Inverse square root decay does better.", "schedule", "constant", "inverse_sqrt", Kind.BETTER),
        Claim("Linear decay does better.", "schedule", "constant", "linear", Kind.BETTER),
        Claim("Cosine decay does better.", "schedule", "constant", "cosine", Kind.BETTER),
        Claim("One cycle does better.", "schedule", "constant", "one_cycle", Kind.BETTER),
        Claim("One cycle allows higher rates.", "schedule", "constant", "one_cycle", Kind.HIGHER_RATE),
    ),
    "methods": (
        Claim("Adam does better than plain SGD.", "optimizer", "sgd", "adam", Kind.BETTER),
        Claim("Adam wants lower rates than SGD.", "optimizer", "sgd", "adam", Kind.LOWER_RATE),
        Claim("RMSprop does better than AdaGrad.", "optimizer", "adagrad", "rmsprop", Kind.BETTER),
    ),
    "architectures": (
        Claim("Residual networks stand higher rates.", "model", "cnn", "resnet18", Kind.HIGHER_RATE),
        Claim("A deeper residual network wants lower rates.", "model", "resnet18", "resnet50", Kind.LOWER_RATE),
    ),
    "sizes": (Claim("Wider networks want lower rates.", "width", 8, 128, Kind.LOWER_RATE),),
    "data_quality": (Claim("Wrong labels ask for lower rates.", "label_noise", 0.0, 0.4, Kind.LOWER_RATE),),
    "regularisation": (
        Claim("Dropout stands higher rates.", "dropout", 0.0, 0.3, Kind.HIGHER_RATE),
        Claim("Weight decay makes the result better.", "weight_decay", 0.0, 0.01, Kind.BETTER),
    ),
}


def judge(claim: Claim, tables: Sequence[SettingTable]) -> str:
    """Return whether a claim holds here, fails here, or can't be told, with the number that says so."""
    pairs = [
        (table, pair)
        for table in tables
        if table.parameter == claim.setting
        for pair in table.pairs
        if {str(table.rows[at].choice) for at in pair.rows} == {str(claim.first), str(claim.second)}
    ]
    if not pairs:
        return "not compared: one of the two has no number"
    table, pair = pairs[0]
    low, value, high = _difference(claim, pair, is_turned=str(table.rows[pair.rows[0]].choice) != str(claim.first))
    if low is None or value is None or high is None:
        return "not compared: one of the two has no number"
    equal, unit = (0.0, "better by ") if claim.kind is Kind.BETTER else (1.0, "times the rate: ")
    is_up = claim.kind is not Kind.LOWER_RATE
    verdict = "**can't be told here**"
    if low > equal or high < equal:
        verdict = "holds here" if (low > equal) is is_up else "**fails here**"
    return f"{verdict} ({unit}{value:.2g}, {low:.2g} to {high:.2g})"


def _difference(claim: Claim, pair: SettingPair, *, is_turned: bool) -> tuple[float | None, float | None, float | None]:
    """Return the interval of the second choice's difference from the first."""
    if claim.kind is Kind.BETTER:
        found = pair.improvement
        ends = found.low, found.value, found.high
        return (_negative(ends[2]), _negative(ends[1]), _negative(ends[0])) if is_turned else ends
    found = pair.rate_ratio
    ends = found.low, found.value, found.high
    return (_inverse(ends[2]), _inverse(ends[1]), _inverse(ends[0])) if is_turned else ends


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _inverse(value: float | None) -> float | None:
    return None if not value else 1 / value
