"""What clients send beside a job's spec."""

from typing import Annotated

from pydantic import Field

from stepsize.application.jobs import JobChanges
from stepsize.spec.base import Spec
from stepsize.spec.budget import Seconds
from stepsize.spec.job import Label
from stepsize.spec.space import Scalar


class BudgetPatch(Spec):
    """Limits to raise; null: no limit. What is left out stays."""

    max_trials: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_parallel_trials: Annotated[int, Field(ge=1, le=1024)] | None = None
    timeout_s: Seconds | None = None
    trial_timeout_s: Seconds | None = None
    stall_timeout_s: Seconds | None = None
    max_failed_trials: Annotated[int, Field(ge=1)] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = None
    max_gpu_seconds: Seconds | None = None


class JobPatch(Spec):
    """What to change of a job. What is left out stays."""

    labels: dict[Label, Label] | None = Field(default=None, max_length=50)
    """Replace all labels."""
    priority: int | None = Field(default=None, ge=-1000, le=1000)
    """Larger goes first."""
    budget: BudgetPatch | None = None

    def changes(self) -> JobChanges:
        """Return the change asked for."""
        budget = None if self.budget is None else self.budget.model_dump(exclude_unset=True)
        return JobChanges(labels=self.labels, priority=self.priority, budget=budget)


class TrialRequest(Spec):
    """A configuration of your own."""

    params: dict[str, Scalar] = Field(max_length=1000, examples=[{"learning_rate": 0.1, "batch_size": 64}])
    """Searched parameters; those left out are sampled."""
