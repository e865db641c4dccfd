"""What the trials of this process run with, collected once for each trainer."""

from functools import lru_cache

from stepsize.provenance import collect
from stepsize.spec.provenance import Provenance
from stepsize_workers.trainers.base import Params, Trainer


@lru_cache(maxsize=64)
def provenance_of(trainer: type[Trainer[Params]], device: str) -> Provenance:
    """Return the provenance of what a trainer trains on this process's device."""
    return collect(trainer, trainer=trainer.name, trainer_version=trainer.version, device=device)
