"""Image classification: small real data sets that come along, or a user's own."""

from typing import TYPE_CHECKING, ClassVar, Literal

from stepsize.datasets.cards import DatasetKind
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.classifier import Classifier, ClassifierParams, dataset_field
from stepsize_workers.training.models import MODELS

if TYPE_CHECKING:
    ModelName = str
else:  # a row in the registry is all that a new one needs
    ModelName = Literal[tuple(MODELS)]


class ImageClassifierParams(ClassifierParams):
    """Data, model and training of an image classifier."""

    dataset: str = dataset_field("mnist5k", DatasetKind.IMAGE)
    """Images to learn: a built-in data set or one of your own; `GET /v1/datasets` lists them."""
    model: ModelName = "cnn"
    """mlp: fully connected; cnn: convolutions that halve the image."""


class ImageClassifier(Classifier[ImageClassifierParams]):
    """Any data set of images."""

    name = "image_classifier"
    version = "1"
    help = "A small mlp or cnn on images (digits, mnist5k, or your own): seconds a trial on a CPU."
    Params = ImageClassifierParams
    kind = DatasetKind.IMAGE
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
    }
