"""A training that learned nothing says so, and what its loss tells about why; one that learned something is silent."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction
from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.registry import load_trainer
from stepsize_workers.training.nothing_learned import LossCourse, remark_on
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

METRICS = (
    Metric(name="val_loss", direction=Direction.MINIMIZE),
    Metric(name="val_accuracy", direction=Direction.MAXIMIZE),
)
CONSTANT = {"val_loss": 2.3, "val_accuracy": 0.15}
CALLED = "the same answer to every input"
STALLED = [2.3, 2.4, 2.2, 2.35] * 6


def course(last: list[float], *, highest: float = 2.6) -> LossCourse:
    return LossCourse(untrained=2.5, highest=highest, last=last)


def said(values: Mapping[str, float], loss: LossCourse) -> str:
    remark = remark_on(values, CONSTANT, METRICS, loss, called=CALLED)
    assert remark is not None
    return remark


@pytest.mark.parametrize("better", [{"val_loss": 2.29}, {"val_accuracy": 0.16}])
def test_one_better_metric_is_something_learned(better: dict[str, float]) -> None:
    values = {"val_loss": 1e6, "val_accuracy": 0.1, **better}
    assert remark_on(values, CONSTANT, METRICS, course(STALLED, highest=1e6), called=CALLED) is None


def test_without_a_yardstick_nothing_is_said() -> None:
    assert remark_on({"val_loss": 9.0}, {}, METRICS, course(STALLED, highest=1e6), called=CALLED) is None


def test_a_leap_speaks_of_a_rate_too_high() -> None:
    remark = said({"val_loss": 2.34, "val_accuracy": 0.0881}, course(STALLED, highest=61.2))
    assert remark.startswith("No better than the same answer to every input: val_loss 2.34, val_accuracy 0.0881;")
    assert "leapt to 61.2 (2.5 before training, 2.31 in the last epoch): the learning rate is likely too high" in remark


def test_a_crawl_is_not_called_too_high() -> None:
    crawl = [2.5 - 0.005 * update for update in range(24)]
    remark = said({"val_loss": 2.4, "val_accuracy": 0.1}, course(crawl))
    assert "still falling" in remark
    assert "the rate may be too low, or the training too short" in remark


def test_a_fall_from_heights_it_rose_to_itself_is_not_called_too_low() -> None:
    fall = [4.6 - 0.05 * update for update in range(24)]
    remark = said({"val_loss": 4.4, "val_accuracy": 0.1}, course(fall, highest=4.9))
    assert "rose above where it began (2.5 before training, 4.02 in the last epoch)" in remark
    assert remark.endswith("the learning rate is likely too high.")


def test_a_fall_that_has_not_come_back_to_where_it_began_tells_nothing() -> None:
    noisy = [3.6 - 0.04 * update + 0.3 * (-1) ** update for update in range(24)]
    assert "can't be told" in said({"val_loss": 4.4, "val_accuracy": 0.1}, course(noisy, highest=4.9))


@pytest.mark.parametrize("last", [STALLED, [2.5, 2.4], [2.5]])
def test_what_can_not_be_told_is_not(last: list[float]) -> None:
    assert "can't be told" in said({"val_loss": 2.4, "val_accuracy": 0.1}, course(last))


TINY_TEXTS = {"epochs": 1, "batch_size": 32, "width": 32}
TASKS: list[tuple[str, dict[str, object], float, float]] = [
    ("tabular_classifier", {}, 0.001, 10.0),
    ("tabular_regressor", {}, 0.001, 10.0),
    ("image_classifier", {"dataset": "digits", "model": "mlp"}, 0.001, 10.0),
    ("image_classifier", {"dataset": "digits", "model": "cnn"}, 0.001, 10.0),
    ("image_classifier", {"dataset": "digits", "model": "resnet18", "width": 8, "epochs": 2}, 0.03, 10.0),
    ("anomaly_detector", {"epochs": 1, "train_fraction": 0.2}, 0.001, 10.0),
    ("text_classifier", {**TINY_TEXTS, "model": "mlp", "train_fraction": 0.5, "epochs": 2}, 0.01, 1.0),
    ("text_classifier", {**TINY_TEXTS, "model": "lstm", "train_fraction": 0.1}, 0.003, 1.0),
    ("text_classifier", {**TINY_TEXTS, "model": "transformer", "train_fraction": 0.05, "context": 16}, 0.003, 0.3),
    ("language_model", {**TINY_TEXTS, "model": "lstm", "train_fraction": 0.02}, 0.01, 1.0),
    ("language_model", {**TINY_TEXTS, "model": "gpt", "depth": 1, "train_fraction": 0.02}, 0.01, 1.0),
    ("object_detector", {"epochs": 3}, 0.003, 1.0),
    ("board_game", {"epochs": 2}, 0.005, 0.5),
    ("reinforcement_learner", {"epochs": 4}, 0.003, 0.3),
]
"""(trainer, parameters, a rate lower than the best one that learns a little, one a hundred times too high)"""


def end_of(trainer: str, params: Mapping[str, object], rate: float, directory: Path, *, seed: int = 0) -> str:
    """Return how a training ended: what it said, or that it exploded."""
    loaded = load_trainer(trainer)
    chosen = loaded.Params.model_validate({**params, "learning_rate": rate})
    context = RecordingContext(params=chosen, directory=directory, data_dir=DATA_DIR, seed=seed)
    try:
        loaded().train(context)
    except Diverged:
        return "exploded"
    return context.last_remark or ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainer", "params", "low", "high"), TASKS, ids=[f"{name}-{params.get('model', '')}" for name, params, *_ in TASKS]
)
def test_every_task_says_when_a_rate_was_far_too_high(
    trainer: str, params: dict[str, object], low: float, high: float, tmp_path: Path
) -> None:
    broken = end_of(trainer, params, high, tmp_path / "high")
    assert broken == "exploded" or broken.endswith("the learning rate is likely too high."), broken
    healthy = end_of(trainer, params, low, tmp_path / "low")
    assert healthy == "", healthy


TINY_SCENES = {"dataset": "digits", "width": 4, "scenes": 64, "scene_size": 32}
UNTAUGHT: list[tuple[str, dict[str, object], str]] = [
    (
        "object_detector",
        {"dataset": "digits", "width": 4, "scenes": 64, "scene_size": 32},
        "the same answer to every scene: val_map 0",
    ),
    ("board_game", {"games": 8, "width": 4, "simulations": 2}, "the same answer to every position: train_loss"),
    ("reinforcement_learner", {"passes": 1}, "acting at random, or always alike: mean_return"),
    (
        "text_classifier",
        {"width": 4, "context": 4, "train_fraction": 0.05},
        "the same answer to every text, or one at random: val_loss",
    ),
]
"""(trainer, parameters, what it is no better than)"""


@pytest.mark.parametrize(("trainer", "params", "than"), UNTAUGHT, ids=[name for name, *_ in UNTAUGHT])
def test_what_it_is_no_better_than_is_said_in_the_tasks_own_words(
    trainer: str, params: dict[str, object], than: str, tmp_path: Path
) -> None:
    # Not seed 0, whose agent balances the pole for 98 steps before it has learned anything.
    said = end_of(trainer, {**params, "epochs": 1, "batch_size": 64}, 1e-9, tmp_path, seed=1)
    assert said.startswith(f"No better than {than}"), said


def test_an_interrupted_training_remembers_what_is_to_be_said(tmp_path: Path) -> None:
    params = {"dataset": "digits", "model": "mlp", "epochs": 2, "batch_size": 32, "learning_rate": 1.0}
    trainer = load_trainer("image_classifier")
    chosen = trainer.Params.model_validate(params)
    whole = RecordingContext(params=chosen, directory=tmp_path, data_dir=DATA_DIR)
    trainer().train(whole)
    assert whole.last_remark is not None
    for step in (1, 2):
        rest = RecordingContext(
            params=chosen, directory=tmp_path, data_dir=DATA_DIR, checkpoint=whole.checkpoint_after(step)
        )
        trainer().train(rest)
        assert rest.last_remark == whole.last_remark
