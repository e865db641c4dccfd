"""Classification of table rows: measurements that come along, or a user's own CSV, Parquet or .npz."""

from typing import ClassVar, Literal

from stepsize.datasets.cards import DatasetKind
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.classifier import Classifier, ClassifierParams
from stepsize_workers.trainers.labelled import dataset_field


class TabularClassifierParams(ClassifierParams):
    """Data, model and training of a classifier of table rows."""

    dataset: str = dataset_field("breast_cancer", DatasetKind.TABULAR)
    """Rows to learn: a built-in data set or one of your own; `GET /v1/datasets` lists them."""
    model: Literal["mlp"] = "mlp"
    """mlp: fully connected layers."""


class TabularClassifier(Classifier[TabularClassifierParams]):
    """Any data set of rows."""

    name = "tabular_classifier"
    version = "1"
    help = "An mlp on the rows of a table (breast_cancer, or your own): a fraction of a second a trial on a CPU."
    Params = TabularClassifierParams
    kind = DatasetKind.TABULAR
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=8, high=128, powers_of_two=True),
    }
