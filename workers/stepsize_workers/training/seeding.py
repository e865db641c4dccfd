"""Random numbers of a training: all of them follow from the trial's seed.

The global generators are seeded anew for every epoch, from (seed, epoch). So dropout in epoch 7 is the same whether the
process trained epochs 1 to 6 or read them from a checkpoint, and no generator's state needs to be saved.
"""

import random

import numpy as np
import torch

from stepsize.domain.seeds import derive_seed


def generator(seed: int, *labels: str | int) -> torch.Generator:
    """Return a CPU generator that is fixed by the seed and the labels, e.g. `generator(seed, "order", epoch)`."""
    return torch.Generator().manual_seed(derive_seed(seed, *labels))


def seed_global_generators(seed: int, *labels: str | int) -> None:
    """Seed what code draws from when it is not given a generator: torch (every device), numpy and random."""
    derived = derive_seed(seed, *labels)
    torch.manual_seed(derived)
    np.random.seed(derived)
    random.seed(derived)
