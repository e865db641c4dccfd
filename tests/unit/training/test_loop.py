"""The loop that all tasks share, watched through a task of one weight."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stepsize_workers.trainers.base import Diverged
from stepsize_workers.training.optimizers import ParameterGroup
from stepsize_workers.training.run import Run
from stepsize_workers.training.task import Metrics
from tests.fakes import RecordingContext
from tests.unit.training.tiny import TinyParams, TinyTask


class SlopeTask(TinyTask):
    """The loss is the weight itself, so its gradient is 1: the weight counts the rates of all updates."""

    weights: list[float]

    def prepare(self, params: TinyParams, *, device: torch.device, data_dir: Path) -> None:
        super().prepare(params, device=device, data_dir=data_dir)
        self.weights = []

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        weight = next(model.parameters())
        if torch.is_grad_enabled():  # not while the loop looks at the untrained model
            self.weights.append(weight.item())
        return weight.sum()

    def evaluate(self, model: nn.Module) -> Metrics:
        self.weights.append(next(model.parameters()).item())
        return {"val_loss": 0.0}


class ScriptedTask(TinyTask):
    """Its validation loss follows a script, whatever the training does."""

    val_losses: tuple[float, ...] = (3.0, 1.0, 2.0, 1.0)

    def prepare(self, params: TinyParams, *, device: torch.device, data_dir: Path) -> None:
        super().prepare(params, device=device, data_dir=data_dir)
        self.remaining = iter(self.val_losses)
        self.weights: list[float] = []

    def evaluate(self, model: nn.Module) -> Metrics:
        self.weights.append(next(model.parameters()).item())
        return {"val_loss": next(self.remaining)}

    def test(self, model: nn.Module) -> Mapping[str, float]:
        return {"test_loss": 0.5}


def make_context(directory: Path, **params: object) -> RecordingContext[TinyParams]:
    plain = {"momentum": 0.0, "batch_size": 8, "learning_rate": 0.1, "epochs": 2}
    return RecordingContext(params=TinyParams.model_validate(plain | params), directory=directory)


def final_weight(context: RecordingContext[TinyParams]) -> float:
    return load_file(context.artifact("model.safetensors"))["weight"].item()


def test_a_task_learns(tmp_path: Path) -> None:
    context = make_context(tmp_path, epochs=10, learning_rate=0.5)
    TinyTask().train(context)
    steps = [step for step, _ in context.reports]
    assert steps == list(range(1, 11))
    assert final_weight(context) == pytest.approx(3.0, abs=0.05)


def test_every_update_has_the_schedules_rate(tmp_path: Path) -> None:
    task = SlopeTask()
    context = make_context(tmp_path, schedule="linear", warmup_frac=0.4, learning_rate=0.1, epochs=2)
    task.train(context)
    # 6 updates: 2 of warmup, then a line over 4.
    factors = [1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25]
    weights = [-0.1 * math.fsum(factors[:n]) for n in range(7)]
    # Before each update, and once more after each epoch; float32 weights hold 7 digits.
    assert task.weights == pytest.approx([*weights[:4], *weights[3:]], abs=1e-6)


class TwoSpeedTask(TinyTask):
    """Two weights with a gradient of 1; the second trains at a tenth of the rate."""

    def build(self, params: TinyParams, rng: torch.Generator) -> nn.Module:
        model = nn.Linear(1, 1)
        for weight in model.parameters():
            nn.init.zeros_(weight)
        return model

    def parameter_groups(self, model: nn.Module) -> list[ParameterGroup]:
        weight, bias = model.parameters()
        return [ParameterGroup([weight]), ParameterGroup([bias], rate_ratio=0.1)]

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return torch.stack([weight.sum() for weight in model.parameters()]).sum()


def test_parameter_groups_keep_their_ratio_under_a_schedule_and_a_resume(tmp_path: Path) -> None:
    def final(context: RecordingContext[TinyParams]) -> list[float]:
        state = load_file(context.artifact("model.safetensors"))
        return [state["weight"].item(), state["bias"].item()]

    class LastIsBestTask(TwoSpeedTask):
        def evaluate(self, model: nn.Module) -> Metrics:
            return {"val_loss": next(model.parameters()).sum()}  # falls with every update

    whole = make_context(tmp_path / "whole", schedule="linear", learning_rate=0.1)
    LastIsBestTask().train(whole)
    # 6 updates on a line from 1 to 0.
    total = 0.1 * math.fsum(1 - update / 6 for update in range(6))
    assert final(whole) == pytest.approx([-total, -total / 10], rel=1e-5)  # float32
    resumed = make_context(tmp_path / "resumed", schedule="linear", learning_rate=0.1)
    resumed.checkpoint = whole.checkpoint_after(1)
    LastIsBestTask().train(resumed)
    assert final(resumed) == final(whole)


def test_the_reported_rate_is_the_one_the_epoch_began_with(tmp_path: Path) -> None:
    context = make_context(tmp_path, schedule="exponential", gamma=0.8, learning_rate=0.01, epochs=5)
    TinyTask().train(context)
    rates = [values["learning_rate"] for _, values in context.reports]
    assert rates == pytest.approx([0.01, 0.008, 0.0064, 0.00512, 0.004096], rel=1e-12)


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    large = make_context(tmp_path / "large", batch_size=12)
    accumulated = make_context(tmp_path / "accumulated", batch_size=4, grad_accumulation=3)
    TinyTask().train(large)
    TinyTask().train(accumulated)
    assert final_weight(accumulated) == pytest.approx(final_weight(large), rel=1e-6)  # float32 sums in another order
    assert accumulated.n_polls == large.n_polls == 4


def test_a_last_group_that_is_too_small_is_averaged_over_what_there_is(tmp_path: Path) -> None:
    task = SlopeTask()
    # 3 batches of 8 in groups of 2: the second group has one batch, and its gradient is still 1.
    task.train(make_context(tmp_path, grad_accumulation=2, epochs=1))
    assert task.weights[-1] == pytest.approx(-0.2)


def test_clipping_bounds_the_update(tmp_path: Path) -> None:
    task = SlopeTask()
    task.train(make_context(tmp_path, clip_norm=0.25, epochs=1))
    # The gradient 1 is cut to 0.25 in each of 3 updates; torch divides by (norm + 1e-6).
    assert task.weights[-1] == pytest.approx(-3 * 0.1 * 0.25, rel=1e-5)


def test_an_exploding_loss_ends_the_trial_within_the_epoch(tmp_path: Path) -> None:
    context = make_context(tmp_path, learning_rate=100.0, batch_size=1, epochs=1)
    with pytest.raises(Diverged) as caught:
        TinyTask().train(context)
    assert (caught.value.step, caught.value.learning_rate) == (1, 100.0)
    assert context.reports == []
    assert context.n_polls < 24  # before the epoch's last update


class LeapingTask(TinyTask):
    """Its losses follow a script, 3 an epoch; the model does not matter. Before training the loss is 2."""

    losses: tuple[float, ...]

    def prepare(self, params: TinyParams, *, device: torch.device, data_dir: Path) -> None:
        super().prepare(params, device=device, data_dir=data_dir)
        self.remaining = iter(self.losses)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return torch.tensor(2.0)
        return next(model.parameters()).sum() * 0 + next(self.remaining)


@pytest.mark.parametrize(
    ("epochs", "losses"),
    [
        (1, (2.0, math.nan, 1.0)),
        (1, (2.0, math.inf, 1.0)),
        (3, (2.0, 30.0, 30.0, 30.0, 21.0, 21.0, 21.0, 21.0, 21.0)),  # the averages of all three epochs lie above 20
    ],
)
def test_what_counts_as_an_explosion(tmp_path: Path, epochs: int, losses: tuple[float, ...]) -> None:
    task = LeapingTask()
    task.losses = losses
    with pytest.raises(Diverged) as caught:
        task.train(make_context(tmp_path, epochs=epochs))
    assert caught.value.step == epochs
    assert "0.1" in str(caught.value)


def test_a_leap_that_comes_back_is_no_explosion(tmp_path: Path) -> None:
    task = LeapingTask()
    task.losses = (2.0, 300.0, 2.0, 60.0, 30.0, 2.0, 2.0, 2.0, 2.0)
    context = make_context(tmp_path, epochs=3)
    task.train(context)
    assert context.reports[0][1]["train_loss"] == pytest.approx(304 / 3, rel=1e-6)


def test_an_interrupted_explosion_is_seen_as_an_uninterrupted_one_would_be(tmp_path: Path) -> None:
    script = (2.0, 30.0, 30.0, 30.0, 21.0, 21.0, 21.0, 21.0, 21.0)
    whole = LeapingTask()
    whole.losses = script
    context = make_context(tmp_path / "whole", epochs=3)
    with pytest.raises(Diverged) as expected:
        whole.train(context)
    rest = LeapingTask()
    rest.losses = script[6:]
    resumed = make_context(tmp_path / "resumed", epochs=3)
    resumed.checkpoint = context.checkpoint_after(2)
    with pytest.raises(Diverged) as caught:
        rest.train(resumed)
    assert str(caught.value) == str(expected.value)


class NormalisedTask(TinyTask):
    """Batches are normalised, which can't be done with one sample."""

    seen: list[int]

    def build(self, params: TinyParams, rng: torch.Generator) -> nn.Module:
        self.seen = []
        return nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.seen.append(len(batch))
        return super().loss(model, batch)


