"""A trainer of your own: a linear classifier from scikit-learn on its breast cancer data.

STEPSIZE_TRAINERS=own_trainer stepsize up           (in this directory)
stepsize submit own-trainer.yaml --wait
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from stepsize import Direction, Float, Metric, Objective, Params, SearchSpace, Trainer, TrialContext

CLASSES = np.array([0, 1])


class LinearParams(Params):
    """What a job may fix or search."""

    learning_rate: float = Field(default=0.01, gt=0, le=100)
    """The constant step size of SGD."""
    alpha: float = Field(default=1e-4, ge=0, le=10)
    """Strength of the penalty on the weights."""
    penalty: Literal["l2", "l1"] = "l2"
    """Which norm is penalised."""
    epochs: int = Field(default=20, ge=1, le=1000)
    """Passes over the training data."""


class LinearClassifier(Trainer[LinearParams]):
    """One trial: `epochs` passes, the validation loss reported after each."""

    name = "linear_classifier"
    version = "1"
    help = "Logistic regression by SGD on scikit-learn's breast cancer data."
    Params = LinearParams
    metrics = (
        Metric(name="val_loss", direction=Direction.MINIMIZE),
        Metric(name="val_accuracy", direction=Direction.MAXIMIZE),
    )
    step_unit = "epoch"
    max_step_param = "epochs"
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": Float(1e-5, 1.0, log=True),
        "alpha": Float(1e-6, 1e-1, log=True),
    }
    default_objectives = (Objective(metric="val_loss", direction=Direction.MINIMIZE),)

    def train(self, context: TrialContext[LinearParams]) -> None:
        """Train, reporting each epoch, until told to stop."""
        params = context.params
        # The split's seed is a constant: all trials of a job are judged on the same data.
        inputs, labels = load_breast_cancer(return_X_y=True)
        parts = train_test_split(StandardScaler().fit_transform(inputs), labels, test_size=0.3, random_state=0)
        train_inputs, val_inputs, train_labels, val_labels = parts
        model = SGDClassifier(
            loss="log_loss",
            learning_rate="constant",
            eta0=params.learning_rate,
            alpha=params.alpha,
            penalty=params.penalty,
            random_state=context.seed,
        )
        rng = np.random.default_rng(context.seed)
        for epoch in range(1, params.epochs + 1):
            order = rng.permutation(len(train_labels))
            model.partial_fit(train_inputs[order], train_labels[order], classes=CLASSES)
            loss = log_loss(val_labels, model.predict_proba(val_inputs))
            if context.report(epoch, {"val_loss": loss, "val_accuracy": model.score(val_inputs, val_labels)}):
                return
