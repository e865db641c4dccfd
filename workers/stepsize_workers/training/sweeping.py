"""The sweep of a learning-rate range test: one update a rate, from low to high, then everything is as before.

Source: Smith 2017, "Cyclical learning rates for training neural networks" (arXiv:1506.01186), section 3.3. The rate
grows exponentially, so that every decade gets equally many updates.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from stepsize_workers.trainers.base import UNTRAINED_LOSS, Diverged, Sweep
from stepsize_workers.trainers.divergence import SweepWatch
from stepsize_workers.training.optimizers import GroupRates
from stepsize_workers.training.range_test import Array, begins_too_high, without_batches
from stepsize_workers.training.seeding import preserved_generators

_MOST_EXTENSIONS = 3
"""Begun at the usual 1e-7, a sweep ends up at 1e-13: no training needs less."""


def sweep_learning_rate(
    model: nn.Module,
    optimizer: Optimizer,
    sweep: Sweep,
    *,
    backward: Callable[[], float],
    step: Callable[[], object],
    report: Callable[[int, Mapping[str, float]], bool],
    untrained: Callable[[], float] | None = None,
    base_rate: float | None = None,
    batch_size: int | None = None,
    scaler: GradScaler | None = None,
    generators: Sequence[torch.Generator] = (),
) -> None:
    """Report the loss after each update of the sweep; model, optimiser and random numbers are put back at the end.

    It ends early once the loss is not finite, or far above its lowest and the untrained model's. Where the loss falls
    from the first rate on, it goes on below: from two decades lower up to where it had begun, with the untouched
    model, up to three times.

    Args:
        backward: leaves the next batch's gradient in the parameters and returns its loss.
        step: updates the parameters with that gradient, e.g. `optimizer.step`.
        report: gets the step, from 1, with its `learning_rate` and `loss`, and `untrained_loss` where that is known;
            True ends the sweep. Rates rise from step to step, but where the sweep goes on below.
        untrained: returns what the model as it is now would lose on the batch that `backward` used last, so that easy
            batches are told from learning; None: not known.
        base_rate: what the rates of the optimiser's parameter groups are ratios of, which they keep; None: the first
            group's rate.
        batch_size: samples of an update, so that small batches are judged over more of them; None: they are not small.
        scaler, generators: what `backward` and `step` use beyond the model, the optimiser and the global generators.

    Raises:
        Diverged: not even the first update left a finite loss.
    """
    training = _Training(
        model=model,
        optimizer=optimizer,
        backward=backward,
        step=step,
        report=report,
        untrained=untrained,
        base_rate=base_rate,
        batch_size=batch_size,
        preserved=lambda: preserved(model, optimizer, scaler=scaler, generators=generators),
    )
    is_stopped = training.sweep([sweep.rate(number) for number in range(1, sweep.steps + 1)])
    for _ in range(_MOST_EXTENSIONS):
        if is_stopped or not begins_too_high(*training.curve()):
            return
        sweep, before = sweep.extended(1), sweep
        is_stopped = training.sweep([sweep.rate(number) for number in range(1, sweep.steps - before.steps + 1)])


@dataclass(kw_only=True)
class _Training:
    """What is swept, and what was seen of it so far."""

    model: nn.Module
    optimizer: Optimizer
    backward: Callable[[], float]
    step: Callable[[], object]
    report: Callable[[int, Mapping[str, float]], bool]
    untrained: Callable[[], float] | None
    base_rate: float | None
    batch_size: int | None
    preserved: Callable[[], AbstractContextManager[None]]
    reported: dict[float, Mapping[str, float]] = field(default_factory=dict)
    """By rate."""

    def curve(self) -> tuple[Array, Array]:
        """Return the rates in rising order and the loss after an update at each, both of shape (n_reported,).

        Easy and hard batches are taken out of it, as far as the untrained model knows them.
        """
        rates = np.array(sorted(self.reported))
        losses, untrained = (
            np.array([self.reported[rate].get(name, math.nan) for rate in rates]) for name in ("loss", UNTRAINED_LOSS)
        )
        return rates, without_batches(rates, losses, untrained)

    def sweep(self, rates: Sequence[float]) -> bool:
        """Make an update at each rate and tell whether the sweep was stopped; everything is then as before.

        Raises:
            Diverged: nothing finite was seen.
        """
        with self.preserved():
            self.model.train()
            group_rates = GroupRates(self.optimizer, self.base_rate)
            initial = self.backward()
            watch = SweepWatch(initial) if self.batch_size is None else SweepWatch(initial, batch_size=self.batch_size)
            for rate in rates:
                group_rates.set(rate)
                self.step()
                loss = self.backward()  # of the next batch: what the update led to
                if not watch.is_finite(loss):
                    if not self.reported:
                        raise _nothing_finite(initial, loss, rate)
                    return False
                untrained = math.nan if self.untrained is None else self.untrained()
                beside = {UNTRAINED_LOSS: untrained} if math.isfinite(untrained) else {}
                self.reported[rate] = {"learning_rate": rate, "loss": loss, **beside}
                if self.report(len(self.reported), self.reported[rate]):
                    return True
                if watch.has_exploded(loss, untrained=untrained):
                    return False
        return False


def _nothing_finite(initial: float, loss: float, rate: float) -> Diverged:
    if math.isfinite(initial):
        return Diverged(f"the loss was {loss} after one update", step=1, learning_rate=rate)
    return Diverged(
        f"the loss is {initial} before the first update; look for missing or infinite values in the data",
        step=1,
        learning_rate=rate,
    )


@contextmanager
def preserved(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    scaler: GradScaler | None = None,
    generators: Sequence[torch.Generator] = (),
) -> Iterator[None]:
    """Put back, bit for bit, whatever a training changes in the body.

    That is: parameters, buffers (those outside `state_dict` too), gradients, each module's mode, the optimiser's state
    and settings, the scaler, and the generators: those given, torch's on every device, numpy's and `random`'s.
    """
    tensors = {tensor: tensor.detach().clone() for tensor in chain(model.parameters(), model.buffers())}
    gradients = {p: None if p.grad is None else p.grad.detach().clone() for p in model.parameters()}
    modes = {module: module.training for module in model.modules()}
    # Not `state_dict`: loading one casts the state to the parameters' type.
    state = {parameter: deepcopy(values) for parameter, values in optimizer.state.items()}
    settings = [{name: deepcopy(group[name]) for name in group if name != "params"} for group in optimizer.param_groups]
    scaling = None if scaler is None else deepcopy(scaler.state_dict())
    with preserved_generators(generators):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, value in tensors.items():
                    tensor.copy_(value)
            for parameter, gradient in gradients.items():
                parameter.grad = gradient
            for module, mode in modes.items():
                module.training = mode
            optimizer.state.clear()
            optimizer.state.update(state)
            for group, values in zip(optimizer.param_groups, settings, strict=True):
                group.update(values)
            if scaler is not None and scaling is not None:
                scaler.load_state_dict(scaling)
