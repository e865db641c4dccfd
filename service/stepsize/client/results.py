"""What came out of a job, as the service sends it: the learning-rate report, curves, fronts, importances."""

from pydantic import Field

from stepsize.client.answers import Answer, Estimate, JobAnswer, Trial
from stepsize.client.display import report_html
from stepsize.spec.objective import Objective
from stepsize.spec.space import Scalar
from stepsize.spec.wording import counted


class BestTrial(Answer):
    """The luckiest trial of a report."""

    number: int
    value: float
    params: dict[str, Scalar]


class ReportedObjective(Answer):
    metric: str
    direction: str


class RateBand(Answer):
    """The trials between two learning rates."""

    low: float
    high: float
    n_trials: int
    n_completed: int
    best: float | None = None
    value: Estimate
    metrics: dict[str, Estimate]
    train_time_s: Estimate
    diverged_share: Estimate


class ByLearningRate(Answer):
    bands: list[RateBand]
    caveat: str | None = None


class BatchSizeRow(Answer):
    """The best learning rate at one batch size."""

    batch_size: int
    n_trials: int
    n_completed: int
    learning_rate: Estimate
    value: Estimate
    best: float | None = None
    train_time_s: Estimate
    diverged_share: Estimate


class ByBatchSize(Answer):
    rows: list[BatchSizeRow]
    caveat: str | None = None


class ScalingLaw(Answer):
    """log10 of the best rate = a + b · log10 of the batch size."""

    a: Estimate
    b: Estimate
    rule: str | None = None
    n_trials: int
    sentence: str
    caveat: str | None = None


class Sensitivity(Answer):
    """How wide the good region is."""

    batch_size: int | None = None
    tolerance: float
    plateau_low: float | None = None
    plateau_high: float | None = None
    width_decades: Estimate
    plateau_centre: Estimate
    recommended_rate: Estimate
    best_trial_rate: float | None = None
    sentence: str
    caveat: str | None = None


class ChoiceRow(Answer):
    """One choice of a searched categorical parameter."""

    choice: Scalar
    n_trials: int
    n_completed: int
    best: Estimate
    best_trial: float | None = None
    mean: Estimate
    learning_rate: Estimate
    improvement: Estimate


class Comparison(Answer):
    """The choices of one parameter."""

    parameter: str
    baseline: Scalar | None = None
    choices: list[ChoiceRow]
    sentence: str
    caveat: str | None = None


class Importance(Answer):
    parameter: str
    importance: Estimate


class Importances(Answer):
    """Which parameters matter."""

    method: str
    n_trials: int
    items: list[Importance]
    caveat: str | None = None

    def __repr__(self) -> str:
        shares = ", ".join(f"{item.parameter} {item.importance!r}" for item in self.items)
        caveat = f" ({self.caveat})" if self.caveat else ""
        return f"<Importances of {counted(self.n_trials, 'trial')}: {shares}{caveat}>"


class FrontierRow(Answer):
    """From which learning rate on trainings diverge."""

    batch_size: int | None = None
    learning_rate: Estimate


class Divergence(Answer):
    n_diverged: int
    n_out_of_memory: int
    share: Estimate
    frontier: list[FrontierRow]
    smallest_oom_batch_size: int | None = None
    sentence: str
    caveat: str | None = None


class JobReport(Answer):
    """What a job teaches about its learning rate."""

    job_id: str
    job_name: str
    kind: str = "tune"
    trainer: str
    objective: ReportedObjective
    n_trials: int
    counts: dict[str, int]
    noise: Estimate
    best_trial: BestTrial | None = None
    by_learning_rate: ByLearningRate
    by_batch_size: ByBatchSize
    scaling_law: ScalingLaw
    sensitivity: Sensitivity
    comparisons: list[Comparison]
    importances: Importances
    divergence: Divergence
    answer: JobAnswer
    recommendation: str
    confidence: str
    caveats: list[str]

    def __repr__(self) -> str:
        return f"<JobReport of {self.job_id}, {counted(self.n_trials, 'trial')}: {self.recommendation}>"

    def _repr_html_(self) -> str:
        return report_html(self)


