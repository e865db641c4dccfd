"""What a tuning job keeps beside its spec: settled at submission (details), or at its first claim (findings)."""

from pydantic import BaseModel, ConfigDict, Field

from stepsize.domain.soft_bounds import Edge
from stepsize.spec.space import Parameter, Scalar, SearchSpace


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class WarmStartSource(_Document):
    """An earlier job, as warm start found it."""

    job_id: str
    defaults: dict[str, Scalar] = Field(default_factory=dict)
    """What its trainer gave to parameters that are searched now, unless it searched or fixed them itself."""


class TuningDetails(_Document):
    """What only the service knew when the job was submitted."""

    warm_start: list[WarmStartSource] = Field(default_factory=list)
    """Jobs whose trials enter the search as history. Labels may match other jobs later; these are the ones."""
    default_learning_rate: Parameter | None = None
    """Where the trainer searches its learning rate by default: what an inconclusive range test falls back to."""


class TuningFindings(_Document):
    """What the worker that first took the job found out before it searched."""

    search_space: SearchSpace | None = None
    """The search space in use, where a range test had to find bounds; null: the spec's own."""
    soft: list[Edge] = Field(default_factory=list)
    """Ends of the learning rate's range that a range test found, and nobody asked for: they may be moved."""
    widened: list[Edge] = Field(default_factory=list)
    """Which of them were moved, in this order."""
    considered_at: int = 0
    """At how many ended trials it was last considered whether to move one."""
    given_back: int | None = None
    """The `max_trials` under which the trials kept to check the answer went back to the search, for there was none."""
