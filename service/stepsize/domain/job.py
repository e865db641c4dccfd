"""What can happen to a job."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stepsize.domain.trial import TrialState
from stepsize.domain.tuning import TuningDetails, TuningFindings
from stepsize.spec.confirm import n_kept
from stepsize.spec.resolved import ResolvedJobSpec, recall
from stepsize.spec.space import SearchSpace


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in FINISHED_JOB_STATES


HELD_JOB_STATES = frozenset({JobState.RUNNING, JobState.STOPPING})
"""States in which a job is some worker's."""
FINISHED_JOB_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
UNFINISHED_JOB_STATES = frozenset(JobState) - FINISHED_JOB_STATES


class JobKind(StrEnum):
    """What a job is for. Only a tuning job searches; the trials of the others are all queued at submission."""

    TUNE = "tune"
    RANGE_TEST = "range_test"
    REFIT = "refit"


class JobReason(StrEnum):
    """Why a job is in its state."""

    MAX_TRIALS = "max_trials"
    TIMEOUT = "timeout"
    MAX_GPU_SECONDS = "max_gpu_seconds"
    MAX_FAILED_TRIALS = "max_failed_trials"
    TARGET = "target"
    NO_IMPROVEMENT = "no_improvement"
    TERMINATOR = "terminator"
    SPACE_EXHAUSTED = "space_exhausted"
    USER = "user"
    NO_WORKER = "no_worker"
    ERROR = "error"


class Desired(StrEnum):
    """What the client wants; the lease holder moves the state towards it."""

    RUN = "run"
    PAUSE = "pause"
    STOP = "stop"
    CANCEL = "cancel"


ALLOWED: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.COMPLETED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,
            JobState.PAUSED,
            JobState.STOPPING,
            JobState.COMPLETED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.COMPLETED, JobState.CANCELLED}),
    JobState.STOPPING: frozenset({JobState.COMPLETED, JobState.CANCELLED}),
    JobState.COMPLETED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}
"""Every transition there is; queued and paused jobs complete directly when stopped, having nothing to finish."""

ALLOWED_DESIRED: dict[Desired, frozenset[JobState]] = {
    Desired.RUN: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED}),
    Desired.PAUSE: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED}),
    Desired.STOP: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.STOPPING}),
    Desired.CANCEL: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.STOPPING}),
}
"""In which states a client may ask for what; asking again for what is already so changes nothing."""


@dataclass(frozen=True)
class Job:
    """A job as the record has it. Times are Unix seconds; `counts` has every trial state."""

    id: str
    project: str
    kind: JobKind
    name: str
    labels: dict[str, str]
    priority: int
    state: JobState
    reason: JobReason | None
    error: str | None
    desired: Desired
    spec: ResolvedJobSpec
    warnings: tuple[str, ...]
    provenances: tuple[str, ...]
    """Ids of what its trials came from, in the order in which it came up."""
    engine: str | None
    details: dict[str, Any] | None
    """What a job of its kind needs besides the spec, as its kind's own model says it."""
    findings: dict[str, Any] | None
    """What a job of its kind found out besides its trials; written by the worker."""
    waits_for: str | None
    """The id of a job that must finish before this one starts."""
    total_cells: int | None
    counts: dict[TrialState, int]
    n_trials: int
    n_counted: int
    """Trials that count towards `max_trials`: all but the cancelled and the replicates."""
    n_confirming: int
    """Of these, those that check the answer."""
    n_asking: int
    """Clients that wait and have nothing on offer, as far as the API has said so: the worker doesn't see them."""
    best_trial: int | None
    gpu_seconds: float
    work_s: float
    """Seconds of work: a worker had the job and, where clients train, a trial was out; no waiting, no pauses."""
    created_at: float
    started_at: float | None
    finished_at: float | None
    revision: int
    change: int
    lease_owner: str | None
    lease_token: int
    lease_expires_at: float | None
    lease_live: bool

    @property
    def is_orphaned(self) -> bool:
        """Whether it should be some worker's and is nobody's: the lease has run out, and no other has taken it."""
        return self.state in HELD_JOB_STATES and self.lease_expires_at is not None and not self.lease_live

    @property
    def awaits_worker(self) -> bool:
        """Whether what clients are told of it depends on which workers live."""
        return self.state is JobState.QUEUED or self.is_orphaned

    @property
    def search_space(self) -> SearchSpace:
        """The search space in use: the spec's, or with the bounds that a range test found."""
        found = self.tuning_findings
        return self.spec.search_space if found.search_space is None else found.search_space

    @property
    def tuning_details(self) -> TuningDetails:
        """What only the service knew at submission; of a job of another kind, nothing."""
        return recall(TuningDetails, self.details or {}) if self.kind is JobKind.TUNE else TuningDetails()

    @property
    def tuning_findings(self) -> TuningFindings:
        """What the worker found out about the search itself; of a job of another kind, nothing."""
        return recall(TuningFindings, self.findings or {}) if self.kind is JobKind.TUNE else TuningFindings()

    @property
    def n_kept(self) -> int:
        """How many of its trials are kept to check the answer."""
        max_trials = self.spec.budget.max_trials
        kept = n_kept(self.spec.confirm, max_trials) if self.kind is JobKind.TUNE else 0
        return 0 if kept and self.tuning_findings.given_back == max_trials else kept
