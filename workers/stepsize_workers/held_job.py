"""A job under this worker's lease: as it was last read, and the transactions on it."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from stepsize.domain.job import Job, JobKind
from stepsize.domain.lease import Lease
from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.errors import LeaseLostError
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.ledger import Ledger
from stepsize.store.trials import load_trials
from stepsize.store.workers import SlotRecord
from stepsize_workers.site import Site

T = TypeVar("T")

_TIME_KEPT_EVERY_S = 10.0
"""Longest work that is lost with a worker that dies, of a job whose trials report nothing."""


class HeldJob:
    """What everything that works for a job on this worker shares. Only `transact` and `refresh` replace the job."""

    def __init__(self, lease: Lease, job: Job, site: Site) -> None:
        self.lease = lease
        self.site = site
        self._job = job
        self._spec = _searched_spec(job)
        self.objectives = self._spec.objectives
        self.is_judged = self._spec.pruner.judges
        """Whether a pruner wants to hear of every report."""
        self.is_resting = False
        """Whether nothing but its answer is awaited, which is no work unless a trial runs."""
        self._work_s = job.work_s
        self._worked_at = time.monotonic()

    @property
    def job(self) -> Job:
        """The job as this worker last read or left it."""
        return self._job

    @property
    def spec(self) -> ResolvedJobSpec:
        """The job's, with the search space in use."""
        return self._spec

    @property
    def work_s(self) -> float:
        """Seconds of work that the job has had, by this worker's monotonic clock and those of its forerunners."""
        self._note_work()
        return self._work_s

    def keep_time(self) -> None:
        """Write down how long the job has been worked on, if it has been silent for long."""
        if self.work_s - self._job.work_s > _TIME_KEPT_EVERY_S:
            self.transact(lambda ledger: None)

    def refresh(self, connection: Connection) -> None:
        """Take the job as the record has it now.

        Raises:
            JobNotFoundError: it was deleted.
            LeaseLostError: it is another worker's now.
        """
        job = get_job(connection, self._job.id, project=self._job.project)
        if job.lease_token != self.lease.token:
            raise LeaseLostError(f"job {job.id}", self.lease.token)
        self._note_work()
        self._job, self._spec = job, _searched_spec(job)

    def transact(self, body: Callable[[Ledger], T]) -> T:
        """Run one transaction under the lease, again while the database is away (see `Site.transact`)."""
        result, self._job = self.site.transact(self.lease, body, work_s=lambda: self.work_s)
        return result

    def _note_work(self) -> None:
        time_s = time.monotonic()
        if self._job.counts[TrialState.RUNNING] or not (self._spec.trains_elsewhere or self.is_resting):
            self._work_s += time_s - self._worked_at
        self._worked_at = time_s

    def read(self, look: Callable[[Connection], T]) -> T:
        """Run one read, again while the database is away."""
        return self.site.read(look)

    def load_trials(self, states: Sequence[TrialState] | None = None) -> list[Trial]:
        """Return the job's trials by number, all or those in some states."""
        return self.read(partial(load_trials, job_id=self._job.id, states=states))

    def last_step(self, params: Mapping[str, Scalar]) -> int | None:
        """Return the last step of a trial with these parameters; None where nobody knows it in advance."""
        trainer = self._spec.trainer
        card = self.site.cards.get((trainer.name, trainer.version))
        return None if card is None else card.last_step(params, trainer.params)

    def fits(self, slot: SlotRecord) -> bool:
        """Tell whether a slot has what a trial of this job needs."""
        needed = self._spec.resources
        return slot.gpus >= needed.gpus and slot.cpus >= needed.cpus

    def is_searched(self, trial: Trial) -> bool:
        """Tell whether a trial is part of the search, in a job that searches at all."""
        return self._job.kind is JobKind.TUNE and trial.purpose is TrialPurpose.SEARCH


def _searched_spec(job: Job) -> ResolvedJobSpec:
    """Return the job's spec with the search space in use, where a range test has found bounds."""
    return job.spec if job.findings is None else job.spec.model_copy(update={"search_space": job.search_space})
