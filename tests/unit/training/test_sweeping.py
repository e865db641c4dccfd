"""The sweep: its rates, its end, and that nothing is left of it."""

import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from stepsize.spec.optimizers import optimizer_types
from stepsize_workers.trainers.base import Diverged, Sweep
from stepsize_workers.trainers.divergence import SweepWatch
from stepsize_workers.training.optimizers import ParameterGroup, build_optimizer
from stepsize_workers.training.sweeping import preserved, sweep_learning_rate
from stepsize_workers.training.untrained import BesideUntrained
from tests.fakes import RecordingContext
from tests.unit.training.tiny import TinyParams, TinyTask

SWEEP = Sweep(low=1e-4, high=1.0, steps=9)


class Net(nn.Module):
    """Has all that a training can change: weights, running statistics, a buffer outside `state_dict`, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.layers = nn.Sequential(self.first, nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.register_buffer("n_calls", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("n_calls").add_(1)
        return self.layers(x)  # type: ignore[no-any-return]


def make_training(name: str) -> tuple[Net, Optimizer]:
    torch.manual_seed(0)
    model = Net()
    spec = optimizer_types()[name](name=name)
    groups = [ParameterGroup(list(model.parameters()))]
    return model, build_optimizer(spec, groups=groups, learning_rate=0.01, weight_decay=0.01)


def backward(model: nn.Module, optimizer: Optimizer) -> float:
    optimizer.zero_grad()
    x = torch.randn(16, 4) * float(np.random.uniform(0.9, 1.1)) * random.uniform(0.9, 1.1)
    loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
    loss.backward()
    return float(loss.item())


def train(model: nn.Module, optimizer: Optimizer, n_updates: int) -> None:
    for _ in range(n_updates):
        backward(model, optimizer)
        optimizer.step()


def sweep(model: nn.Module, optimizer: Optimizer) -> None:
    sweep_learning_rate(
        model,
        optimizer,
        SWEEP,
        backward=lambda: backward(model, optimizer),
        step=optimizer.step,
        report=lambda _step, _values: False,
    )


def seed_all() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)


@pytest.mark.parametrize("name", optimizer_types())
def test_a_training_with_a_sweep_in_its_middle_is_bitwise_the_training_without(name: str) -> None:
    states = []
    for with_sweep in (False, True):
        model, optimizer = make_training(name)
        seed_all()
        train(model, optimizer, 3)
        if with_sweep:
            sweep(model, optimizer)
        train(model, optimizer, 3)
        states.append((model.state_dict(), optimizer.state_dict()["state"], model.get_buffer("n_calls")))
    without, with_ = states
    assert all(torch.equal(without[0][key], with_[0][key]) for key in without[0])
    for index, kept in without[1].items():
        assert all(torch.equal(torch.as_tensor(kept[key]), torch.as_tensor(with_[1][index][key])) for key in kept)
    assert torch.equal(without[2], with_[2])


def test_a_sweep_does_change_things_while_it_lasts() -> None:
    model, optimizer = make_training("adam")
    before = model.first.weight.detach().clone()
    with preserved(model, optimizer):
        train(model, optimizer, 1)
        assert not torch.equal(model.first.weight, before)
    assert torch.equal(model.first.weight, before)
    assert optimizer.state == {}


def test_modes_gradients_and_settings_are_put_back() -> None:
    model, optimizer = make_training("sgd")
    backward(model, optimizer)
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.layers[1].eval()  # frozen statistics, as in fine-tuning
    sweep(model, optimizer)
    assert [module.training for module in model.layers] == [True, False, True, True]
    assert optimizer.param_groups[0]["lr"] == 0.01
    restored = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) == len(restored) == 6
    assert all(torch.equal(one, other) for one, other in zip(gradients, restored, strict=True))


def test_a_scaler_and_given_generators_are_put_back() -> None:
    model, optimizer = make_training("sgd")
    scaler, generator = GradScaler("cpu", init_scale=8.0), torch.Generator().manual_seed(3)
    scaler.scale(torch.ones(()))
    draws = torch.rand(3, generator=generator.clone_state())
    with preserved(model, optimizer, scaler=scaler, generators=[generator]):
        torch.rand(5, generator=generator)
        scaler.update(2.0)
        assert scaler.get_scale() == 2.0
    assert scaler.get_scale() == 8.0
    assert torch.equal(torch.rand(3, generator=generator), draws)


def test_everything_is_put_back_after_an_error_too() -> None:
    model, optimizer = make_training("adam")
    seed_all()
    draws = (torch.rand(()).item(), np.random.uniform(), random.random())
    seed_all()
    with suppress(ZeroDivisionError), preserved(model, optimizer):
        train(model, optimizer, 2)
        raise ZeroDivisionError
    assert (torch.rand(()).item(), np.random.uniform(), random.random()) == draws
    assert optimizer.state == {}


class SlopeTask(TinyTask):
    """The loss is the weight itself, so its gradient is 1: the weight counts the rates of all updates."""

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return next(model.parameters()).sum()


def make_context(directory: Path, **params: object) -> RecordingContext[TinyParams]:
    plain = {"momentum": 0.0, "batch_size": 8}
    return RecordingContext(params=TinyParams.model_validate(plain | params), directory=directory)


def test_every_update_has_its_rate_and_reports_the_loss_it_led_to(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    SlopeTask().sweep(context, SWEEP)
    rates = [10 ** (-4 + index / 2) for index in range(9)]
    assert [step for step, _ in context.reports] == list(range(1, 10))
    assert [values["learning_rate"] for _, values in context.reports] == pytest.approx(rates, rel=1e-12)
    sums = [-math.fsum(rates[: index + 1]) for index in range(9)]
    assert [values["loss"] for _, values in context.reports] == pytest.approx(sums, rel=1e-6)  # float32 weights


class DroppingTask(TinyTask):
    """Half of what the model says is dropped, and its loss is asked for again and again."""

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return super().loss(model, batch) * torch.nn.functional.dropout(torch.ones(8)).mean()


def test_the_untrained_model_sees_the_same_batches_with_the_same_dropout(tmp_path: Path) -> None:
    still = make_context(tmp_path)
    DroppingTask().sweep(still, Sweep(low=1e-12, high=1e-11, steps=9))
    for _, values in still.reports:  # at such rates nothing is learned
        assert values["loss"] == pytest.approx(values["untrained_loss"], rel=1e-6)
    assert len({values["loss"] for _, values in still.reports}) == 9
    moving = make_context(tmp_path)
    DroppingTask().sweep(moving, Sweep(low=1e-2, high=1e-1, steps=9))
    assert [values["untrained_loss"] for _, values in moving.reports[:9]] == pytest.approx(
        [values["untrained_loss"] for _, values in still.reports], rel=1e-6
    )
    assert moving.reports[8][1]["loss"] < 0.9 * moving.reports[8][1]["untrained_loss"]


def test_looking_at_the_untrained_model_changes_no_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, blind = make_context(tmp_path), make_context(tmp_path)
    DroppingTask().sweep(looking, SWEEP)
    monkeypatch.setattr(BesideUntrained, "backward", lambda self: self._run.backward(next(self._groups)))
    DroppingTask().sweep(blind, SWEEP)
    assert [values["loss"] for _, values in looking.reports] == [values["loss"] for _, values in blind.reports]


def test_a_sweep_clips_and_accumulates_as_training_does(tmp_path: Path) -> None:
    clipped = make_context(tmp_path, clip_norm=0.25)
    SlopeTask().sweep(clipped, SWEEP)
    rates = [values["learning_rate"] for _, values in clipped.reports]
    # The gradient 1 is cut to 0.25; torch divides by (norm + 1e-6).
    assert clipped.reports[-1][1]["loss"] == pytest.approx(-0.25 * math.fsum(rates), rel=1e-5)
    large, accumulated = (
        make_context(tmp_path, batch_size=12),
        make_context(tmp_path, batch_size=4, grad_accumulation=3),
    )
    TinyTask().sweep(large, SWEEP)
    TinyTask().sweep(accumulated, SWEEP)
    losses = [[values["loss"] for _, values in context.reports] for context in (large, accumulated)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # float32 sums in another order


@pytest.mark.parametrize(("base_rate", "factors"), [(None, (1.0, 0.1)), (1.0, (0.5, 0.05))])
def test_parameter_groups_keep_their_ratio_in_a_sweep(base_rate: float | None, factors: tuple[float, float]) -> None:
    model = nn.Linear(1, 1)
    groups = [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias], "lr": 0.05}]
    optimizer = torch.optim.SGD(groups)
    rates: list[list[float]] = []

    def loss() -> float:
        model(torch.ones(1, 1)).sum().backward()
        return 1.0

    sweep_learning_rate(
        model,
        optimizer,
        SWEEP,
        backward=loss,
        step=lambda: rates.append([group["lr"] for group in optimizer.param_groups]),
        report=lambda _step, _values: False,
        base_rate=base_rate,
    )
    expected = [[factor * SWEEP.rate(step) for factor in factors] for step in range(1, SWEEP.steps + 1)]
    assert rates == [pytest.approx(pair) for pair in expected]


def test_a_sweep_ends_once_the_loss_has_exploded(tmp_path: Path) -> None:
    context = make_context(tmp_path, batch_size=24)
    # y = 3x by least squares on [-1, 1]: the mean of x² is 0.36, so gradient descent is unstable above 1/0.36 = 2.8.
    TinyTask().sweep(context, Sweep(low=1e-3, high=1e6, steps=90))
    last = context.reports[-1][1]["learning_rate"]
    assert 2.8 < last < 1e3
    assert len(context.reports) < 90


def test_a_sweep_ends_when_asked_to(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    context.stop_at_step = 4
    TinyTask().sweep(context, SWEEP)
    assert len(context.reports) == 4


def losses_at(falls_from: float) -> tuple[list[float], list[float]]:
    """Sweep a made-up loss, which falls by 1 over two decades from a rate on; return rates and losses as reported."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    reported: list[tuple[float, float]] = []

    def loss() -> float:
        decades = math.log10(optimizer.param_groups[0]["lr"])
        return 2 - min(max((decades - falls_from) / 2, 0.0), 1.0)

    def report(step: int, values: Mapping[str, float]) -> bool:
        assert step == len(reported) + 1
        reported.append((values["learning_rate"], values["loss"]))
        return False

    plan = Sweep(low=1e-4, high=1.0, steps=41)
    sweep_learning_rate(model, optimizer, plan, backward=loss, step=lambda: None, report=report)
    assert [rate for rate, _ in reported[:41]] == [plan.rate(step) for step in range(1, 42)]
    return [rate for rate, _ in reported], [one for _, one in reported]


