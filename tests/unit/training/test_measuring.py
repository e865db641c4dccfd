"""How many trainings are fastest together is measured as far as it is worth, and leaves no trace in any of them."""

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stepsize_workers.trainers.base import NotFusedError
from stepsize_workers.training.fused import measuring
from tests.fakes import RecordingContext
from tests.unit.training.test_fused import LookingTask, NetTask, make_contexts, train_alone
from tests.unit.training.tiny import TinyParams


def measure(task: type[NetTask], context: RecordingContext[TinyParams], *, most: int) -> list[float]:
    return list(task().measure_together(context, most=most))


def test_sizes_are_doubled_up_to_as_many_as_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_STILL_GAINS", 0.0)
    (context,) = make_contexts(tmp_path, {})
    rates = measure(NetTask, context, most=7)
    assert len(rates) == 3, "1, 2 and 4"
    assert min(rates) > 1.0
    assert context.reports == []
    assert context.checkpoints == {}


def test_it_ends_where_more_members_are_no_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_STILL_GAINS", 1000.0)
    (context,) = make_contexts(tmp_path, {})
    assert len(measure(NetTask, context, most=256)) == 3, "two are always tried, and four: two may be slower than both"


def test_it_costs_a_bounded_share_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowTask(NetTask):
        """Each update of one takes 20 ms, of several together as much again for each."""

        def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
            time.sleep(0.02)
            return super().loss(model, batch)

    monkeypatch.setattr(measuring, "_clock", lambda device: time.perf_counter)
    (context,) = make_contexts(tmp_path, {}, epochs=3)
    measure(SlowTask, context, most=2)  # what is loaded once is no part of it
    started = time.perf_counter()
    rates = measure(SlowTask, context, most=256)
    took = time.perf_counter() - started
    assert len(rates) >= 2
    # One alone may take as much again; the rest is for a busy machine.
    assert took < 3 * 2 * measuring.LEAST_S, "a training of twelve updates allows for the least that is allowed"


def test_a_size_that_would_not_fit_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "available_bytes", lambda device: 0)
    (context,) = make_contexts(tmp_path, {})
    assert len(measure(NetTask, context, most=256)) == 1


def test_memory_that_runs_out_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class LargeTask(NetTask):
        """Memory is enough for three models."""

        n_models = 0

        def build(self, params: TinyParams, rng: torch.Generator) -> nn.Module:
            LargeTask.n_models += 1
            if LargeTask.n_models > 3:
                raise MemoryError
            return super().build(params, rng)

    (context,) = make_contexts(tmp_path, {})
    assert len(measure(LargeTask, context, most=256)) == 2


def test_what_cant_be_mapped_is_refused(tmp_path: Path) -> None:
    (context,) = make_contexts(tmp_path, {})
    with pytest.raises(NotFusedError, match="item"):
        measure(LookingTask, context, most=4)


def test_a_trial_trains_after_it_as_without_it(tmp_path: Path) -> None:
    (context,) = make_contexts(tmp_path, {})
    measure(NetTask, context, most=4)
    task = NetTask()
    task.measure_together(context, most=2)
    task.train(context)
    alone = train_alone(NetTask, context)
    assert [{**values, "train_time_s": 0.0} for _, values in context.reports] == [
        {**values, "train_time_s": 0.0} for _, values in alone.reports
    ]
