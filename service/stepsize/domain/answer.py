"""The answer of a job: which learning rate to use, and how sure that is. It stands before the best trial."""

from enum import StrEnum

from pydantic import Field

from stepsize.domain.estimate import Estimate, Part
from stepsize.spec.space import Scalar


class Words(StrEnum):
    """How far to trust an answer; docs/what-the-words-mean.md tells what each has been worth."""

    WELL_SUPPORTED = "well_supported"
    FAIRLY_SURE = "fairly_sure"
    LOW = "low"
    NONE = "none"


class ValleyPoint(Part):
    """One point of a small picture of the valley."""

    learning_rate: float
    value: Estimate
    """The objective's mean over fresh trainings at that rate."""


class Alternative(Part):
    """A choice that can't be told from the one that is recommended, or that the best trial made."""

    parameter: str
    choice: Scalar
    learning_rate: float


class Answer(Part):
    """What to use, in one sentence and in numbers."""

    sentence: str
    """Which learning rate at which batch size, how sure that is, and what it holds for."""
    words: Words
    learning_rate: Estimate
    batch_size: int | None
    choices: dict[str, Scalar]
    """Choices of other parameters that the rate is for; a parameter that is not named makes no difference known."""
    alternatives: list[Alternative] = Field(default_factory=list)
    """Of each parameter whose choices can't be told apart: all that may be the best, most promising first."""
    value: Estimate
    """What the objective promises to be there, on average over fresh trainings."""
    confirmed: Estimate
    """Its measured mean over the trials that checked the answer."""
    missing_trials: int | None
    """About how many more trials would make the answer fairly sure; null: it is, or trials alone won't do."""
    caveats: list[str]
    valley: list[ValleyPoint]
    """The valley at that batch size, lowest rate first; empty where there is none."""
