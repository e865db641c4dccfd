"""A study that is over, whichever tool it was made with."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stepsize.spec.objective import Objective
from stepsize.spec.space import Scalar, SearchSpace


class End(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    """Its value was no finite number."""
    FAILED = "failed"


@dataclass(frozen=True)
class PastTrial:
    """One trial of it."""

    number: int
    """Its number there."""
    params: Mapping[str, Scalar]
    end: End
    values: Mapping[str, float]
    """Metric → final value; of the constraints too."""
    reports: Mapping[int, float]
    """Step → value of the objective."""


@dataclass(frozen=True)
class PastStudy:
    """All of it that can be carried over."""

    name: str
    search_space: SearchSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[str, ...]
    """Metrics that are above 0 in trials that broke a constraint."""
    trials: tuple[PastTrial, ...]
    notes: tuple[str, ...]
    """What can't be carried over."""


class StudyError(ValueError):
    """The study can't be read or recorded: says why and what to do."""
