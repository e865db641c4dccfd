"""The whole of what a client may ask: a tuning job."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from service.spec.base import Spec
from service.spec.budget import Budget
from service.spec.objective import Objective
from service.spec.pruners import NoPruner, Pruner
from service.spec.samplers import Sampler, TpeSampler
from service.spec.space import Scalar, SearchSpace

Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
KeepArtifacts = Literal["best", "all", "none"]


class TrainerChoice(Spec):
    """Which trainer runs the trials, and its parameters that are not searched."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    version: str | None = None
    """The version the job was checked against; written back, and waited for if no worker offers it."""
    params: dict[str, Scalar] = Field(default_factory=dict)
    """Fixed parameters; the others are searched or keep the trainer's defaults."""


class Resources(Spec):
    """What one trial needs; a filter on slots."""

    gpus: float = Field(default=0, ge=0)
    """GPUs per trial: 0, or up to 1 (a fraction shares a device). A trial over several GPUs is not offered."""
    cpus: int = Field(default=1, ge=1, le=1024)
    """CPU threads per trial."""


class JobSpec(Spec):
    """A tuning job. Only `trainer` is required; every default is written back into the job's `spec`."""

    name: Annotated[str, StringConstraints(max_length=200)] = ""
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=50)
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Larger goes first."""
    trainer: TrainerChoice
    search_space: SearchSpace | None = None
    """Parameter name → range; null: the trainer's own default."""
    objectives: list[Objective] | None = Field(default=None, min_length=1, max_length=5)
    """null: the trainer's own."""
    sampler: Sampler = Field(default_factory=TpeSampler)
    pruner: Pruner = Field(default_factory=NoPruner)
    budget: Budget = Field(default_factory=Budget)
    resources: Resources = Field(default_factory=Resources)
    keep_artifacts: KeepArtifacts = "best"
    """Whose models are kept: the best three trials', all, or none."""
    enqueue: list[dict[str, Scalar]] = Field(default_factory=list, max_length=10_000)
    """Configurations tried first, in this order; parameters left out are sampled."""
