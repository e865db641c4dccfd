"""The detector finds held-out digits in scenes it has never seen."""

from contextlib import suppress
from pathlib import Path

import pytest
import torch

from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.object_detector import ObjectDetector, ObjectDetectorParams
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

SMALL: dict[str, object] = {"dataset": "digits", "scene_size": 32, "scenes": 256, "width": 8}


def make_context(directory: Path, **params: object) -> RecordingContext[ObjectDetectorParams]:
    chosen = ObjectDetectorParams.model_validate(params)
    return RecordingContext(params=chosen, directory=directory, data_dir=DATA_DIR)


@pytest.mark.slow  # measured: 0.90
def test_it_finds_digits_it_has_never_seen(tmp_path: Path) -> None:
    context = make_context(tmp_path, epochs=8)
    ObjectDetector().train(context)
    assert max(values["val_map"] for _, values in context.reports) >= 0.8


def test_a_rate_a_hundred_times_too_high_shows(tmp_path: Path) -> None:
    context = make_context(tmp_path, **SMALL, epochs=1, learning_rate=0.5)
    with suppress(Diverged):
        ObjectDetector().train(context)
    # It explodes, or finds nothing.
    assert not context.reports or context.reports[-1][1]["val_map"] < 0.01


def test_all_trials_are_judged_by_the_same_scenes_and_each_epoch_has_new_ones(tmp_path: Path) -> None:
    one, other = ObjectDetector(), ObjectDetector()
    params = ObjectDetectorParams.model_validate(SMALL)
    for task in (one, other):
        task.prepare(params, device=torch.device("cpu"), data_dir=DATA_DIR)
        rng = torch.Generator().manual_seed(id(task) % 2**31)
        task.collect(torch.nn.Identity(), 1, rng)
    assert torch.equal(one.judged["validation"].images, other.judged["validation"].images)
    assert not torch.equal(one.scenes.images, other.scenes.images)
