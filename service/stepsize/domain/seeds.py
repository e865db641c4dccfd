"""Seeds: everything random in a job follows from the job's one seed."""

import hashlib


def derive_seed(seed: int, *labels: str | int) -> int:
    """Return a seed in [0, 2**31) that is fixed by `seed` and the labels and unrelated to its neighbours'."""
    digest = hashlib.sha256(":".join(map(str, (seed, *labels))).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def training_seed(job_seed: int) -> int:
    """Return the seed all trials of a job train with: rates are compared on the same initialisation and data order."""
    return derive_seed(job_seed, "training")
