"""A tiny training with each framework: `N_STEPS` reports, the same whenever it is run, and able to go on."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stepsize_workers.trainers.base import Params
from tests.fakes import RecordingContext

N_STEPS = 4
N, BATCH = 32, 8
N_UPDATES = N // BATCH
"""A step, where a step is an epoch."""
Context = RecordingContext[Params]

generator = np.random.default_rng(0)
X = generator.normal(size=(N, 3)).astype("float32")
Y = (X @ np.array([1.0, -2.0, 0.5], dtype="float32"))[:, None]
CLASSES = (Y[:, 0] > 0).astype("int64")


def integration(name: str) -> Any:
    return importlib.import_module(f"stepsize.integrations.{name}")


def lightning(context: Context, directory: Path) -> None:
    pytorch: Any = importlib.import_module("lightning.pytorch")

    class Line(pytorch.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
            return mse_loss(self.layer(batch[0]), batch[1])

        def validation_step(self, batch: list[Tensor], index: int) -> None:
            self.log("val_loss", self.training_step(batch, index))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.1)

    pytorch.seed_everything(0, verbose=False)
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH)
    callback = integration("lightning").TrialCallback(context, ["val_loss"])
    trainer = pytorch.Trainer(
        max_epochs=N_STEPS,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory,
    )
    trainer.fit(Line(), loader, loader, ckpt_path=callback.ckpt_path)


def hugging_face(context: Context, directory: Path) -> None:
    transformers: Any = importlib.import_module("transformers")

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.layer(x)
            return {"loss": mse_loss(logits, labels), "logits": logits}

    transformers.set_seed(0)
    arguments = transformers.TrainingArguments(
        output_dir=str(directory / "out"),
        num_train_epochs=N_STEPS,
        per_device_train_batch_size=BATCH,
        learning_rate=0.1,
        eval_strategy="epoch",
        save_strategy="epoch",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    data = [{"x": torch.tensor(x), "labels": torch.tensor(y)} for x, y in zip(X, Y, strict=True)]
    callback = integration("hugging_face").TrialCallback(context, ["eval_loss"])
    trainer = transformers.Trainer(
        model=Line(), args=arguments, train_dataset=data, eval_dataset=data, callbacks=[callback]
    )
    trainer.train(resume_from_checkpoint=callback.checkpoint(directory / "resumed"))


def keras(context: Context, directory: Path) -> None:
    os.environ["KERAS_BACKEND"] = "torch"
    backend: Any = importlib.import_module("keras")

    backend.utils.set_random_seed(0)
    model = backend.Sequential([backend.Input((3,)), backend.layers.Dense(1)])
    model.compile(optimizer=backend.optimizers.Adam(0.1), loss="mse")
    callback = integration("keras").TrialCallback(context, ["val_loss"])
    model.fit(
        X,
        Y,
        batch_size=BATCH,
        epochs=N_STEPS,
        shuffle=False,
        validation_data=(X, Y),
        callbacks=[callback],
        initial_epoch=callback.restore(model),
        verbose=0,
    )


def xgboost(context: Context, directory: Path) -> None:
    library: Any = importlib.import_module("xgboost")
    data = library.DMatrix(X, CLASSES)
    callback = integration("xgboost").TrialCallback(context, {"loss": "valid-logloss"}, save_every=1)
    library.train(
        {"objective": "binary:logistic", "eta": 0.1, "nthread": 1, "seed": 0},
        data,
        num_boost_round=callback.rounds_left(N_STEPS),
        evals=[(data, "valid")],
        callbacks=[callback],
        xgb_model=callback.model,
        verbose_eval=False,
    )


def lightgbm(context: Context, directory: Path) -> None:
    library: Any = importlib.import_module("lightgbm")
    options = {"objective": "binary", "learning_rate": 0.1, "min_data_in_leaf": 2, "num_threads": 1, "verbose": -1}
    data = library.Dataset(X, CLASSES, free_raw_data=False)
    callback = integration("lightgbm").TrialCallback(context, {"loss": "valid-binary_logloss"}, save_every=1)
    library.train(
        {**options, "seed": 0, "deterministic": True},
        data,
        num_boost_round=callback.rounds_left(N_STEPS),
        valid_sets=[data],
        valid_names=["valid"],
        callbacks=[callback],
        init_model=callback.model,
    )


def partial_fit(context: Context, directory: Path) -> None:
    integration("sklearn").fit(
        context,
        lambda estimator, _step: estimator.partial_fit(X, CLASSES, classes=[0, 1]),
        SGDClassifier(loss="log_loss", random_state=0),
        steps=N_STEPS,
        score=lambda estimator: {"accuracy": estimator.score(X, CLASSES)},
    )


def warm_start(context: Context, directory: Path) -> None:
    integration("sklearn").fit(
        context,
        lambda estimator, step: estimator.set_params(n_estimators=step).fit(X, CLASSES),
        GradientBoostingClassifier(warm_start=True, random_state=0),
        steps=N_STEPS,
        score=lambda estimator: {"loss": float(estimator.train_score_[-1])},
    )


TRAININGS: dict[str, tuple[str, Callable[[Context, Path], None], list[int]]] = {
    "lightning": ("lightning", lightning, [1, 2, 3, 4]),
    "hugging_face": ("transformers", hugging_face, [4, 8, 12, 16]),
    "keras": ("keras", keras, [1, 2, 3, 4]),
    "xgboost": ("xgboost", xgboost, [1, 2, 3, 4]),
    "lightgbm": ("lightgbm", lightgbm, [1, 2, 3, 4]),
    "sklearn partial_fit": ("sklearn", partial_fit, [1, 2, 3, 4]),
    "sklearn warm_start": ("sklearn", warm_start, [1, 2, 3, 4]),
}
"""Name → the library, the training, and the steps it reports."""
