"""What a report says about several jobs beside each other.

Values stand beside each other only where metric, direction, data and trainer are the same; learning rates always do.
"""

from stepsize.domain.answer import Words
from stepsize.domain.estimate import Estimate, Part
from stepsize.domain.report import BestTrial, ByLearningRate, RateBand, ReportedObjective
from stepsize.spec.space import Scalar


class JobRow(Part):
    """One job's answer beside others."""

    job_id: str
    job_name: str
    trainer: str
    differs: dict[str, Scalar | None]
    """What tells this job from the others: task, data set, model, activation, …; null: not set."""
    n_completed: int
    batch_size: int | None
    recommended_rate: Estimate
    value: Estimate
    """The objective at that rate."""
    best_trial: BestTrial | None
    width_decades: Estimate
    b: Estimate
    """Slope of the scaling law."""
    objective: ReportedObjective
    confidence: Words
    recommendation: str
    by_learning_rate: ByLearningRate
    """Its metrics and training time by learning rate."""


class Compared(Part):
    """Two of several that are compared two by two; the intervals of all pairs hold together with 95 %."""

    batch_size: int | None
    """At which their rates are compared; null: each at its own."""
    rate_ratio: Estimate
    """The second's best rate over the first's."""
    improvement: Estimate
    """By how much the second's value is better, in units of the metric; null where values can't stand on one axis."""
    sentence: str


class JobPair(Compared):
    """Two jobs whose answers are compared."""

    job_ids: tuple[str, str]


class RateRange(Part):
    """The best rates of all jobs that share one setting."""

    parameter: str
    choice: Scalar | None
    job_ids: list[str]
    lowest_rate: float | None
    highest_rate: float | None
    typical_rate: float | None
    """Geometric mean."""


class SettingRow(Part):
    """The trials with one choice of a setting, in jobs that are alike in all else."""

    choice: Scalar
    where: dict[str, Scalar | None]
    """What else tells these trials from other rows of the table; null: not set, or searched where others fix it."""
    job_ids: list[str]
    objective: ReportedObjective
    batch_size: int | None
    """Where the rate and the value are told; null: there is none."""
    n_trials: int
    n_completed: int
    learning_rate: Estimate
    """The best rate with this choice."""
    value: Estimate
    """The objective at that rate: what fresh trainings give on average."""
    best_trial: float | None
    """The value of the best trial."""
    train_time_s: Estimate
    """Mean duration of completed trials."""
    diverged_share: Estimate
    by_learning_rate: list[RateBand]


class SettingPair(Compared):
    """Two rows of a table that differ in its setting alone."""

    rows: tuple[int, int]
    """Positions in the table, from 0."""


class SettingTable(Part):
    """The choices of one setting beside each other, whether each job fixes one or a job searches several."""

    parameter: str
    rows: list[SettingRow]
    pairs: list[SettingPair]
    """Rows two by two, where they differ in this setting alone."""
    sentence: str
    caveat: str | None = None
    same_rows_as: tuple[str, ...] = ()
    """Settings of earlier tables whose rows are these: jobs that fix both settings are one row in each."""


class JobsReport(Part):
    """Several jobs beside each other."""

    jobs: list[JobRow]
    tables: list[SettingTable]
    """One for each setting of which there are several choices: trainer, data set, model, activation, batch size, …"""
    by_setting: list[RateRange]
    """For each setting that differs: the recommended rates of the jobs that have it."""
    pairs: list[JobPair]
    """Jobs two by two, at most the first ten of them."""
    sentence: str
    caveats: list[str]
