"""Budgets: when a job has done enough, and when a trial has taken too long."""

from typing import Annotated

from pydantic import Field

from stepsize.spec.base import Spec

SHORTEST_S = 0.01
"""Nothing starts in less: a shorter limit is a slip, and every trial would run into it."""
LONGEST_S = 1e9
"""Thirty years: a longer limit is none, and clocks and timers can't count to it."""
Seconds = Annotated[float, Field(ge=SHORTEST_S, le=LONGEST_S)]
"""How long something may take."""


class Budget(Spec):
    """Limits of a job. `null` means no limit, or what the job's other fields imply."""

    max_trials: int | None = Field(default=None, ge=1, le=1_000_000)
    """Trials of any outcome but cancelled; null: 40, or every cell of a grid."""
    max_parallel_trials: int | None = Field(default=None, ge=1, le=1024)
    """Trials that run at once; null: as many as the worker has slots."""
    timeout_s: Seconds | None = None
    """Seconds of work after which no trial is started; neither waiting nor pauses count."""
    trial_timeout_s: Seconds | None = None
    """Longest wall time of one attempt of a trial, in seconds."""
    stall_timeout_s: Seconds | None = None
    """Longest silence between two reports of a trial, in seconds."""
    max_failed_trials: int | None = Field(default=10, ge=1)
    """The job fails when this many trials have failed; infeasible trials do not count."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """Starts of one trial whose process dies before it is failed as lost."""
    max_gpu_seconds: Seconds | None = None
    """GPU seconds of all trials after which no trial is started."""
