"""What is trained: tasks of several batch sizes each. A batch size of a task is a cell.

A task is a data set, a model and a family of optimisers: what one job searches, and what intervals over cells are
clustered by. The constants of reports and range tests may be chosen on the tasks of `Role.CHOOSES`; figures are told
about the others only.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stepsize.spec.space import Scalar

N_SEEDS = 16
MOST_SEEDS = 144


class Role(StrEnum):
    """What a task is for."""

    CHOOSES = "chooses"
    """Constants may be chosen on it."""
    REPORTED = "reported"


class Length(StrEnum):
    """How long a task's trainings are, beside each other."""

    SHORT = "short"
    LONG = "long"
    """Ten times its short twin's epochs."""


@dataclass(frozen=True)
class TruthTask:
    """One task: the rates and batch sizes that a job searches, and all that stays the same."""

    name: str
    trainer: str
    params: Mapping[str, Scalar]
    batch_sizes: tuple[int, ...]
    low: float = 1e-4
    high: float = 1.0
    role: Role = Role.REPORTED
    length: Length = Length.SHORT
    twin: str | None = None
    """The task that differs only in the length of its trainings."""
    per_decade: int = 5
    """Rates a decade."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is kept of its trainings."""
        return ("val_loss",) if self.trainer == "tabular_regressor" else ("val_loss", "val_accuracy")

    @property
    def rates(self) -> tuple[float, ...]:
        """The rates of its trainings, evenly spread per decade from `low` to `high`."""
        low, high = math.log10(self.low), math.log10(self.high)
        n = round((high - low) * self.per_decade) + 1
        return tuple(float(f"{rate:.6g}") for rate in np.logspace(low, high, n))


PLAIN: Mapping[str, Scalar] = {"init": "torch"}
RAW: Mapping[str, Scalar] = {"init": "torch", "scale": False}

_DIGITS: Mapping[str, Scalar] = {"dataset": "digits", "model": "mlp"}
_CNN: Mapping[str, Scalar] = {"dataset": "digits", "model": "cnn", "width": 8, "train_fraction": 0.4, "epochs": 5}
_MNIST: Mapping[str, Scalar] = {"dataset": "mnist5k", "model": "mlp", "train_fraction": 0.15, "epochs": 4}
_CANCER: Mapping[str, Scalar] = {"dataset": "breast_cancer", "model": "mlp"}
_WINE: Mapping[str, Scalar] = {"dataset": "wine", "model": "mlp", "epochs": 10}
_DIABETES: Mapping[str, Scalar] = {"dataset": "diabetes", "model": "mlp", "epochs": 20}
_GENRES: Mapping[str, Scalar] = {"model": "mlp", "epochs": 3}
_SGD: Mapping[str, Scalar] = {"optimizer": "sgd"}
_PLAIN_SGD: Mapping[str, Scalar] = {"optimizer": "sgd", "momentum": 0.0}
_ADAM: Mapping[str, Scalar] = {"optimizer": "adam"}

_LARGE = (16, 32, 64, 128, 256)
_MEDIUM = (16, 32, 64, 128)
_SMALL = (8, 16, 32, 64, 128)
_FEW = (8, 16, 32, 64)
_BROAD = (64, 128, 256)

_IMAGE, _TABLE = "image_classifier", "tabular_classifier"
_TEXT, _NUMBER = "text_classifier", "tabular_regressor"

TASKS: tuple[TruthTask, ...] = (
    TruthTask(
        "digits-sgd",
        _IMAGE,
        {**_DIGITS, **_SGD, "train_fraction": 0.5, "epochs": 4},
        _LARGE,
        role=Role.CHOOSES,
        per_decade=6,
    ),
    TruthTask("cancer-sgd", _TABLE, {**_CANCER, **_SGD, "epochs": 5}, _SMALL, role=Role.CHOOSES),
    TruthTask("digits-plain-sgd", _IMAGE, {**_DIGITS, **_SGD, **PLAIN, "epochs": 3}, _LARGE),
    TruthTask("cancer-raw-adam", _TABLE, {**_CANCER, **_ADAM, **RAW, "epochs": 5}, _SMALL, low=1e-5),
    TruthTask(
        "digits-adam", _IMAGE, {**_DIGITS, **_ADAM, "train_fraction": 0.5, "epochs": 4}, _LARGE, role=Role.CHOOSES
    ),
    TruthTask("cancer-adam", _TABLE, {**_CANCER, **_ADAM, "epochs": 5}, _SMALL, role=Role.CHOOSES),
    TruthTask("mnist-plain-sgd", _IMAGE, {**_MNIST, **_SGD, **PLAIN}, _LARGE),
    TruthTask("wine-raw-adam", _TABLE, {**_WINE, **_ADAM, **RAW}, _FEW, low=1e-5),
    TruthTask("digits-plain-adam", _IMAGE, {**_DIGITS, **_ADAM, **PLAIN, "train_fraction": 0.5, "epochs": 4}, _LARGE),
    TruthTask(
        "wine-plain-sgd", _TABLE, {**_WINE, **_PLAIN_SGD, **PLAIN, "label_noise": 0.15}, _FEW, low=1e-3, high=10.0
    ),
    TruthTask("mnist-plain-adam", _IMAGE, {**_MNIST, **_ADAM, **PLAIN}, _LARGE),
    TruthTask(
        "digits-raw-sgd",
        _IMAGE,
        {**_DIGITS, **_PLAIN_SGD, **RAW, "train_fraction": 0.5, "epochs": 10},
        _LARGE,
        low=1e-3,
        high=10.0,
    ),
    TruthTask("digits-cnn-plain-adam", _IMAGE, {**_CNN, **_ADAM, **PLAIN}, _MEDIUM),
    TruthTask(
        "digits-plain-sgd-long",
        _IMAGE,
        {**_DIGITS, **_SGD, **PLAIN, "epochs": 30},
        (64, 128, 256),
        length=Length.LONG,
        twin="digits-plain-sgd",
    ),
    TruthTask(
        "cancer-raw-adam-long",
        _TABLE,
        {**_CANCER, **_ADAM, **RAW, "epochs": 50},
        (32, 64, 128),
        low=1e-5,
        length=Length.LONG,
        twin="cancer-raw-adam",
    ),
    TruthTask(
        "mnist-tanh-noise-sgd",
        _IMAGE,
        {**_MNIST, **_SGD, "activation": "tanh", "depth": 3, "label_noise": 0.1},
        _LARGE,
    ),
    TruthTask("digits-cnn-plain-sgd", _IMAGE, {**_CNN, **_SGD, **PLAIN}, _MEDIUM),
    TruthTask("cancer-raw-sgd", _TABLE, {**_CANCER, **_SGD, **RAW, "epochs": 5}, _SMALL, low=1e-7, high=1e-1),
    TruthTask(
        "wine-plain-sgd-long",
        _TABLE,
        {**_WINE, **_PLAIN_SGD, **PLAIN, "label_noise": 0.15, "epochs": 100},
        (32, 64),
        low=1e-3,
        high=10.0,
        length=Length.LONG,
        twin="wine-plain-sgd",
    ),
    TruthTask("diabetes-plain-sgd", _NUMBER, {**_DIABETES, **_PLAIN_SGD, **PLAIN}, _FEW),
    TruthTask("genres-adam", _TEXT, {**_GENRES, **_ADAM}, _BROAD),
)


def find_task(name: str) -> TruthTask:
    """Return a task by name."""
    return next(task for task in TASKS if task.name == name)
