"""Prediction of a number from table rows: measurements that come along, or a user's own. Shapes: N samples, B batch."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stepsize.datasets.cards import DatasetKind, TargetKind
from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.labelled import LabelledParams, LabelledTask, dataset_field
from stepsize_workers.training.datasets import Part
from stepsize_workers.training.figures import scatter
from stepsize_workers.training.model_params import model_field
from stepsize_workers.training.models import Sizes, Use
from stepsize_workers.training.task import LOOP_METRICS, Metrics


class TabularRegressorParams(LabelledParams):
    """Data, model and training of a regressor of table rows."""

    dataset: str = dataset_field("diabetes", DatasetKind.TABULAR, TargetKind.NUMBER)
    """Rows to learn: a built-in data set or one of your own whose target is a number; `GET /v1/datasets` lists them."""
    model: Literal["mlp"] = model_field(Use.ROWS, "mlp")


class TabularRegressor(LabelledTask[TabularRegressorParams]):
    """Least squares. The target is scaled by the training part, so that rates don't depend on its unit.

    Losses are of the scaled target: 1 is what its mean alone would have.
    """

    name = "tabular_regressor"
    version = "1"
    help = "An mlp that predicts a number from the rows of a table (diabetes, or your own)."
    Params = TabularRegressorParams
    kind = DatasetKind.TABULAR
    target = TargetKind.NUMBER
    metrics = (
        Metric(name="val_loss", direction=Direction.MINIMIZE, range=(0.0, None)),
        Metric(name="val_r2", direction=Direction.MAXIMIZE, range=(None, 1.0)),
        *LOOP_METRICS,
    )
    default_objectives = (Objective(metric="val_loss", direction=Direction.MINIMIZE),)
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=8, high=128, powers_of_two=True),
    }

    def choose_sizes(self) -> Sizes:
        """Return the sizes of a model with one output."""
        params = self.params
        return params.sizes(self.data.shape, n_out=1)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the mean squared error, in squared standard deviations of the target."""
        part = self.train_part
        return mse_loss(model(part.inputs[batch]).squeeze(1), self._scaled(part.labels[batch]))

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return the validation part's loss and R²."""
        loss, r2 = self._measure(model, self.data.validation)
        return {"val_loss": loss, "val_r2": r2}

    def test(self, model: nn.Module) -> Metrics:
        """Return the test part's loss and R²."""
        loss, r2 = self._measure(model, self.data.test)
        return {"test_loss": loss, "test_r2": r2}

    def constant_answer(self) -> Metrics:
        """Return the loss of always predicting the validation part's mean, which explains nothing."""
        return {"val_loss": self._scaled(self.data.validation.labels).var(correction=0), "val_r2": 0.0}

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return by how much predictions miss, and whether that depends on what is predicted."""
        part = self.data.validation
        mean, std = self._scale()
        predicted = model(part.inputs).squeeze(1) * std + mean
        residuals = part.labels - predicted
        return {
            "residuals": scatter(
                predicted, residuals, x_label="predicted", y_label="target − predicted", is_zero_marked=True
            )
        }

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to use the model, the target's scale too."""
        mean, std = self._scale()
        return {**super().describe(model), "target": {"mean": mean.item(), "std": std.item()}}

    def _measure(self, model: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Return mean squared error and R²: the share of the part's own variance that is explained."""
        target = self._scaled(part.labels).double()
        loss = mse_loss(model(part.inputs).squeeze(1).double(), target)
        return loss, 1 - loss / target.var(correction=0)

    def _scaled(self, labels: Tensor) -> Tensor:
        mean, std = self._scale()
        return (labels - mean) / std

    def _scale(self) -> tuple[Tensor, Tensor]:
        """Return the target's mean and standard deviation over all training samples, however many are used."""
        labels = self.data.train.labels
        return labels.mean(), labels.std(correction=0)
