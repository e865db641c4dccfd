"""What classifiers share, whatever they classify. Shapes: N samples, B batch, C classes."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize_workers.trainers.labelled import LabelledParams, LabelledTask
from stepsize_workers.training.datasets import Part, with_label_noise
from stepsize_workers.training.figures import confusion_matrix
from stepsize_workers.training.models import Sizes
from stepsize_workers.training.params import Footprint
from stepsize_workers.training.seeding import generator
from stepsize_workers.training.task import LOOP_METRICS, Metrics

_EVALUATION_BATCH = 1024
_MOST_CLASSES_SHOWN = 30


class ClassifierParams(LabelledParams):
    """What worse labels do, and smoother ones."""

    label_noise: Annotated[float, Footprint.NONE] = Field(default=0.0, ge=0, le=1)
    """Share of the training labels replaced by a wrong one: how does worse data change the best rate?"""
    label_smoothing: Annotated[float, Footprint.NONE] = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread over all classes while training; validation is measured without."""


CP = TypeVar("CP", bound=ClassifierParams)


class Classifier(LabelledTask[CP]):
    """The task; a batch is a tensor of indices (B,) into the training samples."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="val_accuracy", direction=Direction.MAXIMIZE, range=(0.0, 1.0)),
        Metric(name="val_loss", direction=Direction.MINIMIZE, range=(0.0, None)),
        *LOOP_METRICS,
    )
    default_objectives = (Objective(metric="val_accuracy", direction=Direction.MAXIMIZE),)

    def choose_sizes(self) -> Sizes:
        """Return the sizes of a model with an output a class."""
        params = self.params
        return params.sizes(self.data.shape, n_out=self.data.n_classes)

    def as_asked(self, part: Part) -> Part:
        """Return what is trained on of some samples, some of their labels wrong."""
        labels = with_label_noise(
            part.labels.cpu(),
            fraction=self.params.label_noise,
            n_classes=self.data.n_classes,
            # Noise belongs to the data: the same for every trial.
            rng=generator(self.params.split_seed, "label noise"),
        )
        return super().as_asked(Part(part.inputs, labels.to(part.labels.device)))

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the cross entropy against smoothed labels."""
        part = self.train_part
        logits = model(part.inputs[batch])
        return cross_entropy(logits, part.labels[batch], label_smoothing=self.params.label_smoothing)

    def scores(self, logits: Tensor, part: Part) -> dict[str, Tensor | float]:
        """Return a part's mean cross entropy and its accuracy, computed in double precision.

        Args:
            logits: of its samples, shape (N, C).
        """
        logits = logits.double()
        accuracy = (logits.argmax(1) == part.labels).double().mean()
        return {"loss": cross_entropy(logits, part.labels), "accuracy": accuracy}

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return the validation part's scores."""
        return self._measure(model, self.data.validation, "val")

    def test(self, model: nn.Module) -> Metrics:
        """Return the test part's scores."""
        return self._measure(model, self.data.test, "test")

    def _measure(self, model: nn.Module, part: Part, prefix: str) -> Metrics:
        return {f"{prefix}_{name}": value for name, value in self.scores(predict(model, part), part).items()}

    def constant_answer(self) -> Metrics:
        """Return the loss of naming each class as often as it occurs, and the accuracy of the most frequent one."""
        labels = self.data.validation.labels
        shares = torch.bincount(labels).double() / len(labels)
        most = shares.max().item()
        loss = torch.special.entr(shares).sum()  # the entropy
        return {"val_loss": loss, "val_accuracy": most + luck(most, len(labels))}

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return which classes are taken for which, where they fit on a page."""
        part, classes = self.data.validation, self.data.class_names
        if len(classes) > _MOST_CLASSES_SHOWN:
            return {}
        return {"confusion_matrix": confusion_matrix(predict(model, part).argmax(1), part.labels, classes)}

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to use the model, the names of its classes too."""
        return {**super().describe(model), "classes": self.data.class_names}


def luck(share: float, n: int) -> float:
    """Return by how much a share of `n` samples may come out too high, of 40 times once."""
    return 2 * math.sqrt(share * (1 - share) / n)


def predict(model: nn.Module, part: Part) -> Tensor:
    """Return the logits (N, C) of a part's samples."""
    return torch.cat([model(inputs) for inputs in torch.split(part.inputs, _EVALUATION_BATCH)])
