"""Image classification: small real data sets that come along, or a user's own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from stepsize.datasets.cards import DatasetKind
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.base import applies_when
from stepsize_workers.trainers.classifier import Classifier, ClassifierParams, predict
from stepsize_workers.trainers.labelled import dataset_field
from stepsize_workers.training.datasets import Part
from stepsize_workers.training.figures import image_grid
from stepsize_workers.training.model_params import ImageModel, model_field
from stepsize_workers.training.models import Sizes, Use

_IMAGES_SHOWN = 32
_RESNETS: list[str | int | float | bool] = ["resnet18", "resnet34", "resnet50"]


class ImageClassifierParams(ClassifierParams):
    """Data, model and training of an image classifier."""

    dataset: str = dataset_field("mnist5k", DatasetKind.IMAGE)
    """Images to learn: a built-in data set or one of your own; `GET /v1/datasets` lists them."""
    model: ImageModel = model_field(Use.IMAGES, "cnn")
    width: int = Field(default=32, ge=1, le=4096)
    """Units of a hidden layer (mlp) or channels of a convolution (cnn), of the first stage (resnet; published: 64)."""
    depth: int = Field(default=2, ge=0, le=16, json_schema_extra=applies_when(model=["mlp", "cnn"]))
    """Hidden layers or convolutions."""
    stem: Literal["small", "large"] = Field(default="small", json_schema_extra=applies_when(model=_RESNETS))
    """First layer. small: 3 × 3, the image keeps its size; large: 7 × 7 and pooling, as for photographs."""


class ImageClassifier(Classifier[ImageClassifierParams]):
    """Any data set of images."""

    name = "image_classifier"
    version = "1"
    help = "An mlp, cnn or resnet on images (digits, mnist5k, or your own): seconds a trial on a CPU."
    Params = ImageClassifierParams
    kind = DatasetKind.IMAGE
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
    }

    def choose_sizes(self) -> Sizes:
        """Return the sizes, with the stem."""
        return replace(super().choose_sizes(), large_stem=self.params.stem == "large")

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return some images, too, with what they are taken for."""
        data = self.data
        part = Part(data.validation.inputs[:_IMAGES_SHOWN], data.validation.labels[:_IMAGES_SHOWN])
        mean, std = (
            torch.tensor(numbers, device=part.inputs.device).view(1, -1, 1, 1) for numbers in (data.mean, data.std)
        )
        predicted = predict(model, part).argmax(1)
        names = [data.class_names[number] for number in predicted.tolist()]
        grid = image_grid(part.inputs * std + mean, names, (predicted == part.labels).tolist())
        return {**super().figures(model), "sample_predictions": grid}
