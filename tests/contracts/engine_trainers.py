"""Trainers that misbehave, for the engines' contract. Loaded by slots as an extra module."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from stepsize.domain.trainer import Capabilities, Fusing, Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import SearchSpace
from stepsize_workers.trainers.base import (
    Checkpoint,
    Diverged,
    GroupContext,
    NotFusedError,
    Params,
    Trainer,
    TrialContext,
)


class NoParams(Params):
    """Nothing to choose."""


class _Rogue(Trainer[NoParams]):
    version = "1"
    help = "Misbehaves."
    Params = NoParams
    metrics = (Metric(name="loss", direction=Direction.MINIMIZE),)
    step_unit = "step"
    default_search_space: ClassVar[SearchSpace] = {}
    default_objectives = (Objective(metric="loss", direction=Direction.MINIMIZE),)


class Deaf(_Rogue):
    """Reports once and never listens again."""

    name = "deaf"

    def train(self, context: TrialContext[NoParams]) -> None:
        context.report(1, {"loss": 1.0})
        time.sleep(600)


class Crashing(_Rogue):
    """Its process dies by signal."""

    name = "crashing"

    def train(self, context: TrialContext[NoParams]) -> None:
        context.report(1, {"loss": 1.0})
        os.kill(os.getpid(), signal.SIGKILL)


class Spawning(_Rogue):
    """Starts a process of its own, reports its id and never ends."""

    name = "spawning"

    def train(self, context: TrialContext[NoParams]) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        context.report(1, {"loss": float(child.pid)})
        time.sleep(600)


class ChoirParams(Params):
    """What a member of a choir sings, and what it is there to do."""

    learning_rate: float = 0.1
    """Its loss at step k is this over k."""
    n_reports: int = 10
    step_s: float = 0.0
    diverges_at: int = 0
    """The step at which it explodes; 0: it does not."""
    deed: str = ""
    """What it does at its second step: to itself, or to all."""
    most: int = 1000
    """How many fit into memory at once."""
    hall: str = "large"
    """Groups share it."""


class Choir(Trainer[ChoirParams]):
    """Trains groups as one, in plain Python: each member a step a round."""

    name = "choir"
    version = "1"
    help = "Trains together."
    Params = ChoirParams
    metrics = (Metric(name="loss", direction=Direction.MINIMIZE),)
    step_unit = "step"
    max_step_param = "n_reports"
    default_search_space: ClassVar[SearchSpace] = {}
    default_objectives = (Objective(metric="loss", direction=Direction.MINIMIZE),)
    capabilities = Capabilities(resume=True, fuse=Fusing(free=["learning_rate", "n_reports", "diverges_at", "deed"]))

    @classmethod
    def why_not_fused(cls, params: ChoirParams) -> str | None:
        return "the hall is too small" if params.hall == "small" else None

    def measure_together(self, context: TrialContext[ChoirParams], *, most: int) -> Sequence[float]:
        if context.params.deed == "can't be measured":
            raise NotFusedError("nobody keeps time")
        if context.params.deed == "brings the house down":
            _do(context.params.deed)
        return [rate for n, rate in ((1, 100.0), (2, 150.0), (4, 240.0), (8, 400.0)) if n <= most]

    def train(self, context: TrialContext[ChoirParams]) -> None:
        params = context.params
        for step in range(_first_step(context), params.n_reports + 1):
            loss = _sing(context, step)
            is_over = context.report(step, {"loss": loss})
            context.save_checkpoint(step, partial(_note, step))
            if is_over:
                return
            time.sleep(params.step_s)

    def train_group(self, group: GroupContext[ChoirParams]) -> None:
        steps = {member: _first_step(member) for member in group.members}
        while steps:
            _check_room(steps)
            for member, step in list(steps.items()):
                try:
                    _sing(member, step)
                except (Diverged, ValueError) as error:
                    group.ended(member, error)
                    del steps[member]
                else:
                    member.save_checkpoint(step, partial(_note, step))
            sys.stdout.write(f"{len(steps)} voices\n")
            values = {member: (step, {"loss": _sing(member, step)}) for member, step in steps.items()}
            stopped = group.report(values) | {member for member in steps if member.should_stop()}
            for member, step in list(steps.items()):
                if member in stopped or step == member.params.n_reports:
                    group.ended(member)
                    del steps[member]
                else:
                    steps[member] = step + 1
            time.sleep(max((member.params.step_s for member in steps), default=0.0))
            for member in group.joined():
                steps[member] = _first_step(member)


def _first_step(context: TrialContext[ChoirParams]) -> int:
    checkpoint: Checkpoint | None = context.checkpoint
    return 1 if checkpoint is None else int(checkpoint.path.read_text()) + 1


def _note(step: int, path: Path) -> None:
    path.write_text(str(step))


def _sing(context: TrialContext[ChoirParams], step: int) -> float:
    params = context.params
    if step == params.diverges_at:
        raise Diverged("the loss exploded", step=step)
    if step == 2 and params.deed:
        _do(params.deed)
    return params.learning_rate / step


def _do(deed: str) -> None:
    match deed:
        case "off key":
            raise ValueError("off key")
        case "falls silent":
            time.sleep(600)
        case "brings the house down":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stops the show":
            raise RuntimeError("stops the show")


def _check_room(steps: dict[TrialContext[ChoirParams], int]) -> None:
    most = min(member.params.most for member in steps)
    if len(steps) > most:
        raise MemoryError(f"{len(steps)} members do not fit; the most is {most}")
