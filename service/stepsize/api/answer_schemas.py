"""What the answer endpoints send beside reports: learning curves and fronts."""

from typing import Self

from stepsize.api.schemas import Answer, TrialOut
from stepsize.application.curves import CurvesQuery, CurvesReading, Pick
from stepsize.application.fronts import Front
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import Scalar


class CurveOut(Answer):
    """How a metric moved during one trial. `steps` and `values` have the same length."""

    number: int
    """The trial's."""
    state: TrialState
    reason: TrialReason | None
    """`diverged`, `pruner`, …: why the curve ends."""
    params: dict[str, Scalar]
    n_reports: int
    """Reports with this metric before down-sampling."""
    steps: list[int]
    values: list[float]


class CurvesOut(Answer):
    """Learning curves of some trials of a job, by trial number."""

    job_id: str
    change: int
    """The job's change they were read at."""
    metric: str
    direction: Direction | None
    """Null: the metric is no objective."""
    step_unit: str | None
    pick: Pick
    """How the trials were chosen."""
    max_points: int
    n_trials: int
    """Trials that have started; `curves` may show fewer."""
    curves: list[CurveOut]

    @classmethod
    def of(cls, reading: CurvesReading, query: CurvesQuery) -> Self:
        return cls(
            job_id=reading.job.id,
            change=reading.job.change,
            metric=reading.metric,
            direction=reading.direction,
            step_unit=reading.step_unit,
            pick=query.pick,
            max_points=query.max_points,
            n_trials=reading.n_trials,
            curves=[
                CurveOut(
                    number=trial.number,
                    state=trial.state,
                    reason=trial.reason,
                    params=trial.params,
                    n_reports=points.n_reports,
                    steps=list(points.steps),
                    values=list(points.values),
                )
                for trial, points in reading.curves
            ],
        )


class FrontOut(Answer):
    """The trials no other trial beats in every objective."""

    objectives: list[Objective]
    n_completed: int
    """Completed trials compared."""
    items: list[TrialOut]
    """By the first objective, best first."""

    @classmethod
    def of(cls, front: Front) -> Self:
        return cls(
            objectives=list(front.objectives),
            n_completed=front.n_completed,
            items=[TrialOut.of(trial) for trial in front.trials],
        )
