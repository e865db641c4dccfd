"""Range tests as the service sends them."""

from pydantic import AwareDatetime, JsonValue

from stepsize.client.answers import FINISHED, Answer, Estimate


class RangeTestCurve(Answer):
    """The sweeps at one batch size; a list of losses for each seed."""

    learning_rate: list[float]
    losses: list[list[float | None]]
    smoothed: list[float | None]


class RangeTestResult(Answer):
    """What the sweeps at one batch size say: from where to where to search, and a suggestion; or why they don't."""

    batch_size: int | None
    low: Estimate | None
    suggestion: Estimate | None
    high: Estimate | None
    curve: RangeTestCurve
    inconclusive: str | None = None


class RangeTest(Answer):
    """A learning-rate range test; its sweeps are the trials of the job `job_id`."""

    id: str
    job_id: str
    state: str
    reason: str | None = None
    error: str | None = None
    spec: dict[str, JsonValue]
    results: list[RangeTestResult]
    created_at: AwareDatetime
    finished_at: AwareDatetime | None = None

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED
