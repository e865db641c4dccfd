"""When a training counts as exploded, and that healthy ones at small batches don't."""

import math
from pathlib import Path

import pytest

from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.divergence import ExplosionWatch
from stepsize_workers.trainers.tabular_classifier import TabularClassifier, TabularClassifierParams
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR


def updates_until_exploded(losses: list[float], *, untrained: float = 2.0, batch_size: int = 64) -> int | None:
    watch = ExplosionWatch(untrained, batch_size=batch_size)
    return next((update for update, loss in enumerate(losses, start=1) if watch.has_exploded(loss)), None)


@pytest.mark.parametrize(
    ("losses", "untrained", "updates"),
    [
        ([20.1] * 5, 2.0, 3),  # three of the last five
        ([19.9] * 9, 2.0, None),
        ([1.9e3, 1.9e3, *[2.3] * 9], 2.0, None),  # leaps, then stalls at chance
        ([1e9, *[2.3] * 9, 1e9, 2.3], 2.0, None),
        ([1.0, 2.1e3, 2.1e3], 2.0, 3),  # an epoch of three updates
        ([1.0, math.nan], 2.0, 2),
        ([1.0, math.inf], 2.0, 2),
        ([9.1] * 5, 0.0, 3),
        ([8.9] * 5, 0.0, None),
        ([8.1] * 5, -1.0, 3),
        ([7.9] * 5, -1.0, None),
    ],
)
def test_what_counts_as_an_explosion(losses: list[float], untrained: float, updates: int | None) -> None:
    assert updates_until_exploded(losses, untrained=untrained) == updates


@pytest.mark.parametrize(("batch_size", "per_average"), [(1, 64), (16, 4), (48, 2), (64, 1), (512, 1)])
def test_the_smaller_the_batch_the_more_updates_are_averaged(batch_size: int, per_average: int) -> None:
    assert updates_until_exploded([100.0] * 1000, batch_size=batch_size) == 3 * per_average


def test_single_samples_may_be_far_off() -> None:
    """At batch 1 a healthy loss is mostly near 0 and now and then 50 times the untrained one."""
    losses = [0.01] * 9 + [35.0]
    assert updates_until_exploded(losses * 50, untrained=0.7, batch_size=1) is None


def test_data_of_fewer_samples_than_an_average_is_averaged_over_an_epoch() -> None:
    watch = ExplosionWatch(2.0, batch_size=1, most_updates=10)
    assert [watch.has_exploded(100.0) for _ in range(30)] == [*[False] * 29, True]


def test_the_averages_go_on_where_they_were() -> None:
    watch = ExplosionWatch(2.0, batch_size=64)
    assert not any(watch.has_exploded(100.0) for _ in range(2))
    assert ExplosionWatch(2.0, batch_size=64, recent=watch.recent).has_exploded(100.0)


@pytest.mark.parametrize(
    ("losses", "behind", "is_over"),
    [
        ([2.0, 2.1e3], 2.1e3, True),  # an epoch of two updates
        ([2.0, 2.1e3], math.nan, True),
        ([2.0, 2.1e3], 1.9e3, False),
        ([2.0, 21.0, 21.0], 21.0, True),
        ([2.0, 21.0, 19.0], 1e9, False),  # nothing gave reason to look
        ([2.0, 21.0, 21.0], 2.0, False),  # it has come back
    ],
)
def test_what_an_epochs_last_update_did_is_looked_at_where_there_is_reason(
    losses: list[float], behind: float, *, is_over: bool
) -> None:
    watch = ExplosionWatch(2.0, batch_size=64)
    assert not any(watch.has_exploded(loss) for loss in losses)
    before = watch.recent
    assert (watch.is_alarmed and watch.has_exploded_with(behind)) is is_over
    if not is_over:
        assert watch.recent == before  # the next epoch's first update shows it again


@pytest.mark.parametrize(("losses", "level"), [([1.0, 2.2e3, 2.1e3], 2.1e3), ([30.0, 40.0, 25.0], 25.0)])
def test_what_a_loss_is_said_to_have_risen_to_is_what_was_judged(losses: list[float], level: float) -> None:
    # A sudden explosion once read "rose from 1.091 before training to 1.091": the median had not seen it yet.
    watch = ExplosionWatch(2.0, batch_size=64)
    assert [watch.has_exploded(loss) for loss in losses] == [False, False, True]
    assert watch.risen_to == level


def train(directory: Path, seed: int, **params: object) -> float | None:
    """Return the last validation accuracy; None: the training diverged."""
    chosen = TabularClassifierParams.model_validate({"dataset": "breast_cancer", "epochs": 1, **params})
    context = RecordingContext(params=chosen, directory=directory, data_dir=DATA_DIR, seed=seed)
    try:
        TabularClassifier().train(context)
    except Diverged:
        return None
    return context.reports[-1][1]["val_accuracy"]


def test_trainings_at_batch_size_1_that_learn_are_left_alone(tmp_path: Path) -> None:
    # One batch against ten times the first one flagged every training at batch size 1, at 1e-5 too.
    accuracies = [train(tmp_path, seed, batch_size=1, learning_rate=0.003) for seed in range(2)]
    assert all(accuracy is not None and accuracy > 0.9 for accuracy in accuracies)


def test_explosions_at_batch_size_1_still_end_within_an_epoch(tmp_path: Path) -> None:
    assert train(tmp_path, 0, batch_size=1, learning_rate=1e3) is None


@pytest.mark.parametrize("seed", range(2))
def test_an_epoch_of_two_updates_is_enough_to_see_an_explosion(tmp_path: Path, seed: int) -> None:
    # Its first loss is the untrained model's, and it was ended in the second epoch only.
    assert train(tmp_path, seed, batch_size=256, optimizer="adam", learning_rate=10.0) is None
