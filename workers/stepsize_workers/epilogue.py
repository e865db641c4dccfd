"""What a job still does once its search is over, stage by stage, before it may finish.

A stage is a function of the record, so that a job that is taken over, or reopened by a larger budget, makes up what it
lacks and repeats nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stepsize.domain.job import JobKind, JobReason
from stepsize.store.ledger import NewTrial
from stepsize_workers.answering import AnswerKeeper
from stepsize_workers.checks import missing_checks
from stepsize_workers.held_job import HeldJob
from stepsize_workers.replicates import missing_replicates
from stepsize_workers.stopping import LIMITS


@dataclass(frozen=True)
class NotYet:
    """What a stage depends on is still being computed; the engine is woken when it is there."""


@dataclass(frozen=True)
class Further:
    """Trials that are to run before the job may finish; none: the stage is done."""

    trials: Sequence[NewTrial] = ()


class Stage(Protocol):
    """One thing to be done once the search is over."""

    def next_step(self, reason: JobReason) -> Further | NotYet:
        """Return what is to be done now; never blocks.

        Args:
            reason: why the search is over.
        """


class Replication:
    """The best configurations trained again with fresh seeds, where the budget allows for more than the search."""

    def __init__(self, held: HeldJob) -> None:
        self._held = held

    def next_step(self, reason: JobReason) -> Further | NotYet:
        job, spec = self._held.job, self._held.spec
        if reason in LIMITS or spec.replicates is None or job.kind is not JobKind.TUNE:
            return Further()
        return Further(missing_replicates(spec, self._held.load_trials(), first_number=job.n_trials))


class Confirmation:
    """The answer checked with fresh seeds, by the trials that the budget keeps for it."""

    def __init__(self, held: HeldJob, answers: AnswerKeeper) -> None:
        self._held = held
        self._answers = answers

    def next_step(self, reason: JobReason) -> Further | NotYet:
        job, spec = self._held.job, self._held.spec
        n = min(job.n_kept - job.n_confirming, spec.budget.max_trials - job.n_counted)
        if reason in LIMITS or n < 1:
            return Further()
        answer = None
        if self._answers.is_asked:
            found = self._answers.answer_now(as_finished=False)
            if found is None:
                return NotYet()
            answer = found.answer
        checks = missing_checks(spec, self._held.load_trials(), answer, n, first_number=job.n_trials)
        if not checks and reason is JobReason.MAX_TRIALS:
            self._give_back()
            return NotYet()
        return Further(checks)

    def _give_back(self) -> None:
        """Let the search have the trials that were kept: there is nothing to check."""
        findings = self._held.job.tuning_findings.model_copy(update={"given_back": self._held.spec.budget.max_trials})
        self._held.transact(lambda ledger: ledger.set_job(findings=findings.model_dump(mode="json")))


def next_step(stages: Sequence[Stage], reason: JobReason) -> Further | NotYet:
    """Return what the first stage that is not done yet wants; no trials: the job may finish."""
    for stage in stages:
        step = stage.next_step(reason)
        if isinstance(step, NotYet) or step.trials:
            return step
    return Further()
