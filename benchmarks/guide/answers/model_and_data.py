"""Activations, the size of the network, and the amount and quality of the data."""

from collections.abc import Mapping

from benchmarks.guide import text
from benchmarks.guide.answers.scans import choices_of, loss_sentence, scan_table, shift_sentence
from benchmarks.guide.results import Results
from stepsize.spec.space import Scalar

SCANS: Mapping[str, tuple[str, Scalar]] = {
    "activations": ("activation", "relu"),
    "label_noise": ("label_noise", 0.0),
    "train_fraction": ("train_fraction", 1.0),
    "width": ("width", 32),
    "depth": ("depth", 2),
}
"""Experiment → its parameter and the choice the others are compared with."""


def facts(results: Results) -> dict[str, str]:
    """Return the page's numbers."""
    found: dict[str, str] = {}
    for experiment, (name, baseline) in SCANS.items():
        choices = choices_of(results.runs[experiment], name)
        found[f"{experiment}_table"] = scan_table(choices, f"`{name}`", baseline=baseline)
        if experiment != "activations":
            low, high = choices[0], choices[-1]
            speeds = [text.epochs(choice.epochs_to_fast, choice.n_epochs) for choice in (low, high)]
            found[f"answer_{experiment}"] = (
                f"{shift_sentence(name, low, high)}. {loss_sentence(name, low, high)}; epochs to 90 %: "
                f"{text.listing(speeds)}."
            )
    found["answer_activations"] = _answer_activations(results)
    return found


def _answer_activations(results: Results) -> str:
    choices = {str(choice.value): choice for choice in choices_of(results.runs["activations"], "activation")}
    relu = choices.pop("relu")
    best = min([relu, *choices.values()], key=lambda choice: choice.loss.value)
    sentences = [shift_sentence("", relu, choice) for choice in choices.values()]
    return f"The lowest mean loss was {best.value}'s. {'. '.join(' '.join(one.split()) for one in sentences)}."
