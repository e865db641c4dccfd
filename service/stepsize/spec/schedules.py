"""Schedules: how the learning rate moves over a training. To add one: a class here, in the union on the last line.

A schedule is a pure function of the update: `factor(update, n_updates)` in [0, 1], multiplied with `learning_rate`,
which is always the highest rate reached. Two rules hold for all of them:
  * lengths (`step_size`, `cycle_length`, `timescale`) and decays (`gamma`, `decay_rate`) count in the trainer's steps,
    so they mean the same at every batch size; `updates_per_step` converts. With 1 they are PyTorch's own.
  * a warmup comes first; the schedule then begins, and its lengths and fractions count what is left after the warmup.
A parameter name has one meaning, one range and one default, whichever schedules use it: shared ones are mixins.
"""

import math
from abc import ABC, abstractmethod
from functools import cache
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from stepsize.spec.base import Spec

_PREVIEW_DIGITS = 12


class ScheduleBase(Spec, ABC):
    """What every schedule has: a warmup, the factor after it, and what it promises (the contract suite checks that)."""

    rises: ClassVar[bool] = False
    """Whether the rate ever rises after the warmup."""
    peaks_at_updates: ClassVar[bool] = False
    """Whether its peaks lie on whole updates, of which a larger batch has fewer: else it is the same at every one."""

    @property
    def ends_at_final_factor(self) -> bool:
        """Whether its last value is `final_factor`, however long the training is."""
        return False

    name: str
    warmup_frac: float = Field(default=0.0, ge=0, le=0.9)
    """Share of all updates in which the rate first rises linearly to where the schedule begins; 0: no warmup."""

    def factor(self, update: int, n_updates: int, updates_per_step: int = 1) -> float:
        """Return the share of `learning_rate` to use, in [0, 1].

        Args:
            update: from 0; at `n_updates` and beyond, the value the schedule ends with.
            n_updates: updates of the whole training, at least 1.
            updates_per_step: updates in one of the trainer's steps.
        """
        n_warmup = min(round(self.warmup_frac * n_updates), n_updates - 1)
        n_left = n_updates - n_warmup
        if update < n_warmup:  # rises from 1/(n + 1), not from 0: a first update with rate 0 would be lost
            return (update + 1) / (n_warmup + 1) * self._factor(0, n_left, updates_per_step)
        return self._factor(min(update - n_warmup, n_left), n_left, updates_per_step)

    @abstractmethod
    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        """Return the factor at an update in [0, n_updates], both counted after the warmup."""


class _FinalFactor(Spec):
    final_factor: float = Field(default=0.0, ge=0, le=1)
    """Share of learning_rate that the decay ends at, or never falls below."""


class _InitialFactor(Spec):
    initial_factor: float = Field(default=0.04, ge=0, le=1)
    """Share of learning_rate from which a cycle rises."""


class _Gamma(Spec):
    gamma: float = Field(default=0.8, gt=0, le=1)
    """What the rate is multiplied with at every decay: a step, `step_size` steps or a milestone."""


class _CycleLength(Spec):
    cycle_length: int = Field(default=5, ge=1, le=1_000_000)
    """Steps of a cycle, for cosine_restarts of the first one."""


class ConstantSchedule(ScheduleBase):
    """The same rate throughout: the baseline, and right for short trainings."""

    name: Literal["constant"] = "constant"

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return 1.0


