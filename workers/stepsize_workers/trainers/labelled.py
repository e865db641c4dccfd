"""What tasks on samples with a label share: data in memory, batches of indices, models of the registry.

Shapes: N samples, B batch.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from stepsize.datasets.cards import NAME, DatasetKind, TargetKind
from stepsize.domain.trainer import Capabilities
from stepsize_workers.trainers.base import ONE_FOR_ALL
from stepsize_workers.training.datasets import LabelledData, Part, load
from stepsize_workers.training.model_params import ModelParams
from stepsize_workers.training.models import Sizes, describe_model
from stepsize_workers.training.optimizers import ParameterGroup
from stepsize_workers.training.params import FUSING
from stepsize_workers.training.task import Extent
from stepsize_workers.training.trainer import TaskTrainer


class LabelledParams(ModelParams):
    """Data and size of the network; a trainer adds `dataset` and, where there is a choice, `model`."""

    dataset: str
    split_seed: int = Field(default=0, ge=0, lt=2**32, json_schema_extra=ONE_FOR_ALL)
    """Which random split into train, validation and test; the same for all trials of a job, so not to be searched."""
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training samples that is used: how does less data change the best rate?"""


LP = TypeVar("LP", bound=LabelledParams)


def dataset_field(default: str, kind: DatasetKind, target: TargetKind = TargetKind.CLASSES) -> Any:
    """Return the field of a parameter `dataset` that takes data of one kind, built-in or a user's own."""
    return Field(default=default, pattern=NAME, json_schema_extra={"x-dataset": kind.value, "x-target": target.value})


class LabelledTask(TaskTrainer[LP, Tensor]):
    """The task; a batch is a tensor of indices (B,) into the training samples."""

    capabilities = Capabilities(range_test=True, resume=True, refit=True, fuse=FUSING)
    kind: ClassVar[DatasetKind]
    target: ClassVar[TargetKind] = TargetKind.CLASSES

    params: LP
    data_dir: Path
    data: LabelledData
    train_part: Part
    sizes: Sizes

    def prepare(self, params: LP, *, device: torch.device, data_dir: Path) -> None:
        """Load the data and make its training part as small as asked."""
        self.params, self.data_dir = params, data_dir
        self.data = self.read(params, data_dir).to(device)
        self.train_part = self.as_asked(self.data.train)
        self.sizes = self.choose_sizes()

    def read(self, params: LP, data_dir: Path) -> LabelledData:
        """Return the data set, split."""
        return load(params.dataset, data_dir=data_dir, split_seed=params.split_seed, kind=self.kind, target=self.target)

    @abstractmethod
    def choose_sizes(self) -> Sizes:
        """Return the model's sizes, as the data and the parameters have them."""

    def as_asked(self, part: Part) -> Part:
        """Return what is trained on of some samples."""
        return part.first(self.params.train_fraction)

    def train_on_validation(self) -> None:
        """Add the validation part to the training part, both as small as asked."""
        self.train_part = self.as_asked(self.data.train.followed_by(self.data.validation))

    def content_hash(self) -> str:
        """Return what identifies the data."""
        return self.data.content_hash

    def extent(self) -> Extent:
        """Return how large the training part is."""
        inputs = self.train_part.inputs
        return Extent(len(inputs), inputs[0].nbytes)

    def build(self, params: LP, rng: torch.Generator) -> nn.Module:
        """Return the model of the parameters."""
        model = params.build(self.sizes, rng)
        params.start(model, self.data_dir)
        return model

    def parameter_groups(self, model: nn.Module) -> Sequence[ParameterGroup]:
        """Return what trains with which multiple of the learning rate."""
        return self.params.parameter_groups(model)

    def batches(self, epoch: int, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Return all training samples' indices, shuffled; the last batch may be smaller."""
        part = self.train_part
        order = torch.randperm(len(part), generator=rng).to(part.labels.device)
        return torch.split(order, self.params.batch_size)

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to use the model without this package, and which data it was trained on."""
        data = self.data
        return {
            **describe_model(self.params.model, self.sizes, model),
            **self.describe_inputs(),
            "dataset": {"name": data.name, "content_hash": data.content_hash, "split_seed": self.params.split_seed},
        }

    def describe_inputs(self) -> Mapping[str, object]:
        """Return how a sample becomes what the model takes."""
        data = self.data
        shape = [1, -1, *[1] * (len(data.shape) - 1)]
        return {
            "normalisation": {"mean": data.mean, "std": data.std, "shape": shape},
            "features": data.features,
        }
