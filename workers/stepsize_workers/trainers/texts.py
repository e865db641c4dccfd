"""What tasks on texts share: how long a sample is, how models see it, which optimiser suits. Shapes: T tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from stepsize_workers.trainers.base import applies_when
from stepsize_workers.trainers.labelled import LabelledParams, LabelledTask
from stepsize_workers.training.datasets.labelled import LabelledData
from stepsize_workers.training.datasets.texts import load_texts
from stepsize_workers.training.model_params import ActivationName
from stepsize_workers.training.models import Sizes
from stepsize_workers.training.params import Footprint, OptimizerName, optimizer_field


class TextParams(LabelledParams):
    """Sizes of a model of tokens; a trainer adds `context`, `model` and where `activation` applies."""

    context: int
    learning_rate: Annotated[float, Footprint.NONE] = Field(default=0.003, gt=0, le=1e4)
    """The highest rate the schedule reaches."""
    optimizer: OptimizerName = optimizer_field("adamw")
    width: int = Field(default=64, ge=1, le=4096)
    """Numbers that stand for a token, and units of a layer; with attention a multiple of `heads`."""
    depth: int = Field(default=2, ge=0, le=16)
    """Hidden layers, blocks, or layers of cells."""
    heads: int = Field(default=4, ge=1, le=64, json_schema_extra=applies_when(model=["gpt", "transformer"]))
    """Parts of the width that attend apart."""
    activation: ActivationName = Field(default="gelu", json_schema_extra=applies_when(model=["gpt", "transformer"]))
    """Nonlinearity; the initialisation follows it."""


TP = TypeVar("TP", bound=TextParams)


class TextTask(LabelledTask[TP]):
    """The task; a batch is a tensor of indices (B,) into the training samples, which are numbers of tokens (N, T)."""

    def read(self, params: TP, data_dir: Path) -> LabelledData:
        """Return the texts, split by whole plays."""
        return load_texts(params.dataset, kind=self.kind, n_tokens=params.context, split_seed=params.split_seed)

    def choose_sizes(self) -> Sizes:
        """Return the sizes of a model that sees tokens: an output a class, or one a token of the vocabulary."""
        params, data = self.params, self.data
        return Sizes(
            in_shape=data.shape,
            n_out=data.n_classes or len(data.vocabulary),
            width=params.width,
            depth=params.depth,
            activation=params.activation,
            dropout=params.dropout,
            vocabulary=len(data.vocabulary),
            heads=params.heads,
            each_token=not data.n_classes,
        )

    def describe_inputs(self) -> Mapping[str, object]:
        """Return what stands for what."""
        return {"vocabulary": self.data.vocabulary}
