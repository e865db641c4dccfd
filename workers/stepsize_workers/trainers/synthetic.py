"""A trainer that trains nothing: an exact valley over learning rate and batch size.

It needs no torch and costs microseconds, so that users can try the service, and so that tests and benchmarks know the
answer they are looking for.
"""

import math
import os
import random
import time
from typing import ClassVar

from pydantic import Field

from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.base import Diverged, Params, Sweep, Trainer, TrialContext

_REFERENCE_BATCH_SIZE = 32
_NAP_S = 0.02


class SyntheticParams(Params):
    """The valley, and everything that can go wrong on the way down."""

    learning_rate: float = Field(default=0.01, gt=0, le=1e6)
    """The rate whose loss is reported."""
    batch_size: int = Field(default=32, ge=1, le=2**20)
    """Moves the valley along the learning rate; see `exponent`."""
    lr_opt: float = Field(default=0.01, gt=0, le=1e6)
    """The best learning rate at batch size 32."""
    exponent: float = Field(default=0.5, ge=-2, le=2)
    """The best rate grows as batch_size to this power: 0.5 is the square-root rule, 1 the linear one."""
    floor: float = Field(default=0.01, ge=0, le=1e6)
    """The loss at the bottom of the valley."""
    n_reports: int = Field(default=5, ge=1, le=1_000_000)
    """Steps of a trial; the loss is reported at each."""
    step_s: float = Field(default=0.0, ge=0, le=3600)
    """Seconds a step takes."""
    noise: float = Field(default=0.0, ge=0, le=1e6)
    """Standard deviation of the Gaussian noise on every reported loss."""
    diverge_above: float = Field(default=1e6, gt=0, le=1e6)
    """Learning rate from which the trial diverges; the default is out of reach of any sensible search."""
    oom_above_batch: int = Field(default=2**20, ge=1, le=2**20)
    """Largest batch size that fits into memory; a larger one runs out of it."""
    crash_probability: float = Field(default=0.0, ge=0, le=1)
    """Chance that the process of one attempt dies; another attempt of the same trial draws afresh."""


class Synthetic(Trainer[SyntheticParams]):
    """The valley as a trainer."""

    name = "synthetic"
    version = "1"
    help = "An exact valley over learning rate and batch size: tries the service in milliseconds, no training."
    Params = SyntheticParams
    metrics = (Metric(name="loss", direction=Direction.MINIMIZE),)
    step_unit = "step"
    max_step_param = "n_reports"
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-5, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
    }
    default_objectives = (Objective(metric="loss", direction=Direction.MINIMIZE),)
    capabilities = Capabilities(range_test=True, refit=True)

    def train(self, context: TrialContext[SyntheticParams]) -> None:
        """Report the losses of `loss_at`, or end as the parameters say."""
        self._train(context, refit=False)

    def refit(self, context: TrialContext[SyntheticParams]) -> None:
        """Do the same, and report the last loss as `test_loss` too."""
        self._train(context, refit=True)

    def _train(self, context: TrialContext[SyntheticParams], *, refit: bool) -> None:
        params = context.params
        _check_memory(params)
        if params.learning_rate >= params.diverge_above:
            raise Diverged(
                f"the loss exploded at learning rate {params.learning_rate:g}",
                step=1,
                learning_rate=params.learning_rate,
            )
        crash_step = draw_crash_step(params, seed=context.seed, attempt=context.attempt)
        noise = _random(context.seed, "noise", params)
        for step in range(1, params.n_reports + 1):
            if _wait(context, params.step_s):
                return
            if step == crash_step:
                os._exit(1)  # a real death: no exception handler, no flush
            loss = loss_at(params, step=step) + params.noise * noise.gauss()
            test = {"test_loss": loss} if refit and step == params.n_reports else {}
            if context.report(step, {"loss": loss, **test}):
                return

    def sweep(self, context: TrialContext[SyntheticParams], sweep: Sweep) -> None:
        """Report the losses of `sweep_loss_at`, up to the rate from which the trial diverges."""
        params = context.params
        _check_memory(params)
        noise = _random(context.seed, "sweep", params)
        for step in range(1, sweep.steps + 1):
            rate = sweep.rate(step)
            if rate >= params.diverge_above and step == 1:
                raise Diverged(f"the loss exploded at learning rate {rate:g}", step=1, learning_rate=rate)
            if rate >= params.diverge_above or _wait(context, params.step_s):
                return
            loss = sweep_loss_at(params, learning_rate=rate) + params.noise * noise.gauss()
            if context.report(step, {"learning_rate": rate, "loss": loss}):
                return


def _check_memory(params: SyntheticParams) -> None:
    if params.batch_size > params.oom_above_batch:
        raise MemoryError(f"a batch of {params.batch_size} does not fit; the largest is {params.oom_above_batch}")


def best_lr(params: SyntheticParams) -> float:
    """Return the learning rate at the bottom of the valley for the parameters' batch size."""
    return params.lr_opt * math.pow(params.batch_size / _REFERENCE_BATCH_SIZE, params.exponent)


def loss_at(params: SyntheticParams, *, step: int) -> float:
    """Return the noiseless loss after `step` of `n_reports` steps.

    The last step has the valley itself, `(log10 lr − log10 lr*(B))² + floor`; a step k of n lies `1/k − 1/n` above it,
    so that every trial falls alike and two trials keep their order at every step.
    """
    decades = math.log10(params.learning_rate) - math.log10(best_lr(params))
    return decades**2 + params.floor + (1 / step - 1 / params.n_reports)


def sweep_loss_at(params: SyntheticParams, *, learning_rate: float) -> float:
    """Return the noiseless loss of a range test at a rate: it falls from `floor + 1` to `floor`, fastest at lr*(B).

    A logistic curve over log lr, so that its steepest point, per decade, is the bottom of the valley.
    """
    return params.floor + 1 / (1 + (learning_rate / best_lr(params)) ** 2)


def draw_crash_step(params: SyntheticParams, *, seed: int, attempt: int) -> int | None:
    """Return the step before whose report this attempt's process dies, or None if it lives."""
    if not params.crash_probability:
        return None
    draw = _random(seed, f"crash {attempt}", params)
    return draw.randint(1, params.n_reports) if draw.random() < params.crash_probability else None


def _random(seed: int, purpose: str, params: SyntheticParams) -> random.Random:
    # The parameters count too: the trials of a job share one seed, but must not share their noise and their crashes.
    return random.Random(f"{seed} {purpose} {params.learning_rate!r} {params.batch_size}")


def _wait(context: TrialContext[SyntheticParams], duration_s: float) -> bool:
    """Sleep in small slices; return whether the trial was asked to stop meanwhile."""
    end = time.monotonic() + duration_s
    while not context.should_stop():
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _NAP_S))
    return True
