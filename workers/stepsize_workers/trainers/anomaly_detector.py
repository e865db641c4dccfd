"""Anomalies in tables: rows unlike the normal ones. Shapes: N samples, B batch, F features.

An autoencoder learns to give back normal rows; how badly it gives back a row says how odd the row is.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stepsize.datasets.cards import DatasetKind
from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.labelled import LabelledParams, LabelledTask, dataset_field
from stepsize_workers.training.datasets import Part
from stepsize_workers.training.figures import histograms
from stepsize_workers.training.model_params import model_field
from stepsize_workers.training.models import Sizes, Use
from stepsize_workers.training.task import LOOP_METRICS, Metrics

_MOST = 5.0
"""Normalised features beyond this count as this: a wild value says no more than that its row is odd, and as it is, it
would be all that a batch is about."""


class AnomalyDetectorParams(LabelledParams):
    """Data, model and training of a detector."""

    dataset: str = dataset_field("shuttle", DatasetKind.TABULAR)
    """Rows, of which the most frequent class is the normal one; `GET /v1/datasets` lists them."""
    model: Literal["autoencoder"] = model_field(Use.RECONSTRUCTION, "autoencoder")
    depth: int = Field(default=2, ge=0, le=16)
    """Hidden layers before the bottleneck, and as many after it."""
    bottleneck: int = Field(default=3, ge=1, le=1024)
    """Numbers that a row is squeezed into; fewer than it has features, or nothing has to be learned."""


class AnomalyDetector(LabelledTask[AnomalyDetectorParams]):
    """The anomalies' labels are used to judge, never to train."""

    name = "anomaly_detector"
    version = "1"
    help = "An autoencoder that learns what normal rows are like (shuttle, or a table of yours with a class)."
    Params = AnomalyDetectorParams
    kind = DatasetKind.TABULAR
    metrics = (
        Metric(name="val_loss", direction=Direction.MINIMIZE),
        Metric(name="val_average_precision", direction=Direction.MAXIMIZE),
        *LOOP_METRICS,
    )
    # By precision nothing could be searched where the anomalies are unknown; and on shuttle a model that gives back
    # the same row for all reaches 0.97.
    default_objectives = (Objective(metric="val_loss", direction=Direction.MINIMIZE),)
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
    }

    def choose_sizes(self) -> Sizes:
        """Return the sizes of a model that gives back what it gets."""
        params = self.params
        return replace(params.sizes(self.data.shape, n_out=self.data.shape[0]), bottleneck=params.bottleneck)

    def as_asked(self, part: Part) -> Part:
        """Return the normal samples, as many as asked."""
        is_normal = part.labels == self._normal()
        return super().as_asked(Part(tame(part.inputs[is_normal]), part.labels[is_normal]))

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the mean squared error, in squared standard deviations of the features."""
        rows = self.train_part.inputs[batch]
        return mse_loss(model(rows), rows)

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return the loss of the validation part's normal rows, and how well errors tell the others apart."""
        loss, precision = self._measure(model, self.data.validation)
        return {"val_loss": loss, "val_average_precision": precision}

    def test(self, model: nn.Module) -> Metrics:
        """Return the same of the test part."""
        loss, precision = self._measure(model, self.data.test)
        return {"test_loss": loss, "test_average_precision": precision}

    def constant_answer(self) -> Metrics:
        """Return the error of giving back the mean of the validation part's normal rows for each of them."""
        part = self.data.validation
        normal = tame(part.inputs[part.labels == self._normal()])
        return {"val_loss": normal.double().var(0, correction=0).mean()}

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return how badly normal rows and others are given back."""
        scores, is_anomaly = self._scores(model, self.data.validation)
        errors = scores.clamp(min=1e-12).log10()
        groups = (("normal", errors[~is_anomaly]), ("anomalies", errors[is_anomaly]))
        return {"reconstruction_errors": histograms(groups, x_label="log10 of the mean squared error of a row")}

    def _measure(self, model: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        scores, is_anomaly = self._scores(model, part)
        return scores[~is_anomaly].mean(), average_precision(scores, is_anomaly)

    def _scores(self, model: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Return each row's error (N,), and whether it is an anomaly (N,)."""
        rows = tame(part.inputs)
        return (model(rows) - rows).double().square().mean(1), part.labels != self._normal()

    def _normal(self) -> Tensor:
        """Return the most frequent class of the training part."""
        return torch.bincount(self.data.train.labels).argmax()


def tame(rows: Tensor) -> Tensor:
    """Return normalised rows without wild values."""
    return rows.clamp(-_MOST, _MOST)


def average_precision(scores: Tensor, is_positive: Tensor) -> Tensor:
    """Return the mean, over the positives, of the share of positives among all that score at least as high.

    Args:
        scores: shape (N,).
        is_positive: shape (N,), boolean, with at least one.
    """
    order = scores.argsort(descending=True, stable=True)
    ranked, hits = scores[order], is_positive[order].double()
    found = hits.cumsum(0)
    # Equal scores can't be told apart: each counts with the last of its run.
    last = torch.searchsorted(-ranked, -ranked, right=True) - 1
    precision = found[last] / (last + 1)
    return (precision * hits).sum() / hits.sum()
