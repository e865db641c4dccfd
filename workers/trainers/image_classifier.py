"""Image classification on small real data sets. Shapes: N images, B batch, C classes."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from service.domain.trainer import Metric
from service.spec.objective import Direction, Objective
from service.spec.space import FloatParameter, IntParameter, SearchSpace
from workers.trainers.base import ONE_FOR_ALL
from workers.training.datasets import DATASETS, ImageData, Part, load, with_label_noise
from workers.training.loop import LOOP_METRICS, Task
from workers.training.models import MODELS, Sizes, build_model
from workers.training.models.activations import ACTIVATIONS
from workers.training.params import TrainingParams
from workers.training.seeding import generator

if TYPE_CHECKING:
    DatasetName = str
    ModelName = str
    ActivationName = str
else:  # a row in a registry is all that a new one needs
    DatasetName = Literal[tuple(DATASETS)]
    ModelName = Literal[tuple(MODELS)]
    ActivationName = Literal[tuple(ACTIVATIONS)]

_EVALUATION_BATCH = 1024


class ImageClassifierParams(TrainingParams):
    """Data, model and training of an image classifier."""

    dataset: DatasetName = "mnist5k"
    """Images to learn: real data that comes with installed packages."""
    split_seed: int = Field(default=0, ge=0, lt=2**32, json_schema_extra=ONE_FOR_ALL)
    """Which random split into train, validation and test; the same for all trials of a job, so not to be searched."""
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training images that is used: how does less data change the best rate?"""
    label_noise: float = Field(default=0.0, ge=0, le=1)
    """Share of the training labels replaced by a wrong one: how does worse data change the best rate?"""
    model: ModelName = "cnn"
    """mlp: fully connected; cnn: convolutions that halve the image."""
    width: int = Field(default=32, ge=1, le=4096)
    """Units of a hidden layer (mlp) or channels of a convolution (cnn)."""
    depth: int = Field(default=2, ge=0, le=16)
    """Hidden layers or convolutions."""
    activation: ActivationName = "relu"
    """Nonlinearity; the initialisation follows it."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of units left out at random while training."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread over all classes while training; validation is measured without."""


class ImageClassifier(Task[ImageClassifierParams, Tensor]):
    """The task; a batch is a tensor of indices (B,) into the training images."""

    name = "image_classifier"
    version = "1"
    help = "A small mlp or cnn on real images (digits, mnist5k): seconds a trial on a CPU."
    Params = ImageClassifierParams
    metrics = (
        Metric(name="val_accuracy", direction=Direction.MAXIMIZE),
        Metric(name="val_loss", direction=Direction.MINIMIZE),
        *LOOP_METRICS,
    )
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
    }
    default_objectives = (Objective(metric="val_accuracy", direction=Direction.MAXIMIZE),)

    params: ImageClassifierParams
    data: ImageData
    train_part: Part
    sizes: Sizes

    def prepare(self, params: ImageClassifierParams, *, device: torch.device, data_dir: Path) -> None:
        """Load the data and make its training part as small and as noisy as asked."""
        data = load(params.dataset, data_dir=data_dir, split_seed=params.split_seed)
        labels = with_label_noise(
            data.train.labels,
            fraction=params.label_noise,
            n_classes=data.n_classes,
            rng=generator(params.split_seed, "label noise"),  # noise belongs to the data: the same for every trial
        )
        self.params = params
        self.data = data.to(device)
        self.train_part = Part(data.train.images, labels).first(params.train_fraction).to(device)
        self.sizes = Sizes(
            in_shape=data.shape,
            n_classes=data.n_classes,
            width=params.width,
            depth=params.depth,
            activation=params.activation,
            dropout=params.dropout,
        )

    def build(self, params: ImageClassifierParams, rng: torch.Generator) -> nn.Module:
        """Return the model of the parameters."""
        return build_model(params.model, self.sizes, rng=rng)

    def batches(self, epoch: int, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Return all training images' indices, shuffled; the last batch may be smaller."""
        part = self.train_part
        order = torch.randperm(len(part), generator=rng).to(part.labels.device)
        return torch.split(order, self.params.batch_size)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the cross entropy against smoothed labels."""
        part = self.train_part
        logits = model(part.images[batch])
        return cross_entropy(logits, part.labels[batch], label_smoothing=self.params.label_smoothing)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Return the validation part's loss and accuracy."""
        loss, accuracy = _measure(model, self.data.validation)
        return {"val_loss": loss, "val_accuracy": accuracy}

    def test(self, model: nn.Module) -> Mapping[str, float]:
        """Return the test part's loss and accuracy."""
        loss, accuracy = _measure(model, self.data.test)
        return {"test_loss": loss, "test_accuracy": accuracy}

    def describe(self) -> Mapping[str, object]:
        """Return what `workers.training.models.load` needs, and which data it was."""
        data = self.data
        return {
            "model": {"name": self.params.model, "sizes": asdict(self.sizes)},
            "normalisation": {"mean": data.mean, "std": data.std},
            "dataset": {"name": data.name, "content_hash": data.content_hash, "split_seed": self.params.split_seed},
        }


def _measure(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return mean cross entropy and accuracy over a part."""
    images_batches = torch.split(part.images, _EVALUATION_BATCH)
    labels_batches = torch.split(part.labels, _EVALUATION_BATCH)
    loss, n_right = 0.0, 0.0
    for images, labels in zip(images_batches, labels_batches, strict=True):
        logits = model(images)
        loss += cross_entropy(logits, labels, reduction="sum").item()
        n_right += (logits.argmax(1) == labels).sum().item()
    return loss / len(part), n_right / len(part)