@pytest.mark.parametrize(("falls_from", "n_extensions"), [(-3.0, 0), (-4.5, 1), (-5.8, 2), (-20.0, 0)])
def test_a_sweep_whose_loss_falls_from_its_start_goes_on_below(falls_from: float, n_extensions: int) -> None:
    rates, losses = losses_at(falls_from)
    assert len(rates) == 41 + 20 * n_extensions
    for extension in range(n_extensions):
        lower = rates[41 + 20 * extension : 61 + 20 * extension]
        assert lower[0] == pytest.approx(10 ** (-6 - 2 * extension))
        assert lower == sorted(lower)
        assert lower[-1] < 10 ** (-4 - 2 * extension)
    together = [loss for _, loss in sorted(zip(rates, losses, strict=True))]
    assert all(one >= other for one, other in pairwise(together))


class BrokenTask(TinyTask):
    """Its loss is never finite."""

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return next(model.parameters()).sum() * math.nan


def test_a_loss_that_is_never_finite_is_a_divergence(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    with pytest.raises(Diverged) as caught:
        BrokenTask().sweep(context, SWEEP)
    assert (caught.value.step, context.reports) == (1, [])


def _steps_until_exploded(initial: float, loss_at: Callable[[int], float], batch_size: int = 64) -> int | None:
    watch = SweepWatch(initial, batch_size=batch_size)
    return next((step for step in range(100) if watch.has_exploded(loss_at(step))), None)


@pytest.mark.parametrize(
    ("initial", "losses", "explodes"),
    [
        (2.3, [2.3] * 100, False),
        (2.3, [0.5] * 50 + [2.3] * 50, False),  # stalled at chance: seen to the end
        (2.3, [0.5] * 50 + [9.0] * 50, True),
        (2.3, [0.01] * 50 + [0.5] * 50, False),  # far above the lowest, far below the initial loss
        (2.3, [1.0] * 50 + [6.5] + [1.0] * 49, False),  # one odd batch, smoothed by half to 3.75
        (-1.0, [-5.0] * 50 + [-4.0] * 50, False),
        (-1.0, [-5.0] * 50 + [30.0] * 50, True),
    ],
)
def test_what_ends_a_sweep(initial: float, losses: list[float], explodes: bool) -> None:
    step = _steps_until_exploded(initial, losses.__getitem__)
    assert (step is not None and step >= 50) if explodes else step is None


def test_small_batches_are_judged_over_more_of_them() -> None:
    # One sample at a time: most are learned, every fourth is far off.
    losses = [[0.7] * 20, [0.01, 0.01, 0.01, 6.0] * 10, [0.01, 8.0, 9.0, 9.0] * 10]
    step = _steps_until_exploded(0.2, list(chain.from_iterable(losses)).__getitem__, batch_size=1)
    assert step is not None
    assert 60 < step <= 60 + 8


class OddLastBatchTask(TinyTask):
    """Its batches hold 9, 9 and 6, or 11, 11 and 2 samples; the loss is their number."""

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return next(model.parameters()).sum() * 0 + len(batch)


@pytest.mark.parametrize(("batch_size", "losses"), [(9, [9.0, 6.0, 9.0, 9.0]), (11, [11.0] * 4)])
def test_a_last_batch_that_is_much_smaller_is_left_out_of_a_sweep(
    tmp_path: Path, batch_size: int, losses: list[float]
) -> None:
    context = make_context(tmp_path, batch_size=batch_size)
    OddLastBatchTask().sweep(context, SWEEP)
    assert [values["loss"] for _, values in context.reports][:4] == losses


def test_a_sweeps_rates_are_exact_at_both_ends() -> None:
    assert [SWEEP.rate(1), SWEEP.rate(9)] == [1e-4, 1.0]
    ratios = [SWEEP.rate(step + 1) / SWEEP.rate(step) for step in range(1, 9)]
    assert ratios == pytest.approx([10**0.5] * 8, rel=1e-12)


def test_hard_batches_after_easy_ones_end_no_sweep_where_the_untrained_model_finds_them_hard_too() -> None:
    losses = [1.2, 0.5, 0.4, 1.3, 2.4, 2.6, 1.2]
    watch, alone = SweepWatch(1.2), SweepWatch(1.2)
    assert not any(watch.has_exploded(loss, untrained=loss + 0.02) for loss in losses)
    assert any(alone.has_exploded(loss) for loss in losses)
    assert watch.has_exploded(9.0, untrained=1.2)
