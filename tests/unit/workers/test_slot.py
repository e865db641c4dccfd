"""How a slot reads the end of an attempt."""

import pytest
import torch

from workers.engines.base import Outcome
from workers.engines.slot import _outcome_of
from workers.trainers.base import Diverged


def allocate_too_much() -> Exception:
    """Return what torch raises when a CPU tensor does not fit."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize(
    ("exception", "outcome"),
    [
        (MemoryError(), Outcome.OOM),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), Outcome.OOM),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), Outcome.OOM),
        (allocate_too_much(), Outcome.OOM),
        (Diverged("exploded", step=1), Outcome.DIVERGED),
        (RuntimeError("shapes differ"), Outcome.ERROR),
        (ValueError("can't allocate memory"), Outcome.ERROR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_running_out_of_memory_is_told_from_failing(exception: Exception, outcome: Outcome) -> None:
    assert _outcome_of(exception) is outcome
