"""When has a training learned nothing, and what does its loss tell about why? Knows no torch.

A rate far too high often doesn't end in an explosion: the loss leaps, falls, and stalls where it would be for a model
that gives the same answer to every input. Such a training has completed, and its number alone looks like a result. The
yardstick is exact and needs no constant: no answer that ignores the input can beat the best constant one, which is what
a task's `constant_answer` measures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction

_LEAP = 2.0
"""How many times the untrained model's loss an average of losses must have been, to be called a leap."""
_CERTAIN = 3.0
"""Standard errors by which the loss must have fallen within the end of the last epoch, to be still falling; standard
deviations of a batch's loss by which it must have ended above where it began, to have risen."""


@dataclass(frozen=True)
class LossCourse:
    """How a training's loss went."""

    untrained: float
    highest: float
    """Of its averages over some dozens of samples."""
    last: Sequence[float]
    """Of the last epoch's updates."""

    @property
    def has_leapt(self) -> bool:
        """Whether it once stood far above where it began."""
        return self.highest - self.untrained > (_LEAP - 1) * (abs(self.untrained) or 1.0)

    @property
    def has_risen(self) -> bool:
        """Whether it ended above where it began, beyond doubt."""
        end = self._quarter(-1)
        return len(end) > 1 and fmean(end) - self.untrained > _CERTAIN * stdev(end)

    @property
    def is_falling(self) -> bool:
        """Whether it still fell at the end, beyond doubt, and not from heights that it had risen to itself."""
        before, after = self._quarter(-2), self._quarter(-1)
        if len(after) < 2 or fmean(after) > self.untrained:
            return False
        error = math.sqrt((variance(before) + variance(after)) / len(after))
        return fmean(before) - fmean(after) > _CERTAIN * error

    def _quarter(self, at: int) -> Sequence[float]:
        """Return the losses of the last quarter of the last epoch (-1), or of the one before (-2)."""
        length = len(self.last) // 4
        stop = len(self.last) + (at + 1) * length
        return self.last[stop - length : stop]


def remark_on(
    values: Mapping[str, float],
    constant: Mapping[str, float],
    metrics: Sequence[Metric],
    course: LossCourse,
    *,
    called: str,
) -> str | None:
    """Return what is to be said of a training that has learned nothing; None: it has learned something.

    Args:
        values: its last measurements.
        constant: at best, of an answer that ignores the input; without any, nothing can be said.
        metrics: which way each gets better.
        called: what such an answer is, in the task's words.
    """
    directions = {metric.name: metric.direction for metric in metrics}
    if not constant or any(_is_better(directions[name], values[name], bound) for name, bound in constant.items()):
        return None
    ended = ", ".join(f"{name} {values[name]:.3g}" for name in constant)
    at_best = ", ".join(f"{bound:.3g}" for bound in constant.values())
    return f"No better than {called}: {ended}; that has {at_best} at best. {_why(course)}"


def _is_better(direction: Direction | None, value: float, bound: float) -> bool:
    assert direction is not None, "a task says which way its metrics get better"
    return direction.is_better(value, bound)


def _why(course: LossCourse) -> str:
    ends = f"{course.untrained:.3g} before training, {fmean(course.last):.3g} in the last epoch"
    if course.has_leapt:
        return f"Its training loss leapt to {course.highest:.3g} ({ends}): the learning rate is likely too high."
    if course.has_risen:
        return f"Its training loss rose above where it began ({ends}): the learning rate is likely too high."
    if course.is_falling:
        return f"Its training loss was still falling ({ends}): the rate may be too low, or the training too short."
    return (
        f"Its training loss neither leapt nor was it clearly falling at the end ({ends}): whether the learning rate is "
        "too high or too low can't be told from it."
    )
