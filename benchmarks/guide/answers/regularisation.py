"""Weight decay, dropout and label smoothing where there is little data."""

from benchmarks.guide import text
from benchmarks.guide.answers.scans import Choice, choices_of, scan_table, shift_of_rate
from benchmarks.guide.results import Results
from benchmarks.guide.statistics import difference

NAMES = ("weight_decay", "dropout", "label_smoothing")


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    found: dict[str, str] = {}
    for name in NAMES:
        choices = choices_of(results.runs[name], name)
        found[f"{name}_table"] = scan_table(choices, f"`{name}`", baseline=0.0)
        found[f"answer_{name}"] = _answer(name, choices)
    found["answer_regularisation"] = " ".join(found[f"answer_{name}"] for name in NAMES)
    return found


def _answer(name: str, choices: list[Choice]) -> str:
    none, *others = choices
    n = len(others)
    gains = {str(choice.value): difference(choice.losses, none.losses, n_comparisons=n) for choice in others}
    better = [value for value, gain in gains.items() if gain.is_clear and gain.value < 0]
    worse = [value for value, gain in gains.items() if gain.is_clear and gain.value > 0]
    parts = []
    if better:
        parts.append(f"lowers the loss at {text.listing(better)}")
    if worse:
        parts.append(f"raises it at {text.listing(worse)}" if better else f"raises the loss at {text.listing(worse)}")
    effect = text.listing(parts) if parts else "shows no clear effect on the loss"
    shift = shift_of_rate(none, others[-1])
    moves = (
        f"moves the best rate by {text.signed(shift, 2)} decades at {others[-1].value}"
        if shift.is_clear
        else f"moves the best rate by nothing that can be shown ({text.signed(shift, 2)} decades at {others[-1].value})"
    )
    return f"`{name}` {effect} and {moves}."
