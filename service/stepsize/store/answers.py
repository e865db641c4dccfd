"""A job's answer as the record has it; written by a ledger, with the change it speaks of."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, exists, select

from stepsize.domain.answer import Answer
from stepsize.domain.trial import TrialState
from stepsize.store.models import answers, jobs, trials


@dataclass(frozen=True)
class StoredAnswer:
    """An answer and the report it was taken from."""

    answer: Answer
    report: str | None
    """As JSON; None: the analysis could not be run."""
    speaks_of: int
    """The job's change at which its trials were read."""
    is_final: bool
    """Whether it was asked for as that of a finished job."""


_FINISHED = [state for state in TrialState if state.is_finished]
_CURRENT_REPORT = (
    select(answers.c.report)
    .join(jobs, jobs.c.id == answers.c.job_id)
    .where(
        answers.c.job_id == bindparam("of_job"),
        answers.c.is_final == bindparam("is_final"),
        answers.c.report.is_not(None),
        # What has changed since by trials that run, or by labels, is no part of a report.
        ~exists().where(
            trials.c.job_id == bindparam("of_job"),
            trials.c.change > answers.c.speaks_of,
            trials.c.state.in_(_FINISHED),
        ),
    )
)


def load_current_report(connection: Connection, job_id: str, *, is_finished: bool) -> str | None:
    """Return the stored report as JSON, if it says all there is to say now."""
    return connection.scalar(_CURRENT_REPORT, {"of_job": job_id, "is_final": is_finished})
