"""The parameters of tasks that train a model of the registry."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from stepsize_workers.trainers.base import ONE_FOR_ALL, applies_when, trains_alone
from stepsize_workers.training.models import Init, Sizes, Use, build_model, helps_for, names_for
from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.starting import NoStartError, body_and_head, freeze_body, saved_model, start_from
from stepsize_workers.training.optimizers import ParameterGroup
from stepsize_workers.training.params import Footprint, TrainingParams

if TYPE_CHECKING:
    ActivationName = str
    ImageModel = str
    TextModel = str
    NextTokenModel = str
else:  # a row in a registry is all that a new one needs
    ActivationName = Literal[tuple(ACTIVATIONS)]
    ImageModel = Literal[names_for(Use.IMAGES)]
    TextModel = Literal[names_for(Use.TEXTS)]
    NextTokenModel = Literal[names_for(Use.NEXT_TOKEN)]


_SAME_AS_SAVED = ("model", "width", "depth", "heads", "bottleneck", "stem")
"""Parameters that must be as they were for the saved model that a training starts from."""


_ALONE = trains_alone("lstm", why="its layers can't be computed for several models at once")


def model_field(use: Use, default: str) -> Any:
    """Return the field of a parameter `model`, its help the models' own."""
    helps = "; ".join(f"{name}: {help_text}" for name, help_text in helps_for(use).items())
    alone = _ALONE if "lstm" in names_for(use) else None
    return Field(default=default, description=f"{helps}.", json_schema_extra=alone)


class ModelParams(TrainingParams):
    """Which model, and how large; a task says which of them fit."""

    model: str
    width: int = Field(default=32, ge=1, le=4096)
    """Units of a hidden layer."""
    depth: int = Field(default=2, ge=0, le=16)
    """Hidden layers."""
    activation: ActivationName = "relu"
    """Nonlinearity; the initialisation follows it."""
    dropout: Annotated[float, Footprint.AMOUNT] = Field(
        default=0.0, ge=0, lt=1, json_schema_extra=trains_alone(above=0, why="each trial draws units of its own")
    )
    """Share of units left out at random while training."""
    init: Annotated[Literal["ours", "torch"], Footprint.NONE] = "ours"
    """Weights to begin with. ours: to suit the model and its activation; torch: as PyTorch's layers are made."""

    init_from: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9_-]+(/[0-9]+)?)?$",
        max_length=200,
        json_schema_extra={
            **ONE_FOR_ALL,
            "x-saved-model": {"same": [*_SAME_AS_SAVED], "needed_by": {"freeze": ["body"]}},
        },
    )
    """Fine-tuning: start from the model of this trial, JOB/NUMBER, or of a job's best one; empty: fresh weights."""
    freeze: Literal["nothing", "body"] = "nothing"
    """What stays as it was at the start. body: all but the last layer, which `init_from` must have brought."""
    body_rate_ratio: Annotated[float, Footprint.NONE] = Field(
        default=1.0, gt=0, le=1000, json_schema_extra=applies_when(freeze="nothing")
    )
    """Rate of all but the last layer, as a multiple of learning_rate; below 1, what was learned before changes less."""

    def sizes(self, in_shape: tuple[int, ...], *, n_out: int) -> Sizes:
        """Return the sizes of a model that takes samples of a shape and gives so many numbers for each."""
        return Sizes(
            in_shape=in_shape,
            n_out=n_out,
            width=self.width,
            depth=self.depth,
            activation=self.activation,
            dropout=self.dropout,
        )

    def parameter_groups(self, model: nn.Module) -> Sequence[ParameterGroup]:
        """Return what trains with which multiple of the rate."""
        if self.freeze == "body":
            return [ParameterGroup(body_and_head(model)[1])]
        if self.body_rate_ratio == 1:
            return [ParameterGroup(tuple(model.parameters()))]
        body, head = body_and_head(model)
        return [ParameterGroup(head), ParameterGroup(body, self.body_rate_ratio)]

    def start(self, model: nn.Module, data_dir: Path) -> None:
        """Give a fresh model its start, and freeze what is to stay.

        Raises:
            NoStartError: there is nothing to start from, or nothing of it to freeze.
        """
        if not self.init_from:
            if self.freeze == "body":
                raise NoStartError("freeze is body, but init_from names no model: it would stay as chance made it")
            return
        saved = saved_model(data_dir, self.init_from)
        saved.check_same({name: getattr(self, name) for name in _SAME_AS_SAVED if hasattr(self, name)})
        start = start_from(model, saved)
        fresh = f"; fresh: {', '.join(start.fresh)}" if start.fresh else ""
        sys.stdout.write(f"[starts from {self.init_from}: {len(start.taken)} tensors{fresh}]\n")
        if self.freeze == "body":
            freeze_body(model, start)

    def build(self, sizes: Sizes, rng: torch.Generator) -> nn.Module:
        """Return the model, its weights fresh."""
        return build_model(self.model, sizes, rng=rng, init=Init(self.init))
