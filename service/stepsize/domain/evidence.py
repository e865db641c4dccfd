"""What a job has measured, as columns: the input of every analysis; plain lists, for the API imports no numpy."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepsize.domain.job import JobKind
from stepsize.domain.range_test import RangeTestFindings
from stepsize.spec.objective import Objective
from stepsize.spec.space import Scalar, SearchSpace


@dataclass(frozen=True)
class TrialColumns:
    """Trials that have started or ended, by number; every list has one entry a trial."""

    number: list[int]
    state: list[str]
    reason: list[str | None]
    params: list[dict[str, Scalar]]
    values: list[dict[str, float]]
    step: list[int | None]
    replicate_of: list[int | None]
    purpose: list[str]
    """`search`, `confirm` or `replicate`."""
    seed: list[int | None]
    """What each trial was trained with; None: not known, as of trials of a study that was imported."""
    started_at: list[float | None]
    finished_at: list[float | None]
    """Unix seconds."""
    attempt: list[int]
    """How often each was begun: above 1, what lies between start and end is not what it took."""


@dataclass(frozen=True)
class Evidence:
    """A job and its trials at one moment."""

    job_id: str
    job_name: str
    change: int
    trainer: str
    fixed: dict[str, Scalar]
    """Parameters that are the same in every trial."""
    space: SearchSpace
    objectives: tuple[Objective, ...]
    counts: dict[str, int]
    """Trials by state."""
    trials: TrialColumns
    seed: int
    """The job's: whatever an analysis draws follows from it, so that two jobs of one seed are checked alike."""
    rungs: list[tuple[int, int, float]]
    """(trial number, step, first objective) of some completed trials at the steps where others were pruned."""
    kind: JobKind = JobKind.TUNE
    is_finished: bool = True
    range_test: RangeTestFindings | None = None
    """What the job found, if it is a range test, or what the one found that it took its bounds from."""
    step_unit: str = "step"
    units: Mapping[str, str] = field(default_factory=dict)
    """Metric → its unit, for those that have one."""
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """Metric → smallest and largest possible value, for those of which it is known."""
    n_samples: int | None = None
    """Samples in the training part: a batch can't be larger. None: not known."""
    provenances: tuple[str, ...] = ()
    """Ids of what its trials came from."""
    provenance_warning: str | None = None
    """Said where that differs."""


@dataclass(frozen=True)
class Curve:
    """How the first objective moved during one trial."""

    number: int
    state: str
    reason: str | None
    steps: list[int]
    values: list[float]
