"""Whether the product would have ended a training, from its losses."""

import math
from collections.abc import Sequence

_EXPLOSION_RATIO = 10.0


def diverged_in(losses: Sequence[float], updates_per_epoch: int) -> int:
    """Return the epoch, from 1, in which the product's watch would have ended a training; 0: it would not."""
    initial = losses[0]
    for index, loss in enumerate(losses):
        if not math.isfinite(loss) or loss - initial > (_EXPLOSION_RATIO - 1) * (abs(initial) or 1.0):
            return 1 + index // updates_per_epoch
    return 0
