"""What the API sends of the best trials."""

from typing import Self

from pydantic import ConfigDict

from stepsize.api.schemas import Answer, TrialOut
from stepsize.application.results import BestTrial
from stepsize.domain.estimate import Estimate
from stepsize.domain.replication import Replication


class ReplicatesOut(Answer):
    """The same configuration trained again with fresh seeds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "n": 3,
                "mean": {"value": 0.981, "low": 0.9785, "high": 0.9835, "caveat": None},
                "values": [0.98, 0.981, 0.982],
            }
        }
    )

    n: int
    """Completed ones."""
    mean: Estimate
    """Of the objective, with Student's 95 % interval. The trial itself is left out: it was chosen for its value."""
    values: list[float]

    @classmethod
    def of(cls, replication: Replication) -> Self:
        return cls(n=len(replication.values), mean=replication.mean, values=list(replication.values))


class BestTrialOut(TrialOut):
    """One of the best trials."""

    replicates: ReplicatesOut | None
    """Null: none has completed, or none was asked for."""
    tied: list[int]
    """Numbers of the other replicated trials that can't be told from this one: 0 lies in Welch's 95 % interval of the
    difference of means."""

    @classmethod
    def of_best(cls, best: BestTrial) -> Self:
        replicates = ReplicatesOut.of(best.replication) if best.replication else None
        return cls(**dict(TrialOut.of(best.trial)), replicates=replicates, tied=list(best.tied))
