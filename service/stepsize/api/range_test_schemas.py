"""What the range-test endpoints send."""

from typing import Self

from pydantic import SkipValidation

from stepsize.api.schemas import Answer, Time
from stepsize.application.range_tests import RangeTestReading
from stepsize.clock import rfc3339
from stepsize.domain.job import JobReason, JobState
from stepsize.domain.range_test import RangeTestResult
from stepsize.domain.trial import TrialState
from stepsize.spec.range_test import RangeTestSpec


class RangeTestOut(Answer):
    """A learning-rate range test: a view of a job of kind `range_test`, whose trials are the sweeps."""

    id: str
    job_id: str
    """The same: jobs' endpoints serve its trials, reports, events and controls."""
    state: JobState
    reason: JobReason | None
    error: str | None
    spec: SkipValidation[RangeTestSpec]
    """With every default written back; it posts back unchanged."""
    counts: dict[TrialState, int]
    """Sweeps by state."""
    results: list[RangeTestResult]
    """One a batch size, ascending; empty until the last sweep has ended."""
    created_at: Time
    finished_at: Time | None
    links: dict[str, str]

    @classmethod
    def of(cls, reading: RangeTestReading) -> Self:
        job, here = reading.job, f"/v1/range-tests/{reading.job.id}"
        return cls(
            id=job.id,
            job_id=job.id,
            state=job.state,
            reason=job.reason,
            error=job.error,
            spec=reading.spec,
            counts=job.counts,
            results=reading.findings.results if reading.findings else [],
            created_at=rfc3339(job.created_at),
            finished_at=None if job.finished_at is None else rfc3339(job.finished_at),
            links={"self": here, "job": f"/v1/jobs/{job.id}"},
        )
