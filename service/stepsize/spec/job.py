"""The whole of what a client may ask: a tuning job."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from stepsize.spec.base import Spec
from stepsize.spec.budget import Budget
from stepsize.spec.confirm import Confirm
from stepsize.spec.expressions import Constraint
from stepsize.spec.fuse import Fuse
from stepsize.spec.objective import Objective
from stepsize.spec.pruners import NoPruner, Pruner
from stepsize.spec.samplers import Sampler, TpeSampler
from stepsize.spec.seeds import SeedRule, Seeds
from stepsize.spec.space import Scalar, SearchSpace

Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
KeepArtifacts = Literal["best", "all", "none"]
Engine = Literal["external"]

EXTERNAL: Engine = "external"
"""Clients train, wherever they like, and ask for suggestions: a worker runs the search alone."""
EXTERNAL_TRAINER = "external"
"""The name of a trainer nobody named: whoever asks for suggestions runs it."""


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
    fuse: Fuse = 1
    """How many trials may be trained as one in a slot, where their trainer can (`capabilities.fuse`); 1: each alone.

    `auto`: as many as train fastest, measured before the first trial of each shape; each alone where that is fastest.
    """


class StopWhen(Spec):
    """When to end before the budget does."""

    no_improvement_trials: int | None = Field(default=None, ge=1)
    """End after this many trials in a row that were no better than the best before them."""
    terminator: bool = False
    """End when what a further trial is expected to gain has fallen below the noise of the objective."""


class Replicates(Spec):
    """The best configurations trained again with fresh seeds, once the search is over; never told to the search."""

    top: int = Field(default=3, ge=1, le=50)
    """How many of the best configurations."""
    seeds: int = Field(default=5, ge=1, le=100)
    """Fresh seeds for each."""


class WarmStart(Spec):
    """Earlier jobs whose trials enter the search as history."""

    jobs: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] = Field(
        default_factory=list, max_length=100
    )
    """Ids of jobs."""
    labels: dict[Label, Label] | None = None
    """Every job that carries all of these labels."""


def _trainer_is_optional(schema: dict[str, Any]) -> None:
    # JSON Schema has no short way to say "required unless engine is external"; the 422 says it.
    schema["required"] = [name for name in schema.get("required", []) if name != "trainer"]


class JobSpec(Spec):
    """A tuning job. Only `trainer` is required (or `engine: external`); every default is written back into `spec`."""

    model_config = ConfigDict(json_schema_extra=_trainer_is_optional)

    name: Annotated[str, StringConstraints(max_length=200)] = ""
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=50)
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Larger goes first."""
    trainer: TrainerChoice
    search_space: SearchSpace | None = None
    """Parameter name → range; null: the trainer's own default."""
    parameter_constraints: list[Constraint] = Field(default_factory=list, max_length=50)
    """Comparisons over parameters that every proposal satisfies, such as `batch_size * grad_accumulation <= 512`."""
    objectives: list[Objective] | None = Field(default=None, min_length=1, max_length=5)
    """null: the trainer's own."""
    outcome_constraints: list[Constraint] = Field(default_factory=list, max_length=50)
    """Comparisons over reported metrics, such as `train_time_s <= 60`; a trial that breaks one is infeasible."""
    sampler: Sampler = Field(default_factory=TpeSampler)
    pruner: Pruner = Field(default_factory=NoPruner)
    budget: Budget = Field(default_factory=Budget)
    stop_when: StopWhen = Field(default_factory=StopWhen)
    seeds: Seeds = SeedRule.FRESH
    """Which seed a trial trains with: `fresh`: its own; `shared`: one for all; `{"blocks": n}`: a few in turn.
    `unknown`, where clients train: nobody knows, and the answer says so.

    A trial that starts again keeps its seed.
    """
    confirm: Confirm | None = None
    """Whether a part of `max_trials` is kept to check the answer with fresh seeds once the search is over.

    true, false, or `{"share": 0.15}`; null: true from 20 trials on, but not for a grid or several objectives.
    """
    replicates: Replicates | None = None
    """Train the best configurations again with fresh seeds at the end; null: don't."""
    warm_start: WarmStart | None = None
    """Learn from earlier jobs; null: start from nothing."""
    resources: Resources = Field(default_factory=Resources)
    engine: Engine | None = None
    """Where trials run; null: in the slots of the worker that takes the job; `external`: wherever clients ask for
    suggestions, and the trainer is free text."""
    keep_artifacts: KeepArtifacts = "best"
    """Whose models are kept: the best three trials' (or as many as are replicated, if more), all, or none."""
    enqueue: list[dict[str, Scalar]] = Field(default_factory=list, max_length=10_000)
    """Configurations tried first, in this order; parameters left out are sampled."""

    @property
    def trains_elsewhere(self) -> bool:
        """Whether clients train, and not this service's workers."""
        return self.engine == EXTERNAL

    @model_validator(mode="before")
    @classmethod
    def _name_external_trainer(cls, data: Any) -> Any:
        """Under the external engine the trainer may be left out, or be just its name."""
        if not isinstance(data, dict) or data.get("engine") != EXTERNAL:
            return data
        trainer = data.get("trainer")
        if trainer is None or isinstance(trainer, str):
            return {**data, "trainer": {"name": trainer or EXTERNAL_TRAINER}}
        return data