class StepSchedule(_FinalFactor, _Gamma, ScheduleBase):
    """Multiply by gamma every step_size steps: the classic staircase when you know how long a plateau takes."""

    name: Literal["step"] = "step"
    step_size: int = Field(default=2, ge=1, le=1_000_000)
    """Steps between two decays."""

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return max(self.final_factor, self.gamma ** (update // (self.step_size * updates_per_step)))


class MultiStepSchedule(_FinalFactor, _Gamma, ScheduleBase):
    """Multiply by gamma at chosen moments: for recipes such as "drop at one half and at three quarters"."""

    name: Literal["multi_step"] = "multi_step"
    milestones: str = Field(default="0.5,0.75", max_length=200, pattern=r"^0?\.\d+(,0?\.\d+)*$")
    """When to decay: comma-separated fractions of the training, in any order."""

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        n_passed = sum(update >= round(fraction * n_updates) for fraction in _fractions(self.milestones))
        return max(self.final_factor, self.gamma**n_passed)


class ExponentialSchedule(_FinalFactor, _Gamma, ScheduleBase):
    """Multiply by gamma over every step, smoothly: a simple decay that needs no end in sight."""

    name: Literal["exponential"] = "exponential"

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return max(self.final_factor, math.pow(self.gamma, update / updates_per_step))


class PolynomialSchedule(_FinalFactor, ScheduleBase):
    """Fall as a power of what is left of the training: segmentation recipes; power 1 is linear."""

    name: Literal["polynomial"] = "polynomial"
    power: float = Field(default=2.0, gt=0, le=10)
    """Exponent of the fall: above 1 it is fast first, below 1 fast last."""

    @property
    def ends_at_final_factor(self) -> bool:
        return True

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return _between(self.final_factor, 1.0, math.pow(1 - update / n_updates, self.power))


class TimeBasedSchedule(_FinalFactor, ScheduleBase):
    """Divide by 1 + decay_rate × step (inverse time): the decay of stochastic approximation theory."""

    name: Literal["time_based"] = "time_based"
    decay_rate: float = Field(default=0.5, ge=0, le=1000)
    """How much the divisor grows in a step; 1 halves the rate after the first."""

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return max(self.final_factor, 1 / (1 + self.decay_rate * update / updates_per_step))


class InverseSqrtSchedule(_FinalFactor, ScheduleBase):
    """Divide by the square root of 1 + step / timescale: Transformers, and trainings of unknown length."""

    name: Literal["inverse_sqrt"] = "inverse_sqrt"
    timescale: float = Field(default=1.0, gt=0, le=1_000_000)
    """Steps until the rate has fallen to 1/√2; the warmup's own length gives the original Transformer's schedule."""

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return max(self.final_factor, 1 / math.sqrt(1 + update / (updates_per_step * self.timescale)))


class LinearSchedule(_FinalFactor, ScheduleBase):
    """Fall in a straight line to the end: hard to beat when the length of the training is fixed."""

    name: Literal["linear"] = "linear"

    @property
    def ends_at_final_factor(self) -> bool:
        return True

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return _between(self.final_factor, 1.0, 1 - update / n_updates)


class CosineSchedule(_FinalFactor, ScheduleBase):
    """Fall along half a cosine: the usual choice in vision, gentle at both ends."""

    name: Literal["cosine"] = "cosine"

    @property
    def ends_at_final_factor(self) -> bool:
        return True

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        return _between(self.final_factor, 1.0, _half_cosine(update / n_updates))


class CosineRestartsSchedule(_FinalFactor, _CycleLength, ScheduleBase):
    """Cosine falls that jump back to the top: for snapshot ensembles, or to leave a poor valley."""

    rises = True
    name: Literal["cosine_restarts"] = "cosine_restarts"
    cycle_growth: int = Field(default=1, ge=1, le=10)
    """Each cycle is this many times as long as the one before."""

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        length = self.cycle_length * updates_per_step
        if self.cycle_growth == 1:
            update %= length
        while update >= length:
            update -= length
            length *= self.cycle_growth
        return _between(self.final_factor, 1.0, _half_cosine(update / length))


class CyclicalSchedule(_InitialFactor, _Gamma, _CycleLength, ScheduleBase):
    """Triangles between a low and the highest rate: robust to a rate that is somewhat wrong (Smith 2017)."""

    rises = True
    peaks_at_updates = True
    name: Literal["cyclical"] = "cyclical"
    cycle_mode: Literal["triangular", "triangular2", "exp_range"] = "triangular2"
    """How peaks shrink: not at all, by half each cycle, or by gamma each step."""

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        # No longer than the training, and of whole updates: the peak, `learning_rate`, must be reached.
        length = max(2, min(self.cycle_length * updates_per_step, n_updates))
        n_rising = length // 2
        cycle, position = divmod(update, length)
        height = position / n_rising if position <= n_rising else (length - position) / (length - n_rising)
        return _between(self.initial_factor, 1.0, height * self._shrink(cycle, update, n_rising, updates_per_step))

    def _shrink(self, cycle: int, update: int, n_rising: int, updates_per_step: int) -> float:
        match self.cycle_mode:
            case "triangular":
                return 1.0
            case "triangular2":
                return math.pow(0.5, cycle)
            case "exp_range":
                per_update = math.pow(self.gamma, 1 / updates_per_step)
                return math.pow(per_update, update) / _highest_peak(per_update, n_rising)


class OneCycleSchedule(_FinalFactor, _InitialFactor, ScheduleBase):
    """One rise and one long cosine fall, done by the last update: fast training at high rates (Smith, Topin 2018)."""

    rises = True
    peaks_at_updates = True
    name: Literal["one_cycle"] = "one_cycle"
    rise_frac: float = Field(default=0.3, ge=0, le=1)
    """Share of the updates in which the rate rises; rounded to whole updates so that the peak is reached."""

    @property
    def ends_at_final_factor(self) -> bool:
        return self.rise_frac < 1

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        last = n_updates - 1
        peak = min(max(round(self.rise_frac * n_updates) - 1, 0), last)
        if update < peak:
            return _between(self.initial_factor, 1.0, 1 - _half_cosine(update / peak))
        if last == peak:
            return 1.0
        return _between(self.final_factor, 1.0, _half_cosine(min(1.0, (update - peak) / (last - peak))))


class WarmupStableDecaySchedule(_FinalFactor, ScheduleBase):
    """Hold the rate, then fall linearly at the end; set warmup_frac as well: for long runs that may be extended."""

    name: Literal["warmup_stable_decay"] = "warmup_stable_decay"
    decay_frac: float = Field(default=0.2, ge=0, le=1)
    """Share of the updates after the warmup in which the rate falls."""

    @property
    def ends_at_final_factor(self) -> bool:
        return self.decay_frac > 0

    def _factor(self, update: int, n_updates: int, updates_per_step: int) -> float:
        n_decay = round(self.decay_frac * n_updates)
        left = n_updates - update
        return 1.0 if left >= n_decay else _between(self.final_factor, 1.0, left / n_decay)


class PreviewPoint(Spec):
    """The learning rate at one step."""

    step: int
    learning_rate: float


def preview(schedule: ScheduleBase, *, learning_rate: float, steps: int) -> list[PreviewPoint]:
    """Return the rate at each of `steps` steps from 0, of a training that is that long.

    Rates are rounded to 12 significant digits, so that 0.01 decayed twice by 0.8 reads 0.0064.
    """
    factors = [schedule.factor(step, steps) for step in range(steps)]
    return [
        PreviewPoint(step=step, learning_rate=float(f"{learning_rate * factor:.{_PREVIEW_DIGITS}g}"))
        for step, factor in enumerate(factors)
    ]


@cache
def _schedule_types() -> dict[str, type[ScheduleBase]]:
    union, _ = get_args(Schedule)
    return {schedule.model_fields["name"].default: schedule for schedule in get_args(union)}


def schedule_types() -> dict[str, type[ScheduleBase]]:
    """Return every schedule's class by name, in the union's order."""
    return dict(_schedule_types())


def _between(low: float, high: float, fraction: float) -> float:
    # Clamped: 0.7 + (1 - 0.7) * 1.0 is above 1 in floating point for some values, and the range is a promise.
    return min(high, low + (high - low) * fraction)


def _half_cosine(progress: float) -> float:
    """Return the fall from 1 to 0 along half a cosine, for progress from 0 to 1."""
    return (1 + math.cos(math.pi * progress)) / 2


@cache
def _fractions(milestones: str) -> tuple[float, ...]:
    return tuple(float(fraction) for fraction in milestones.split(","))


def _highest_peak(per_update: float, n_rising: int) -> float:
    """Return the highest value of (u / n_rising) · per_update^u: what exp_range would reach if it weren't scaled to 1.

    It lies at the end of the first rise, or before it where the decay is faster than the rise.
    """
    turning = n_rising if per_update == 1.0 else min(n_rising, -1 / math.log(per_update))
    candidates = {max(1, math.floor(turning)), min(n_rising, math.ceil(turning))}
    return max(update / n_rising * math.pow(per_update, update) for update in candidates)


Schedule = Annotated[
    ConstantSchedule
    | StepSchedule
    | MultiStepSchedule
    | ExponentialSchedule
    | PolynomialSchedule
    | TimeBasedSchedule
    | InverseSqrtSchedule
    | LinearSchedule
    | CosineSchedule
    | CosineRestartsSchedule
    | CyclicalSchedule
    | OneCycleSchedule
    | WarmupStableDecaySchedule,
    Field(discriminator="name"),
]
