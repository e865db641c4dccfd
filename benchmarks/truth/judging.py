"""Whether the product would have ended a training, from its losses."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stepsize_workers.trainers.divergence import ROBUST_START, ExplosionWatch


def diverged_in(losses: Sequence[float], updates_per_epoch: int, *, batch_size: int, untrained: float) -> int:
    """Return the epoch, from 1, in which the product's watch would have ended a training; 0: it would not."""
    recent: Sequence[float] = ()
    for epoch, first in enumerate(range(0, len(losses), updates_per_epoch), start=1):
        watch = ExplosionWatch(untrained, batch_size=batch_size, most_updates=updates_per_epoch, recent=recent)
        if any(watch.has_exploded(loss) for loss in losses[first : first + updates_per_epoch]):
            return epoch
        recent = watch.recent
    return 0


def untrained_losses(traces: Mapping[tuple[int, int], NDArray[np.float32]], batch_size: int) -> dict[int, float]:
    """Return each seed's mean loss before training, from its first losses at the lowest rate it was trained with.

    The product measures it on the same batches with the model untouched; these rates hardly change it by then.
    """
    lowest: dict[int, int] = {}
    for row, seed in traces:
        lowest[seed] = min(row, lowest.get(seed, row))
    n_batches = math.ceil(ROBUST_START / batch_size)
    return {seed: float(np.mean(traces[row, seed][:n_batches])) for seed, row in lowest.items()}
