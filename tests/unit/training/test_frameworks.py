"""The callbacks of examples/ with the real Lightning and the real Hugging Face Trainer, where these are installed."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stepsize_workers.trainers.base import Params
from tests.fakes import RecordingContext

EXAMPLES = Path(__file__).parents[3] / "examples"
N, BATCH = 32, 8
DATA = [{"x": torch.full((2,), index / N), "labels": torch.tensor([index / N])} for index in range(N)]

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.fixture(autouse=True)
def _examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def callback(module: str, context: RecordingContext[Params], metric: str) -> Any:
    sys.modules.pop(module, None)  # it may have been imported without its framework
    return import_module(module).Stepsize(context, [metric])


def fit_with_lightning(context: RecordingContext[Params], directory: Path) -> int:
    """Train for three epochs of four updates, and return how many updates were made."""
    lightning = pytest.importorskip("lightning")

    class Line(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
            return mse_loss(self.layer(batch["x"]), batch["labels"])

        def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
            self.log("val_loss", self.training_step(batch, index))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data: Any = DATA
    loader: Any = torch.utils.data.DataLoader(data, batch_size=BATCH)
    trainer = lightning.Trainer(
        max_epochs=3,
        callbacks=[callback("lightning_callback", context, "val_loss")],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory,
    )
    trainer.fit(Line(), loader, loader)
    return int(trainer.global_step)


def fit_with_hugging_face(context: RecordingContext[Params], directory: Path) -> int:
    """Train for twelve updates, evaluating at every fourth, and return how many were made."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.layer(x)
            return {"loss": mse_loss(logits, labels), "logits": logits}

    arguments = transformers.TrainingArguments(
        output_dir=str(directory),
        max_steps=12,
        per_device_train_batch_size=BATCH,
        eval_strategy="steps",
        eval_steps=4,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = transformers.Trainer(
        model=Line(),
        args=arguments,
        train_dataset=DATA,
        eval_dataset=DATA,
        callbacks=[callback("hugging_face_callback", context, "eval_loss")],
    )
    trainer.train()
    return int(trainer.state.global_step)


@pytest.mark.parametrize(
    ("fit", "steps"),
    [(fit_with_lightning, [1, 2, 3]), (fit_with_hugging_face, [4, 8, 12])],
    ids=["lightning", "hugging_face"],
)
class TestEveryFramework:
    """Twelve updates, measured three times."""

    def context(self, directory: Path, **options: Any) -> RecordingContext[Params]:
        return RecordingContext(params=Params(), directory=directory, **options)

    def test_every_measurement_is_reported(self, fit: Any, steps: list[int], tmp_path: Path) -> None:
        context = self.context(tmp_path)
        assert fit(context, tmp_path) == 12
        assert [step for step, _ in context.reports] == steps

    def test_the_verdict_ends_it(self, fit: Any, steps: list[int], tmp_path: Path) -> None:
        context = self.context(tmp_path, stop_at_step=steps[1])
        assert fit(context, tmp_path) == 8

    def test_it_stops_within_an_update(self, fit: Any, steps: list[int], tmp_path: Path) -> None:
        context = self.context(tmp_path, stop_after_polls=3)
        assert fit(context, tmp_path) == 3
