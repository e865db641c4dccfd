"""Whether the product would have ended a training, from its losses."""

from collections.abc import Sequence

from stepsize_workers.trainers.divergence import ExplosionWatch


def diverged_in(losses: Sequence[float], updates_per_epoch: int, *, batch_size: int = 64) -> int:
    """Return the epoch, from 1, in which the product's watch would have ended a training; 0: it would not.

    The loss of the first batch stands for that of the untrained model, which is not kept.
    """
    watch = ExplosionWatch(losses[0], batch_size=batch_size, most_updates=updates_per_epoch)
    for index, loss in enumerate(losses):
        if watch.has_exploded(loss):
            return 1 + index // updates_per_epoch
    return 0