class JobRow(Answer):
    """One of several jobs that are compared."""

    job_id: str
    job_name: str
    trainer: str
    differs: dict[str, Scalar | None]
    n_completed: int
    batch_size: int | None = None
    recommended_rate: Estimate
    value: Estimate
    best_trial: BestTrial | None = None
    width_decades: Estimate
    objective: ReportedObjective
    confidence: str
    recommendation: str
    by_learning_rate: ByLearningRate | None = None


class SettingRow(Answer):
    """The trials with one choice of a setting, in jobs that are alike in all else."""

    choice: Scalar
    where: dict[str, Scalar | None]
    job_ids: list[str]
    objective: ReportedObjective
    batch_size: int | None = None
    n_trials: int
    n_completed: int
    learning_rate: Estimate
    value: Estimate
    best_trial: float | None = None
    train_time_s: Estimate
    diverged_share: Estimate
    by_learning_rate: list[RateBand] = Field(default_factory=list)


class Compared(Answer):
    """Two of several that are compared two by two."""

    batch_size: int | None = None
    rate_ratio: Estimate
    improvement: Estimate
    sentence: str


class SettingPair(Compared):
    """Two rows of a table that differ in its setting alone."""

    rows: tuple[int, int]


class SettingTable(Answer):
    """The choices of one setting beside each other, whether jobs fix or search them."""

    parameter: str
    rows: list[SettingRow]
    pairs: list[SettingPair]
    sentence: str
    caveat: str | None = None
    same_rows_as: tuple[str, ...] = ()
    """Settings of earlier tables whose rows are these: to show one of them is enough."""


class JobPair(Compared):
    """Two jobs whose answers are compared."""

    job_ids: tuple[str, str]


class JobsReport(Answer):
    """Several jobs compared."""

    jobs: list[JobRow]
    tables: list[SettingTable]
    pairs: list[JobPair]
    sentence: str
    caveats: list[str]

    def __repr__(self) -> str:
        return f"<JobsReport of {counted(len(self.jobs), 'job')}: {self.sentence}>"


class Front(Answer):
    """The trials no other trial beats in every objective."""

    objectives: list[Objective]
    n_completed: int
    items: list[Trial]

    def __repr__(self) -> str:
        goals = ", ".join(f"{one.direction} {one.metric}" for one in self.objectives)
        return f"<Front of {goals}: {len(self.items)} of {counted(self.n_completed, 'trial')}>"


class History(Answer):
    """The objective of each trial in turn."""

    metric: str
    direction: str
    n_trials: int
    numbers: list[int]
    states: list[str]
    values: list[float | None]
    best: list[float | None]

    def __repr__(self) -> str:
        last = next((value for value in reversed(self.best) if value is not None), None)
        best = "" if last is None else f", best so far {last:.4g}"
        return f"<History of {counted(self.n_trials, 'trial')}: {self.direction} {self.metric}{best}>"


class Curve(Answer):
    """How a metric went over one training."""

    number: int
    state: str
    reason: str | None = None
    params: dict[str, Scalar]
    n_reports: int
    steps: list[int]
    values: list[float | None]

    def __repr__(self) -> str:
        ends = f": {self.values[0]} to {self.values[-1]}" if self.values else ""
        return f"<Curve of trial {self.number}, {self.state}, {counted(self.n_reports, 'report')}{ends}>"


class Curves(Answer):
    """Learning curves."""

    metric: str
    direction: str | None = None
    step_unit: str | None = None
    n_trials: int
    curves: list[Curve]

    def __repr__(self) -> str:
        return f"<Curves of {self.metric}, {len(self.curves)} of {counted(self.n_trials, 'trial')}>"
