"""Seeds: everything random in a job follows from the job's one seed."""

import hashlib
from typing import assert_never

from stepsize.spec.seeds import SeedBlocks, SeedRule, Seeds


def derive_seed(seed: int, *labels: str | int) -> int:
    """Return a seed in [0, 2**31) that is fixed by `seed` and the labels and unrelated to its neighbours'."""
    digest = hashlib.sha256(":".join(map(str, (seed, *labels))).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def training_seed(job_seed: int, seeds: Seeds, number: int) -> int:
    """Return the seed of one trial's training, which fixes its initialisation and the order of its data.

    Args:
        seeds: the job's rule.
        number: the trial's.
    """
    match seeds:
        case SeedRule.FRESH | SeedRule.UNKNOWN:
            return derive_seed(job_seed, "training", number)
        case SeedRule.SHARED:
            return derive_seed(job_seed, "training")
        case SeedBlocks(blocks=n):
            return derive_seed(job_seed, "training of block", number % n)
        case _:
            assert_never(seeds)
