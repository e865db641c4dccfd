"""Classification of texts: what kind of play a speech is from. Shapes: N speeches, B batch, C classes."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from stepsize.datasets.cards import DatasetKind
from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.base import applies_when
from stepsize_workers.trainers.classifier import Classifier, ClassifierParams, luck
from stepsize_workers.trainers.labelled import dataset_field
from stepsize_workers.trainers.texts import TextParams, TextTask
from stepsize_workers.training.datasets import Part
from stepsize_workers.training.model_params import ActivationName, TextModel, model_field
from stepsize_workers.training.models import Use
from stepsize_workers.training.task import Metrics


class TextClassifierParams(TextParams, ClassifierParams):
    """Data, model and training of a classifier of texts."""

    dataset: str = dataset_field("shakespeare_genres", DatasetKind.TEXTS)
    """Texts to learn, split by whole plays; `GET /v1/datasets` lists what there is."""
    model: TextModel = model_field(Use.TEXTS, "mlp")
    context: int = Field(default=64, ge=1, le=1024)
    """Words of a text that are read, from its beginning."""
    activation: ActivationName = Field(
        default="gelu", json_schema_extra=applies_when(model=["mlp", "gpt", "transformer"])
    )
    """Nonlinearity; the initialisation follows it."""


class TextClassifier(TextTask[TextClassifierParams], Classifier[TextClassifierParams]):
    """Accuracy, and the F1 score of the classes' mean, which no frequent class can carry alone."""

    name = "text_classifier"
    version = "1"
    help = (
        "An mlp, lstm, gpt or transformer that tells genres of Shakespeare's speeches apart: seconds a trial on a CPU."
    )
    Params = TextClassifierParams
    kind = DatasetKind.TEXTS
    metrics = (Metric(name="val_macro_f1", direction=Direction.MAXIMIZE, range=(0.0, 1.0)), *Classifier.metrics)
    default_objectives = (Objective(metric="val_macro_f1", direction=Direction.MAXIMIZE),)
    constant_answer_called = "the same answer to every text, or one at random"
    default_search_space: ClassVar[SearchSpace] = {
        # A transformer's best rate lies around 1e-4, an mlp's at 3e-2.
        "learning_rate": FloatParameter(type="float", low=1e-5, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
    }

    def scores(self, logits: Tensor, part: Part) -> dict[str, Tensor | float]:
        """Return a part's loss, accuracy and macro-F1."""
        f1 = macro_f1(logits.argmax(1), part.labels, self.data.n_classes)
        return {**super().scores(logits, part), "macro_f1": f1}

    def constant_answer(self) -> Metrics:
        """Return also the macro-F1 of naming classes at random, which is more than that of any single one."""
        chance = 1 / self.data.n_classes
        f1 = chance + luck(chance, len(self.data.validation))
        return {**super().constant_answer(), "val_macro_f1": f1}


def macro_f1(predicted: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return the mean over the classes of F1 = 2 · hits / (predicted + there are).

    Args:
        predicted, labels: shape (N,), from 0 to n_classes − 1. A class that is in neither counts 0.
    """
    counts = torch.bincount(labels * n_classes + predicted, minlength=n_classes**2).view(n_classes, n_classes).double()
    return (2 * counts.diagonal() / (counts.sum(0) + counts.sum(1)).clamp(min=1)).mean()
