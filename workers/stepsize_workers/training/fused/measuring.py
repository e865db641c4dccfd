"""How many trainings of a shape are fastest together: a few updates of 1, 2, 4, … of them, before any of them begins.

What it may cost is bounded by a share of one training; a size is tried only if it can be afforded, and if it fits.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any, TypeVar

import torch

from stepsize.infeasibility import is_out_of_memory
from stepsize_workers.trainers.base import TrialContext
from stepsize_workers.training.fused.joint_run import JointRun
from stepsize_workers.training.loop import Loop
from stepsize_workers.training.memory import OutOfMemoryForeseenError, available_bytes, forget_peak, peak_bytes
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.run import Run
from stepsize_workers.training.task import Task

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")

MOST_OF_A_TRIAL = 0.1
"""All sizes together may take this share of what one trial's updates take alone …"""
LEAST_S = 0.5
"""… or as long as this, if that is more, but no longer than …"""
MOST_S = 10.0
_N_WARM = 2
"""Updates of each size that are not counted: the first ones load kernels and ask for memory."""
_FEWEST = 3
_MOST = 20
"""Updates of each size that are counted, if they can be afforded."""
_STILL_GAINS = 1.05
"""Sizes are doubled as long as that makes all together faster by this factor; the first time in any case."""
_ROOM = 0.8
"""A size is tried if it is foreseen to take this share of the memory there is."""
_HARDLY = 1e-3
"""Times its rate a training is updated with: what is measured must not explode."""


def measure_together(task: Task[P, B], context: TrialContext[P], *, most: int) -> list[float]:
    """Return updates a second of 1, 2, 4, … trainings, of all together, as far as it was worth trying.

    Raises:
        NotFusedError: they can't be trained as one.
    """
    loop = Loop(task, context)
    loop.prepare()
    device = torch.device(context.device)
    clock = _clock(device)
    base = _peak_from_now(device)
    run = Run.begin(task, context.params, seed=context.seed, device=device)
    taken = _seconds_of(_alone(run), clock, at_most_s=LEAST_S)
    n_updates = context.params.epochs * len(run.groups(1))
    left_s = min(max(MOST_OF_A_TRIAL * n_updates * taken, LEAST_S), MOST_S)
    runs, rates = [run], [1 / taken]
    while (size := 2 * len(runs)) <= most and (size == 2 or _gains(rates)):
        # Twice as many take twice as long at most.
        if 2 * taken * (_N_WARM + _FEWEST) > left_s or not _fits(device, base, loop, size):
            break
        began = clock()
        try:
            seeds = range(context.seed + len(runs), context.seed + size)
            runs += [Run.begin(task, context.params, seed=seed, device=device) for seed in seeds]
            update = _together(runs)
            update()
            if size == 2:  # what the first of all has loaded, training together would have to load as well
                began = clock()
            taken = _seconds_of(update, clock, at_most_s=left_s / 4)
        except Exception as error:
            if is_out_of_memory(error):
                break
            raise
        left_s -= clock() - began
        rates.append(size / taken)
    return rates


def _seconds_of(update: Callable[[], None], clock: Callable[[], float], *, at_most_s: float) -> float:
    """Return how long an update takes: the median, which no other process on the machine moves much."""
    for _ in range(_N_WARM):
        update()
    times: list[float] = []
    while len(times) < _FEWEST or (len(times) < _MOST and sum(times) < at_most_s):
        before = clock()
        update()
        times.append(clock() - before)
    return max(statistics.median(times), 1e-9)


def _gains(rates: Sequence[float]) -> bool:
    """Tell whether doubling the members has made all of them together faster; two may be slower where four are not."""
    return len(rates) == 2 or rates[-1] > _STILL_GAINS * rates[-2]


def _alone(run: Run[Any, Any]) -> Callable[[], None]:
    run.model.train()
    groups = cycle(_even(run))

    def update() -> None:
        run.rates.set(_HARDLY * run.params.learning_rate)
        run.backward(next(groups))
        run.step()

    return update


def _together(runs: Sequence[Run[Any, Any]]) -> Callable[[], None]:
    for run in runs:
        run.model.train()
    joint = JointRun(runs)
    rounds = list(zip(*(_even(run) for run in runs), strict=True))
    joint.begin_epoch([[_HARDLY * run.params.learning_rate for run in runs]] * len(rounds))
    updates = cycle(enumerate(rounds))

    def update() -> None:
        number, groups = next(updates)
        joint.make_update(number, groups)

    return update


def _even(run: Run[Any, Any]) -> list[Sequence[Any]]:
    """Return the groups of an epoch's batches, those of them that are as large as the first."""
    groups = run.groups(1)
    size = run.samples_of(groups[0])
    return [group for group in groups if run.samples_of(group) == size]


def _clock(device: torch.device) -> Callable[[], float]:
    """Return what times updates: on one thread of a CPU the time this process had of it, which others don't blur."""
    if device.type == "cpu":
        return time.process_time if torch.get_num_threads() == 1 else time.perf_counter

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


def _peak_from_now(device: torch.device) -> int:
    """Let peaks count from now on, and return what is in use."""
    with suppress(OSError):  # some containers don't let a process forget; then less is foreseen than will be
        forget_peak(device)
    return peak_bytes(device)


def _fits(device: torch.device, base: int, loop: Loop[Any, Any], size: int) -> bool:
    """Tell whether twice as many trainings as there were fit into memory, as the peak so far foretells."""
    try:
        loop.check_memory(n_members=size)
    except OutOfMemoryForeseenError:
        return False
    return base + 2 * (peak_bytes(device) - base) < _ROOM * available_bytes(device)
