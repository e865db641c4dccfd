"""Trainers that misbehave, for the engines' contract. Loaded by slots as an extra module."""

import os
import signal
import subprocess
import sys
import time
from typing import ClassVar

from stepsize.domain.trainer import Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import SearchSpace
from stepsize_workers.trainers.base import Params, Trainer, TrialContext


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
