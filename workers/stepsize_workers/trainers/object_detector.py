"""Where things are and what they are, in scenes composed of images. Shapes: N images, S scenes, B batch, C classes.

Every epoch's scenes are new, of training images; those of validation and test are composed once, of images that no
training scene shows, and are the same for all trials.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stepsize.datasets.cards import DatasetKind
from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.labelled import LabelledParams, LabelledTask, dataset_field
from stepsize_workers.training.boxes import Found, detection_loss, find, match, mean_average_precision, the_usual
from stepsize_workers.training.datasets import Part
from stepsize_workers.training.figures import Box, boxed_images
from stepsize_workers.training.model_params import model_field
from stepsize_workers.training.models import Sizes, Use
from stepsize_workers.training.models.detector import STRIDE
from stepsize_workers.training.params import Footprint, OptimizerName, optimizer_field
from stepsize_workers.training.scenes import Scenes, compose
from stepsize_workers.training.seeding import generator
from stepsize_workers.training.task import LOOP_METRICS, Extent, Metrics

_N_JUDGED = 256
"""Scenes of validation and test."""
_EVALUATION_BATCH = 64
_N_SHOWN = 12
_SURE = 0.3
"""Score from which a box is shown."""


class ObjectDetectorParams(LabelledParams):
    """Data, model and training of a detector."""

    dataset: str = dataset_field("mnist5k", DatasetKind.IMAGE)
    """Images that scenes are composed of: a built-in data set or one of your own; `GET /v1/datasets` lists them."""
    model: Literal["detector"] = model_field(Use.BOXES, "detector")
    width: int = Field(default=16, ge=1, le=1024)
    """Channels of the first convolution; the second has twice, the others four times as many."""
    depth: int = Field(default=1, ge=0, le=16)
    """Convolutions beside the three that halve the scene."""
    scenes: Annotated[int, Footprint.NONE] = Field(default=1024, ge=1, le=2**20)
    """New scenes of an epoch."""
    scene_size: int = Field(default=64, ge=32, le=1024, multiple_of=STRIDE)
    """Pixels of a scene's side; images take 30 to 50 % of it."""
    optimizer: OptimizerName = optimizer_field("adam")
    learning_rate: Annotated[float, Footprint.NONE] = Field(default=5e-3, gt=0, le=1e4)
    """The highest rate the schedule reaches."""
    batch_size: Annotated[int, Footprint.NONE] = Field(default=32, ge=1, le=2**20)
    """Scenes whose gradient is computed at once; see `grad_accumulation`."""
    epochs: Annotated[int, Footprint.NONE] = Field(default=6, ge=1, le=100_000)
    """Rounds of new scenes."""


class ObjectDetector(LabelledTask[ObjectDetectorParams]):
    """A batch is a tensor of indices (B,) into the epoch's scenes."""

    name = "object_detector"
    version = "1"
    help = "A one-stage detector that finds digits (or images of yours) in scenes: ten seconds a trial on a CPU."
    Params = ObjectDetectorParams
    kind = DatasetKind.IMAGE
    metrics = (
        Metric(name="val_map", direction=Direction.MAXIMIZE, range=(0.0, 1.0)),
        Metric(name="val_loss", direction=Direction.MINIMIZE, range=(0.0, None)),
        *LOOP_METRICS,
    )
    capabilities = Capabilities(range_test=True, resume=True, refit=True)  # each trial composes scenes of its own
    default_objectives = (Objective(metric="val_map", direction=Direction.MAXIMIZE),)
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=128, powers_of_two=True),
    }

    constant_answer_called = "the same answer to every scene"

    scenes: Scenes

    def prepare(self, params: ObjectDetectorParams, *, device: torch.device, data_dir: Path) -> None:
        """Load the images, and compose the scenes that all trials are judged by."""
        super().prepare(params, device=device, data_dir=data_dir)
        self.judged = {
            name: self._compose(part, _N_JUDGED, generator(params.split_seed, "scenes", name))
            for name, part in (("validation", self.data.validation), ("test", self.data.test))
        }

    def choose_sizes(self) -> Sizes:
        """Return the model's sizes."""
        params = self.params
        return params.sizes((self.data.shape[0], params.scene_size, params.scene_size), n_out=self.data.n_classes)

    def collect(self, model: nn.Module, epoch: int, rng: torch.Generator) -> None:
        """Compose an epoch's scenes."""
        self.scenes = self._compose(self.train_part, self.params.scenes, rng)

    def extent(self) -> Extent:
        """Return how large an epoch's scenes are."""
        channels, height, width = self.sizes.in_shape
        return Extent(self.params.scenes, 4 * channels * height * width)

    def batches(self, epoch: int, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Return the scenes' indices; they are in no order."""
        return torch.split(torch.arange(self.params.scenes, device=self.scenes.images.device), self.params.batch_size)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the mean loss of an object."""
        scenes = self.scenes[batch]
        return detection_loss(model(scenes.images), scenes)

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return mean average precision and loss on the validation scenes."""
        scenes = self.judged["validation"]
        outputs = _look(model, scenes)
        return {
            "val_map": mean_average_precision(find(outputs), scenes, self.data.n_classes),
            "val_loss": detection_loss(outputs, scenes),
        }

    def test(self, model: nn.Module) -> Metrics:
        """Return mean average precision on the test scenes."""
        scenes = self.judged["test"]
        return {"test_map": mean_average_precision(find(_look(model, scenes)), scenes, self.data.n_classes)}

    def constant_answer(self) -> Metrics:
        """Return the precision of naming in every scene, for each cell, what is seen in it most often.

        Not the loss: far above the best rates a detector learns that something is there, and still finds nothing.
        """
        scenes = self.judged["validation"]
        n_classes = self.data.n_classes
        return {"val_map": mean_average_precision(the_usual(scenes, n_classes), scenes, n_classes)}

    def describe_inputs(self) -> Mapping[str, object]:
        """Return nothing: scenes go into the model as they are, pixels in [0, 1]."""
        return {}

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return some validation scenes with what is found in them."""
        scenes = self.judged["validation"][slice(_N_SHOWN)]
        found = find(_look(model, scenes))
        is_right = match(found, scenes)
        boxes = [self._boxes(found, is_right, scene) for scene in range(len(scenes))]
        return {"found_in_scenes": boxed_images(scenes.images, boxes)}

    def _boxes(self, found: Found, is_right: Tensor, scene: int) -> list[Box]:
        return [
            Box(tuple(found.boxes[scene, rank].tolist()), self.data.class_names[label], bool(is_right[scene, rank]))
            for rank, label in enumerate(found.labels[scene].tolist())
            if found.scores[scene, rank] >= _SURE
        ]

    def _compose(self, part: Part, n_scenes: int, rng: torch.Generator) -> Scenes:
        data = self.data
        mean, std = (torch.tensor(each, device=part.inputs.device).view(1, -1, 1, 1) for each in (data.mean, data.std))
        pixels = (part.inputs * std + mean).clamp(0, 1)
        return compose(pixels, part.labels, n_scenes, size=self.params.scene_size, rng=rng)


def _look(model: nn.Module, scenes: Scenes) -> Tensor:
    """Return what a model says of scenes: (S, 5 + C, G, G)."""
    return torch.cat([model(images) for images in torch.split(scenes.images, _EVALUATION_BATCH)])
