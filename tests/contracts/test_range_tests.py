"""What the sweep of every trainer with the capability `range_test` promises."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stepsize.spec.optimizers import optimizer_types
from stepsize.spec.space import Scalar
from stepsize_workers.trainers.base import TRAINING_UPDATES, UNTRAINED_LOSS, Params, Sweep, Trainer
from stepsize_workers.trainers.registry import BUILT_IN, load_trainer
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

SWEEP = Sweep(low=1e-6, high=1.0, steps=25)
CLASSIFIER: dict[str, Scalar] = {"dataset": "digits", "model": "mlp", "dropout": 0.2}

# (trainer, parameters that make it quick)
QUICK: list[tuple[str, dict[str, Scalar]]] = [
    ("synthetic", {}),
    ("synthetic", {"noise": 0.1}),
    ("tiny", {"batch_size": 5}),
    ("tabular_classifier", {"batch_size": 16}),
    ("tabular_regressor", {"batch_size": 16}),
    ("anomaly_detector", {"batch_size": 256, "train_fraction": 0.2}),
    ("text_classifier", {"model": "lstm", "width": 8, "context": 8}),
    ("language_model", {"model": "gpt", "width": 8, "context": 8, "train_fraction": 0.1}),
    ("object_detector", {"dataset": "digits", "width": 2, "scenes": 64, "scene_size": 32, "batch_size": 16}),
    *(("image_classifier", {**CLASSIFIER, "optimizer": optimizer}) for optimizer in optimizer_types()),
    ("image_classifier", {**CLASSIFIER, "model": "cnn", "clip_norm": 1.0, "grad_accumulation": 3}),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Exactness is promised for one number of threads; one is the quickest for small nets."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=QUICK, ids=lambda row: "-".join([row[0], *map(str, row[1].values())]))
def row(request: pytest.FixtureRequest) -> tuple[type[Trainer[Params]], Params]:
    name, params = request.param
    trainer = load_trainer(name, ["tests.unit.training.tiny"])
    return trainer, trainer.Params.model_validate(params)


def sweep(row: tuple[type[Trainer[Params]], Params], *, seed: int = 0, stop_at: int | None = None) -> list[float]:
    """Run one sweep; return its losses."""
    trainer, params = row
    context = RecordingContext(params=params, directory=Path("/nonexistent"), data_dir=DATA_DIR, seed=seed)
    context.stop_at_step = stop_at
    trainer().sweep(context, SWEEP)
    for index, (step, values) in enumerate(context.reports, start=1):
        assert step == index
        assert values.keys() - {TRAINING_UPDATES, UNTRAINED_LOSS} == {"learning_rate", "loss"}
    rates = [values["learning_rate"] for _, values in context.reports]
    begun = [rate for rate in rates if rate >= SWEEP.low]
    assert begun == [SWEEP.rate(step) for step in range(1, len(begun) + 1)]
    assert rates[: len(begun)] == begun
    below = SWEEP.extended(1)  # where the loss fell from the first rate on
    assert rates[len(begun) :][: SWEEP.steps_of_an_extension] in (
        [],
        [below.rate(step) for step in range(1, SWEEP.steps_of_an_extension + 1)],
    )
    return [values["loss"] for _, values in context.reports]


def test_the_same_seed_gives_the_same_sweep(row: tuple[type[Trainer[Params]], Params]) -> None:
    first = sweep(row)
    assert len(first) > 5
    assert sweep(row) == first


def test_another_seed_gives_another_sweep(row: tuple[type[Trainer[Params]], Params]) -> None:
    if row[0].name == "synthetic" and not row[1].model_dump()["noise"]:
        assert sweep(row, seed=1) == sweep(row)
    else:
        assert sweep(row, seed=1) != sweep(row)


def test_a_sweep_stops_when_its_report_says_so(row: tuple[type[Trainer[Params]], Params]) -> None:
    assert len(sweep(row, stop_at=3)) == 3


@pytest.mark.parametrize("name", BUILT_IN)
def test_who_has_the_capability_is_in_this_suite(name: str) -> None:
    has_it = load_trainer(name).capabilities.range_test
    assert has_it == (name in {row[0] for row in QUICK}), (
        f"{name} has a range test, or none: give it a row in QUICK above, with quick parameters, or drop it"
    )
