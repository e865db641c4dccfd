"""Progress: how far a job is, from the counters on its row."""

import math
from dataclasses import dataclass
from typing import Literal

from stepsize.domain.job import Job, JobKind, JobState
from stepsize.domain.trial import TrialState

LimitedBy = Literal["slots", "clients", "max_parallel_trials", "answer"]


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    counts: dict[TrialState, int]
    total: int
    """Trials recorded, of any state."""
    max_trials: int | None
    confirm_trials: int
    """Of these, how many check the answer or are kept to."""
    fraction: float | None
    """Share of `max_trials`, and of the replicates after them, that has ended."""
    eta_s: float | None
    """Seconds left at the pace so far; None where that can't be said."""
    limited_by: LimitedBy | None
    """Why no more trials run at once; None: nothing limits them, or the job doesn't run. `answer`: none is left to run
    until the job's answer is there."""


def progress_of(job: Job) -> Progress:
    """Return a job's progress; no query, whatever its size."""
    max_trials = job.spec.budget.max_trials
    n_replicates = job.n_trials - job.counts[TrialState.CANCELLED] - job.n_counted
    n_ended = job.n_counted + n_replicates - job.counts[TrialState.QUEUED] - job.counts[TrialState.RUNNING]
    n_wanted = max_trials + n_replicates if max_trials else None
    return Progress(
        counts=job.counts,
        total=job.n_trials,
        max_trials=max_trials,
        confirm_trials=max(job.n_kept, job.n_confirming),
        fraction=min(1.0, n_ended / n_wanted) if n_wanted else None,
        eta_s=_eta_s(job, n_ended, n_wanted),
        limited_by=_limited_by(job),
    )


def _eta_s(job: Job, n_ended: int, n_wanted: int | None) -> float | None:
    if job.state is not JobState.RUNNING or job.is_orphaned or not job.work_s or not n_ended or n_wanted is None:
        return None
    if n_ended >= n_wanted:
        return None  # how long the answer takes its trials don't tell
    pace_s = job.work_s / n_ended
    return round(pace_s * (n_wanted - n_ended), 3)


def _awaits_answer(job: Job) -> bool:
    """Tell whether all trials there are to run have ended, and the job goes on: it is being answered, or about to be.

    Before the trials that check the answer are chosen, too, it has to be there.
    """
    is_held = job.state in (JobState.RUNNING, JobState.STOPPING) and not job.is_orphaned
    if not is_held or job.kind is not JobKind.TUNE or job.counts[TrialState.RUNNING] or job.counts[TrialState.QUEUED]:
        return False
    n_searched = (job.spec.budget.max_trials or math.inf) - max(0, job.n_kept - job.n_confirming)
    return bool(job.n_counted) and (job.state is JobState.STOPPING or job.n_counted >= n_searched)


def _limited_by(job: Job) -> LimitedBy | None:
    n_running, budget = job.counts[TrialState.RUNNING], job.spec.budget
    if _awaits_answer(job):
        return "answer"
    n_waiting = job.counts[TrialState.QUEUED] + max(0, (budget.max_trials or 0) - job.n_counted)
    if job.state is not JobState.RUNNING or job.is_orphaned or not n_running or not n_waiting:
        return None
    if n_running == budget.max_parallel_trials:
        return "max_parallel_trials"
    return "clients" if job.spec.trains_elsewhere else "slots"
