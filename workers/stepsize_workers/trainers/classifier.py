"""What classifiers share, whatever they classify. Shapes: N samples, B batch, C classes."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stepsize.datasets.cards import NAME, DatasetKind
from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction, Objective
from stepsize_workers.trainers.base import ONE_FOR_ALL
from stepsize_workers.training.datasets import LabelledData, Part, load, with_label_noise
from stepsize_workers.training.models import Sizes, build_model
from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.artifact import describe_layers
from stepsize_workers.training.params import Footprint, TrainingParams
from stepsize_workers.training.seeding import generator
from stepsize_workers.training.task import LOOP_METRICS, Extent, Metrics
from stepsize_workers.training.trainer import TaskTrainer

if TYPE_CHECKING:
    ActivationName = str
else:  # a row in the registry is all that a new one needs
    ActivationName = Literal[tuple(ACTIVATIONS)]

_EVALUATION_BATCH = 1024


class ClassifierParams(TrainingParams):
    """Data, size of the network and regularisation; a trainer adds `dataset` and, where there is a choice, `model`."""

    dataset: str
    split_seed: int = Field(default=0, ge=0, lt=2**32, json_schema_extra=ONE_FOR_ALL)
    """Which random split into train, validation and test; the same for all trials of a job, so not to be searched."""
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training samples that is used: how does less data change the best rate?"""
    label_noise: Annotated[float, Footprint.NONE] = Field(default=0.0, ge=0, le=1)
    """Share of the training labels replaced by a wrong one: how does worse data change the best rate?"""
    model: str
    width: int = Field(default=32, ge=1, le=4096)
    """Units of a hidden layer (mlp) or channels of a convolution (cnn)."""
    depth: int = Field(default=2, ge=0, le=16)
    """Hidden layers or convolutions."""
    activation: ActivationName = "relu"
    """Nonlinearity; the initialisation follows it."""
    dropout: Annotated[float, Footprint.AMOUNT] = Field(default=0.0, ge=0, lt=1)
    """Share of units left out at random while training."""
    label_smoothing: Annotated[float, Footprint.NONE] = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread over all classes while training; validation is measured without."""


CP = TypeVar("CP", bound=ClassifierParams)


def dataset_field(default: str, kind: DatasetKind) -> Any:
    """Return the field of a parameter `dataset` that takes data of one kind, built-in or a user's own."""
    return Field(default=default, pattern=NAME, json_schema_extra={"x-dataset": kind.value})


class Classifier(TaskTrainer[CP, Tensor]):
    """The task; a batch is a tensor of indices (B,) into the training samples."""

    metrics = (
        Metric(name="val_accuracy", direction=Direction.MAXIMIZE),
        Metric(name="val_loss", direction=Direction.MINIMIZE),
        *LOOP_METRICS,
    )
    default_objectives = (Objective(metric="val_accuracy", direction=Direction.MAXIMIZE),)
    capabilities = Capabilities(range_test=True, resume=True, refit=True)
    kind: ClassVar[DatasetKind]

    params: CP
    data: LabelledData
    train_part: Part
    sizes: Sizes

    def prepare(self, params: CP, *, device: torch.device, data_dir: Path) -> None:
        """Load the data and make its training part as small and as noisy as asked."""
        self.params = params
        self.data = load(params.dataset, data_dir=data_dir, split_seed=params.split_seed, kind=self.kind).to(device)
        self.train_part = self._as_asked(self.data.train)
        self.sizes = Sizes(
            in_shape=self.data.shape,
            n_classes=self.data.n_classes,
            width=params.width,
            depth=params.depth,
            activation=params.activation,
            dropout=params.dropout,
        )

    def train_on_validation(self) -> None:
        """Add the validation part to the training part, both as small and as noisy as asked."""
        self.train_part = self._as_asked(self.data.train.followed_by(self.data.validation))

    def content_hash(self) -> str:
        """Return what identifies the data."""
        return self.data.content_hash

    def extent(self) -> Extent:
        """Return how large the training part is."""
        inputs = self.train_part.inputs
        return Extent(len(inputs), inputs[0].nbytes)

    def build(self, params: CP, rng: torch.Generator) -> nn.Module:
        """Return the model of the parameters."""
        return build_model(params.model, self.sizes, rng=rng)

    def batches(self, epoch: int, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Return all training samples' indices, shuffled; the last batch may be smaller."""
        part = self.train_part
        order = torch.randperm(len(part), generator=rng).to(part.labels.device)
        return torch.split(order, self.params.batch_size)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the cross entropy against smoothed labels."""
        part = self.train_part
        logits = model(part.inputs[batch])
        return cross_entropy(logits, part.labels[batch], label_smoothing=self.params.label_smoothing)

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return the validation part's loss and accuracy."""
        loss, accuracy = _measure(model, self.data.validation)
        return {"val_loss": loss, "val_accuracy": accuracy}

    def test(self, model: nn.Module) -> Metrics:
        """Return the test part's loss and accuracy."""
        loss, accuracy = _measure(model, self.data.test)
        return {"test_loss": loss, "test_accuracy": accuracy}

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to use the model without this package, and which data it was trained on."""
        data = self.data
        return {
            "model": {"name": self.params.model, "sizes": asdict(self.sizes)},
            "layers": describe_layers(model),
            "normalisation": {"mean": data.mean, "std": data.std, "shape": [1, -1, *[1] * (len(data.shape) - 1)]},
            "classes": data.class_names,
            "features": data.features,
            "dataset": {"name": data.name, "content_hash": data.content_hash, "split_seed": self.params.split_seed},
        }

    def _as_asked(self, part: Part) -> Part:
        labels = with_label_noise(
            part.labels.cpu(),
            fraction=self.params.label_noise,
            n_classes=self.data.n_classes,
            # Noise belongs to the data: the same for every trial.
            rng=generator(self.params.split_seed, "label noise"),
        )
        return Part(part.inputs, labels.to(part.labels.device)).first(self.params.train_fraction)


def _measure(model: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
    """Return mean cross entropy and accuracy over a part, summed in double precision."""
    loss = accuracy = torch.zeros((), dtype=torch.float64, device=part.labels.device)
    inputs_batches = torch.split(part.inputs, _EVALUATION_BATCH)
    labels_batches = torch.split(part.labels, _EVALUATION_BATCH)
    for inputs, labels in zip(inputs_batches, labels_batches, strict=True):
        logits = model(inputs)
        loss = loss + cross_entropy(logits, labels, reduction="sum")
        accuracy = accuracy + (logits.argmax(1) == labels).sum()
    return loss / len(part), accuracy / len(part)
