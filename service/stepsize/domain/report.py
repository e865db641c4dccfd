"""What a report says about a job: its shape, as it is computed once and sent as JSON.

Every number that is known with an uncertainty only is an `Estimate`. Learning rates are plain rates, never logarithms;
widths along the learning rate are decades.
"""

from enum import StrEnum

from stepsize.domain.answer import Answer, Words
from stepsize.domain.estimate import Estimate, Part
from stepsize.domain.job import JobKind
from stepsize.spec.objective import Direction
from stepsize.spec.space import Scalar


class ScalingRule(StrEnum):
    """The rule of thumb that the interval of the law's slope admits."""

    NONE = "none"
    SQUARE_ROOT = "square_root"
    LINEAR = "linear"


class ReportedObjective(Part):
    """The objective a report is about: the job's first."""

    metric: str
    direction: Direction


class BestTrial(Part):
    """The completed trial of the search with the best value, luck included; checks and replicates are none."""

    number: int
    value: float
    params: dict[str, Scalar]


class RateBand(Part):
    """Trials whose learning rate lies in one band."""

    low: float
    high: float
    n_trials: int
    """Completed, pruned and infeasible ones."""
    n_completed: int
    best: float | None
    """The value of the best trial."""
    value: Estimate
    """Mean value of the objective over completed trials."""
    metrics: dict[str, Estimate]
    """Metric → mean last value over completed trials."""
    train_time_s: Estimate
    """Mean duration of completed trials."""
    diverged_share: Estimate


class ByLearningRate(Part):
    """What happens at which learning rate."""

    bands: list[RateBand]
    caveat: str | None = None


class BatchSizeRow(Part):
    """Trials with one batch size."""

    batch_size: int
    n_trials: int
    n_completed: int
    learning_rate: Estimate
    """The best rate at this batch size."""
    value: Estimate
    """The objective at that rate."""
    best: float | None
    """The value of the best trial."""
    train_time_s: Estimate
    diverged_share: Estimate


class ByBatchSize(Part):
    """The best learning rate at each batch size."""

    rows: list[BatchSizeRow]
    caveat: str | None = None


class ScalingLaw(Part):
    """log10 lr* = a + b log10 B: how the best rate lr* moves with the batch size B."""

    a: Estimate
    b: Estimate
    rule: ScalingRule | None
    """Null: several rules, or none of them, fit the interval of `b`."""
    n_trials: int
    """Trials the fit rests on."""
    sentence: str
    caveat: str | None = None


class Sensitivity(Part):
    """How exactly the learning rate must be met, at one batch size."""

    batch_size: int | None
    """Null: the job knows no batch size."""
    tolerance: float
    """How much worse than the bottom of the valley still counts as good."""
    plateau_low: float | None
    """Smallest good rate."""
    plateau_high: float | None
    """Largest good rate."""
    width_decades: Estimate
    """Width of the good region in decades."""
    plateau_centre: Estimate
    recommended_rate: Estimate
    """The rate with the least expected value, for one side of a valley is steeper than the other: safer than the rate
    of the best trial, which owes part of its value to luck."""
    best_trial_rate: float | None
    """The rate of the best trial (the arg-min), for comparison."""
    sentence: str
    caveat: str | None = None


class ChoiceRow(Part):
    """Trials with one choice of a parameter."""

    choice: Scalar
    n_trials: int
    n_completed: int
    best: Estimate
    """The objective at this choice's best learning rate."""
    best_trial: float | None
    """The value of the best trial."""
    mean: Estimate
    """Mean over completed trials: what the choice gives without tuning."""
    learning_rate: Estimate
    """The learning rate at which this choice does best."""
    improvement: Estimate
    """How much better `best` is than the baseline's, in units of the metric; positive is better. The intervals of all
    choices hold together with 95 %."""


class Comparison(Part):
    """The choices of one searched parameter beside each other."""

    parameter: str
    baseline: Scalar
    """The first choice listed."""
    choices: list[ChoiceRow]
    sentence: str
    caveat: str | None = None


class Importance(Part):
    parameter: str
    importance: Estimate
    """Share of what distinguishes good trials from the rest; all shares add up to 1."""


class Importances(Part):
    """Which parameters matter."""

    job_id: str
    change: int
    method: str
    n_trials: int
    items: list[Importance]
    caveat: str | None = None


class FrontierRow(Part):
    """Where training starts to diverge at one batch size."""

    batch_size: int | None
    learning_rate: Estimate
    """Half of the trials at this rate diverge."""


class Divergence(Part):
    """Which trials failed to train: the frontier in learning rate × batch size."""

    n_diverged: int
    n_out_of_memory: int
    share: Estimate
    """Of all ended trials."""
    frontier: list[FrontierRow]
    smallest_oom_batch_size: int | None
    """Smallest batch size that ran out of memory."""
    sentence: str
    caveat: str | None = None


class Report(Part):
    """Everything a job teaches about its learning rate."""

    job_id: str
    job_name: str
    change: int
    """The job's change the report was computed at."""
    kind: JobKind
    trainer: str
    objective: ReportedObjective
    n_trials: int
    counts: dict[str, int]
    """Trials by state."""
    noise: Estimate
    """Standard deviation of the objective between trainings that should be alike."""
    focus: dict[str, Scalar]
    """Choices the law, the sensitivity and the answer are about; one that isn't named counts with all of its own."""
    best_trial: BestTrial | None
    by_learning_rate: ByLearningRate
    by_batch_size: ByBatchSize
    scaling_law: ScalingLaw
    sensitivity: Sensitivity
    comparisons: list[Comparison]
    importances: Importances
    divergence: Divergence
    answer: Answer
    """What to use: every other part rests on the same fit."""
    recommendation: str
    """The answer's sentence."""
    confidence: Words
    """The answer's words."""
    caveats: list[str]
    """What applies to the report as a whole."""
