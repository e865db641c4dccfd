"""The language model: fewer bits a character than counts of three characters, and what it writes."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.language_model import LanguageModel, LanguageModelParams, write_text
from stepsize_workers.training.datasets import LabelledData
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

GOOD = {"model": "lstm", "learning_rate": 0.01, "batch_size": 16}
"""Of the default search space."""


def make_context(directory: Path, **params: object) -> RecordingContext[LanguageModelParams]:
    chosen = LanguageModelParams.model_validate({"epochs": 1, **params})
    return RecordingContext(params=chosen, directory=directory, data_dir=DATA_DIR)


def bits_of_counts(data: LabelledData) -> float:
    """Return the bits per validation character of a 3-gram model that backs off, counted on all training plays.

    Absolute discounting, interpolated (Ney, Essen and Kneser 1994): what is taken from seen followers goes to the
    model with one character less.
    """
    n, discount = len(data.vocabulary), 0.75
    train, validation = data.train.inputs.flatten().numpy(), data.validation.inputs.flatten().numpy()
    pairs, triples = np.zeros((n, n)), np.zeros((n, n, n))
    np.add.at(pairs, (train[:-1], train[1:]), 1)
    np.add.at(triples, (train[:-2], train[1:-1], train[2:]), 1)
    single = np.bincount(train, minlength=n) + 1.0

    def back_off(counts: NDArray[np.float64], lower: NDArray[np.float64]) -> NDArray[np.float64]:
        total, n_seen = counts.sum(-1, keepdims=True), (counts > 0).sum(-1, keepdims=True)
        mixed = (np.maximum(counts - discount, 0) + discount * n_seen * lower) / np.maximum(total, 1)
        return np.where(total > 0, mixed, lower)

    model = back_off(triples, back_off(pairs, single / single.sum()))
    np.testing.assert_allclose(model.sum(-1), 1)
    return float(-np.log2(model[validation[:-2], validation[1:-1], validation[2:]]).mean())


@pytest.mark.slow  # half a minute on a quiet core
def test_it_knows_more_than_counts_of_three_characters(tmp_path: Path) -> None:
    trainer, context = LanguageModel(), make_context(tmp_path, **GOOD, train_fraction=0.25, epochs=2)
    trainer.train(context)
    bits = context.reports[-1][1]["val_bits_per_character"]
    # Measured: 2.64 against 2.94.
    assert bits < bits_of_counts(trainer.data) - 0.15


def test_it_learns_what_follows_what(tmp_path: Path) -> None:
    context = make_context(tmp_path, **{**GOOD, "width": 32}, train_fraction=0.02)
    LanguageModel().train(context)
    # Guessing takes 6.3 bits, how frequent characters are 4.6.
    assert context.reports[-1][1]["val_bits_per_character"] < 4.2


def test_a_rate_a_hundred_times_too_high_shows(tmp_path: Path) -> None:
    context = make_context(tmp_path, **{**GOOD, "width": 32, "learning_rate": 1.0}, train_fraction=0.02)
    with suppress(Diverged):
        LanguageModel().train(context)
    # It explodes, or it never learns more than the frequencies.
    assert not context.reports or context.reports[-1][1]["val_bits_per_character"] > 4.6


class _Next(torch.nn.Module):
    """Knows that the next number is one larger."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return 100.0 * torch.nn.functional.one_hot((tokens + 1) % 10, 10).float()


def test_what_it_writes_follows_from_what_it_saw() -> None:
    rng = torch.Generator().manual_seed(0)
    assert write_text(_Next(), torch.tensor([3]), 4, context=2, rng=rng) == [3, 4, 5, 6, 7]