def test_a_last_batch_of_one_sample_is_left_out(tmp_path: Path) -> None:
    task = NormalisedTask()
    task.train(make_context(tmp_path, batch_size=23, learning_rate=0.01, epochs=2))  # 24 = 23 + 1
    assert task.seen == [23, 23]


def test_batches_of_one_sample_are_all_used(tmp_path: Path) -> None:
    context = make_context(tmp_path, batch_size=1, learning_rate=0.01, epochs=1)
    TinyTask().train(context)
    assert context.n_polls == 24


class RandomTask(NormalisedTask):
    """Draws while it computes its loss; batches are normalised."""

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return super().loss(model, batch) * torch.rand(())


def test_the_look_at_the_untrained_model_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_look, without = make_context(tmp_path / "1"), make_context(tmp_path / "2")
    RandomTask().train(with_look)
    monkeypatch.setattr(Run, "_robust_loss", lambda _run, _groups: 1.0)
    RandomTask().train(without)
    states = [load_file(context.artifact("model.safetensors")) for context in (with_look, without)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_validation_loss_that_is_not_finite_ends_the_trial(tmp_path: Path) -> None:
    class BrokenTask(ScriptedTask):
        val_losses = (1.0, math.nan, 1.0, 1.0)

    context = make_context(tmp_path)
    with pytest.raises(Diverged) as caught:
        BrokenTask().train(context)
    assert caught.value.step == 2
    assert len(context.reports) == 1


def test_the_best_epochs_model_is_kept(tmp_path: Path) -> None:
    task = ScriptedTask()
    context = make_context(tmp_path, epochs=4)
    task.train(context)
    config = json.loads(context.artifact("config.json").read_text())
    assert config["epoch"] == 2  # the first of two equals
    assert final_weight(context) == task.weights[1]
    assert config["metrics"]["val_loss"] == 1.0


def test_test_metrics_stand_in_the_models_config_and_in_no_report(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    ScriptedTask().train(context)
    assert json.loads(context.artifact("config.json").read_text())["metrics"]["test_loss"] == 0.5
    assert not [name for _, values in context.reports for name in values if name.startswith("test_")]


def test_a_test_metric_by_another_name_is_refused(tmp_path: Path) -> None:
    class MisnamedTask(ScriptedTask):
        def test(self, model: nn.Module) -> Mapping[str, float]:
            return {"accuracy": 1.0}

    with pytest.raises(ValueError, match="accuracy"):
        MisnamedTask().train(make_context(tmp_path))


def test_a_pruned_trial_keeps_its_model(tmp_path: Path) -> None:
    context = make_context(tmp_path, epochs=4)
    context.stop_at_step = 2
    ScriptedTask().train(context)
    assert [step for step, _ in context.reports] == [1, 2]
    assert context.artifact("model.safetensors").exists()


def test_an_interrupted_trial_resumes_its_best_epoch_and_its_clock(tmp_path: Path) -> None:
    whole = make_context(tmp_path / "whole", epochs=4)
    ScriptedTask().train(whole)
    resumed = make_context(tmp_path / "resumed", epochs=4)
    resumed.checkpoint = whole.checkpoint_after(3)

    class RestOfScript(ScriptedTask):
        val_losses = ScriptedTask.val_losses[3:]

    RestOfScript().train(resumed)
    assert final_weight(resumed) == final_weight(whole)
    assert json.loads(resumed.artifact("config.json").read_text())["epoch"] == 2
    assert resumed.reports[0][1]["train_time_s"] > whole.reports[2][1]["train_time_s"]


def test_a_trial_interrupted_after_its_last_epoch_only_writes_its_model(tmp_path: Path) -> None:
    whole = make_context(tmp_path / "whole")
    TinyTask().train(whole)
    resumed = make_context(tmp_path / "resumed")
    resumed.checkpoint = whole.checkpoint_after(2)
    TinyTask().train(resumed)
    assert resumed.reports == []
    assert final_weight(resumed) == final_weight(whole)


class TinyNumbersTask(TinyTask):
    """Its validation loss is 1e-41, too small to be written with all digits, made readable."""

    def evaluate(self, model: nn.Module) -> Metrics:
        return {"val_loss": float(torch.tensor([1e-38]) * 1e-3 * 1e30)}


def test_a_training_takes_tiny_numbers_for_zero_and_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor always computes with them")
    context = make_context(tmp_path, epochs=1)
    TinyNumbersTask().train(context)
    assert context.reports[-1][1]["val_loss"] == 0
    assert TinyNumbersTask().evaluate(nn.Identity())["val_loss"] == pytest.approx(1e-11, rel=1e-3)
