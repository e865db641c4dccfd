"""Random numbers of a training: all of them follow from the trial's seed.

The global generators are seeded anew for every epoch, from (seed, epoch). So dropout in epoch 7 is the same whether the
process trained epochs 1 to 6 or read them from a checkpoint, and no generator's state needs to be saved.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


@contextmanager
def preserved_generators(generators: Sequence[torch.Generator] = ()) -> Iterator[None]:
    """Put back the generators after the body: those given, torch's on every device, numpy's and `random`'s."""
    given = [generator.get_state() for generator in generators]
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    cuda_states = torch.cuda.get_rng_state_all() if _uses_cuda() else None
    try:
        yield
    finally:
        for generator, state in zip(generators, given, strict=True):
            generator.set_state(state)
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
