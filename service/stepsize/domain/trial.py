"""What can happen to a trial."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stepsize.spec.space import Scalar


class TrialState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in FINISHED_TRIAL_STATES


FINISHED_TRIAL_STATES = frozenset(
    {TrialState.COMPLETED, TrialState.PRUNED, TrialState.INFEASIBLE, TrialState.FAILED, TrialState.CANCELLED}
)


class TrialPurpose(StrEnum):
    """What a trial is for."""

    SEARCH = "search"
    """To find good parameters; the only ones that the search learns from."""
    CONFIRM = "confirm"
    """To check the answer, once the search is over."""
    REPLICATE = "replicate"
    """To train one of the best trials again."""


class TrialReason(StrEnum):
    """Why a trial ended as it did."""

    DIVERGED = "diverged"
    OOM = "oom"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    LOST = "lost"
    ERROR = "error"
    PRUNER = "pruner"
    USER = "user"


ALLOWED: dict[TrialState, frozenset[TrialState]] = {
    TrialState.QUEUED: frozenset({TrialState.RUNNING, TrialState.CANCELLED}),
    TrialState.RUNNING: FINISHED_TRIAL_STATES | {TrialState.QUEUED},
    TrialState.COMPLETED: frozenset(),
    TrialState.PRUNED: frozenset(),
    TrialState.INFEASIBLE: frozenset({TrialState.QUEUED}),
    TrialState.FAILED: frozenset({TrialState.QUEUED}),
    TrialState.CANCELLED: frozenset({TrialState.QUEUED}),
}
"""Every transition there is: a running trial is requeued when its process is lost, an unsuccessful one when retried."""


class GroupHow(StrEnum):
    """How a trial is trained that may have company."""

    FUSED = "fused"
    """As one with those of its group."""
    ALONE = "alone"
    """By itself: trials like it can't be trained as one."""
    APART = "apart"
    """By itself: its group ended, and nobody can say through which of its trials."""
    MEASURING = "measuring"
    """By itself so far: how many like it train fastest together is being measured before it trains."""


@dataclass(frozen=True)
class TrialGroup:
    """With which other trials a trial is trained as one, and why or why not."""

    id: str
    """Trials of one job that share it are trained together; the number of the first."""
    size: int
    """How many there were when it came."""
    how: GroupHow
    why: str
    most: int = 1
    """How many may be in at once."""
    joined: int = 0
    """The round of the group at which its step 0 was, or would have been: what it reported as step k it did in round
    `joined + k`."""
    returned: int = 0
    """Starts that came to nothing through others of a group; they don't use up `max_attempts`."""
    is_over: bool = False
    """The group has ended: the trial waits, and may start in any other."""
    measured: tuple[float, ...] = ()
    """Updates a second that 1, 2, 4, … trials like it make, all together, where that was measured."""

    @property
    def awaits(self) -> bool:
        """Whether a trial of this group that waits goes back to it, and nowhere else."""
        return self.how is GroupHow.FUSED and bool(self.id) and not self.is_over


@dataclass(frozen=True)
class TrialError:
    """What went wrong, for people; the traceback is in the trial's log."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True)
class Trial:
    """A trial as the record has it. Times are Unix seconds, durations seconds."""

    job_id: str
    number: int
    state: TrialState
    reason: TrialReason | None
    params: dict[str, Scalar]
    values: dict[str, float]
    objective: float | None
    """The first objective's value, feasible trials only."""
    stand_in: tuple[float, ...] | None
    """What stands in for the objectives of an infeasible trial in the study; never shown to clients."""
    study_attrs: dict[str, object]
    """Optuna's system attributes, kept so that a rebuilt study is the same study."""
    cell: int | None
    """Index of the grid cell this trial is the record of."""
    enqueued: bool
    """Asked for by a client, not proposed by the sampler."""
    cancel_requested: bool
    step: int | None
    checkpoint_step: int | None
    attempt: int
    losses_of_worker: int
    """Attempts that ended because their worker went; they don't use up `max_attempts`."""
    losses_in_a_row: int
    """Times that its worker was lost under it since it last saved a checkpoint, or lost its own process alone."""
    purpose: TrialPurpose
    replicate_of: int | None
    seed: int
    worker: str | None
    device: str | None
    lease_token: int
    """Rises each time an external client is given the trial; 0: not on offer to any (it runs in a slot, or what the
    client that enqueued it left out is still to be sampled)."""
    lease_expires_at: float | None
    lease_s: float | None
    """How long the client that has it asked to hold it between two signs of life."""
    judged_step: int | None
    """The last step the searcher has judged; external trials only."""
    data_hash: str | None
    """Content hash of the data the trial was trained on."""
    provenance: str | None
    """Id of the code, the packages and the machine that it ran with."""
    created_at: float
    started_at: float | None
    finished_at: float | None
    gpu_seconds: float
    group: TrialGroup | None
    """None: its job trains each trial alone, or it has not been started."""
    remark: str | None
    """What its trainer had to say about how it went."""
    error: TrialError | None
    artifacts: tuple[str, ...]
    change: int

    @property
    def id(self) -> str:
        return f"{self.job_id}.{self.number}"


@dataclass(frozen=True)
class TrialBrief:
    """What is said of a trial where its job is what counts."""

    job_id: str
    number: int
    params: dict[str, Scalar]
    values: dict[str, float]

    @property
    def id(self) -> str:
        return f"{self.job_id}.{self.number}"


@dataclass(frozen=True)
class Report:
    """One measurement of a trial; `elapsed_s` counts from the start of the attempt."""

    number: int
    step: int
    values: dict[str, float]
    elapsed_s: float


def trial_dir(data_dir: Path, job_id: str, number: int) -> Path:
    """Return where a trial's log, checkpoint and artifacts are, for those who write and those who read them."""
    return data_dir / "jobs" / job_id / "trials" / str(number)


def checkpoint_path(directory: Path, step: int) -> Path:
    """Return where a trial of this directory has its checkpoint of a step.

    A checkpoint is never written over another: until the record has the newer one, a trial goes on from the older.
    """
    return directory / f"checkpoint-{step}"
