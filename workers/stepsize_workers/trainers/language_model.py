"""Characters that follow each other in plays. Shapes: N stretches, B batch, T characters, V vocabulary."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stepsize.datasets.cards import DatasetKind
from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.base import applies_when
from stepsize_workers.trainers.labelled import dataset_field
from stepsize_workers.trainers.texts import TextParams, TextTask
from stepsize_workers.training.datasets import Part
from stepsize_workers.training.figures import text_page
from stepsize_workers.training.model_params import ActivationName, NextTokenModel, model_field
from stepsize_workers.training.models import Use
from stepsize_workers.training.seeding import generator
from stepsize_workers.training.task import LOOP_METRICS, Metrics

_EVALUATION_BATCH = 128
_GIVEN, _WRITTEN = 40, 400
"""Characters of the text that is shown: given, and written after them."""
_MOST_CHARACTERS = 65_536
"""Of validation or test data that are measured, spread evenly over all."""


class LanguageModelParams(TextParams):
    """Data, model and training of a language model."""

    dataset: str = dataset_field("shakespeare", DatasetKind.CHARACTERS)
    """A long text, split by whole plays; `GET /v1/datasets` lists what there is."""
    model: NextTokenModel = model_field(Use.NEXT_TOKEN, "gpt")
    context: int = Field(default=64, ge=1, le=1024)
    """Characters of a sample: how far back the model can look."""
    activation: ActivationName = Field(default="gelu", json_schema_extra=applies_when(model=["gpt"]))
    """Nonlinearity."""
    heads: int = Field(default=4, ge=1, le=64, json_schema_extra=applies_when(model=["gpt"]))
    """Parts of the width that attend apart."""
    train_fraction: float = Field(default=0.25, gt=0, le=1)
    """Share of the training text that is used; all of it takes minutes an epoch on a CPU."""
    epochs: int = Field(default=3, ge=1, le=100_000)
    """Passes over the training data."""


class LanguageModel(TextTask[LanguageModelParams]):
    """Every character of a sample is predicted from those before it in the sample."""

    name = "language_model"
    version = "1"
    help = "A gpt or lstm that learns to write Shakespeare's plays, character by character: a minute a trial on a CPU."
    Params = LanguageModelParams
    kind = DatasetKind.CHARACTERS
    metrics = (
        Metric(name="val_bits_per_character", direction=Direction.MINIMIZE, unit="bit", range=(0.0, None)),
        *LOOP_METRICS,
    )
    default_objectives = (Objective(metric="val_bits_per_character", direction=Direction.MINIMIZE),)
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=128, powers_of_two=True),
    }

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the mean cross entropy of the next characters, in nats."""
        part = self.train_part
        logits = model(part.inputs[batch])
        return cross_entropy(logits.flatten(0, 1), part.labels[batch].flatten())

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return how many bits the validation plays' characters take, each."""
        return {"val_bits_per_character": self._measure(model, self.data.validation)}

    def test(self, model: nn.Module) -> Metrics:
        """Return the same of the test plays."""
        return {"test_bits_per_character": self._measure(model, self.data.test)}

    def constant_answer(self) -> Metrics:
        """Return the bits that characters take whose frequencies are known, and nothing else."""
        part = self.data.validation
        labels = part.labels[self.measured(part)].flatten()
        shares = torch.bincount(labels).double() / len(labels)
        return {"val_bits_per_character": torch.special.entr(shares).sum() / math.log(2)}

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return what the model writes after the beginning of a validation play."""
        beginning = self.data.validation.inputs[0][:_GIVEN]
        rng = generator(0, "sample")  # another trial's text begins with the same draws
        tokens = write_text(model, beginning, _WRITTEN, context=self.params.context, rng=rng)
        text = "".join(self.data.vocabulary[token] for token in tokens)
        return {"sample_text": text_page(text, n_marked=len(beginning))}

    def _measure(self, model: nn.Module, part: Part) -> Tensor:
        chosen = self.measured(part)
        nats = torch.zeros((), dtype=torch.float64, device=part.inputs.device)
        for rows in torch.split(chosen, _EVALUATION_BATCH):
            logits = model(part.inputs[rows])
            nats = nats + cross_entropy(logits.flatten(0, 1), part.labels[rows].flatten(), reduction="sum")
        return nats / (len(chosen) * self.params.context * math.log(2))

    def measured(self, part: Part) -> Tensor:
        """Return the indices of the samples that a part is measured on."""
        every = max(1, math.ceil(len(part) * self.params.context / _MOST_CHARACTERS))
        return torch.arange(0, len(part), every, device=part.inputs.device)


def write_text(model: nn.Module, beginning: Tensor, n_tokens: int, *, context: int, rng: torch.Generator) -> list[int]:
    """Return a text (T,) and what a model writes after it, each token drawn with the probability it was given.

    Args:
        context: how many tokens the model can look back.
        rng: on the CPU.
    """
    tokens = beginning.tolist()
    with torch.inference_mode():
        for _ in range(n_tokens):
            seen = torch.tensor([tokens[-context:]], device=beginning.device)
            logits = model(seen)[0, -1].float().cpu()
            logits[0] = -math.inf  # it only fills up
            tokens.append(int(torch.multinomial(logits.softmax(0), 1, generator=rng)))
    return tokens
