"""What stands in a job's way, since when, and what to do about it, in words for people."""

from collections.abc import Sequence

from stepsize.application.catalogue import can_run
from stepsize.clock import rfc3339
from stepsize.domain.job import Job, JobReason, JobState
from stepsize.domain.trial import TrialState
from stepsize.store.workers import Worker


def advise(job: Job, workers: Sequence[Worker]) -> str | None:
    """Return what to tell whoever looks at the job; None where it goes its way.

    Args:
        workers: those of the last day; needed for jobs that wait for one.
    """
    if job.is_orphaned:
        since = "" if job.lease_expires_at is None else f" since {rfc3339(job.lease_expires_at)}"
        if any(can_run(worker, job.spec) for worker in workers):
            return f"no worker has it{since}, when its own went away; another takes it once a slot is free"
        return (
            f"no worker has it{since}: its own went away and {_why_nobody(job, workers)}; start one on the same "
            f"database (`stepsize worker`), and it goes on where it was, or end it with `stepsize cancel {job.id}`"
        )
    if job.state is JobState.QUEUED and not any(can_run(worker, job.spec) for worker in workers):
        return f"{_why_nobody(job, workers)}; start one that can on the same database (`stepsize worker`)"
    if _has_failed_throughout(job):
        return (
            f"`stepsize trials {job.id} --state failed` lists the failed trials and `stepsize log {job.id} TRIAL` "
            f"prints what one said; when that is mended, `stepsize retry {job.id}` runs them again"
        )
    if _has_nothing_feasible(job):
        return (
            f"no trial was feasible: `stepsize trials {job.id} --state infeasible` says of each whether it diverged, "
            "ran out of memory or broke a constraint; search lower learning rates, smaller batches or another space"
        )
    if job.state is JobState.FAILED:
        return "the worker's log has the traceback; mend its cause and submit the job again"
    return None


def _has_failed_throughout(job: Job) -> bool:
    """Tell whether a job has ended of failed trials, or with nothing but."""
    if job.state is JobState.FAILED:
        return job.reason is JobReason.MAX_FAILED_TRIALS
    n_ended = sum(n for state, n in job.counts.items() if state.is_finished)
    return job.state is JobState.COMPLETED and 0 < job.counts.get(TrialState.FAILED, 0) == n_ended


def _has_nothing_feasible(job: Job) -> bool:
    """Tell whether all a job has ended with are infeasible trials, and failed ones beside them."""
    some_feasible = job.counts.get(TrialState.COMPLETED, 0) or job.counts.get(TrialState.PRUNED, 0)
    return job.state is JobState.COMPLETED and job.counts.get(TrialState.INFEASIBLE, 0) > 0 and not some_feasible


def _why_nobody(job: Job, workers: Sequence[Worker]) -> str:
    """Say why no living worker can run the job."""
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        return "no worker is alive"
    wanted, needs = job.spec.trainer, job.spec.resources
    offering = [
        worker
        for worker in alive
        if any((card.name, card.version) == (wanted.name, wanted.version) for card in worker.trainers)
    ]
    if not offering:
        versions = sorted({card.version for worker in alive for card in worker.trainers if card.name == wanted.name})
        have = f", but version {', '.join(versions)}" if versions else ""
        return f"no worker that is alive offers {wanted.name} in version {wanted.version}{have}"
    return f"no slot of a worker that is alive has {needs.gpus:g} GPUs and {needs.cpus} CPU cores"
