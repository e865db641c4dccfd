"""What a job's trials are doing, as a transaction on the job sees it: who runs them, who was given them."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from stepsize.domain.trial import TrialState
from stepsize.store.database import db_now
from stepsize.store.models import trials


class UnderWay:
    """Questions about the trials of a job that are running or on offer. The job's row is locked: the answers hold."""

    def __init__(self, connection: Connection, job_id: str) -> None:
        self._connection = connection
        self._job_id = job_id

    def running_since(self, first: int) -> Sequence[int]:
        """Return the numbers of running trials from `first` on."""
        statement = select(trials.c.number).where(
            trials.c.job_id == self._job_id, trials.c.number >= first, trials.c.state == TrialState.RUNNING
        )
        return self._connection.scalars(statement.order_by(trials.c.number)).all()

    def is_running(self, number: int, *, worker: str, attempt: int) -> bool:
        """Tell whether this very attempt of a trial is recorded as running."""
        statement = select(trials.c.number).where(
            trials.c.job_id == self._job_id,
            trials.c.number == number,
            trials.c.state == TrialState.RUNNING,
            trials.c.worker == worker,
            trials.c.attempt == attempt,
        )
        return self._connection.scalar(statement) is not None

    def offered_since(self, first: int) -> Sequence[int]:
        """Return the numbers of trials from `first` on that were put on offer to clients."""
        statement = select(trials.c.number).where(
            trials.c.job_id == self._job_id, trials.c.number >= first, trials.c.lease_token > 0
        )
        return self._connection.scalars(statement.order_by(trials.c.number)).all()

    def is_held(self, number: int, *, token: int) -> bool:
        """Tell whether a client still has the trial under this token, its lease run out or not."""
        statement = select(trials.c.number).where(
            trials.c.job_id == self._job_id,
            trials.c.number == number,
            trials.c.state == TrialState.RUNNING,
            trials.c.lease_token == token,
        )
        return self._connection.scalar(statement) is not None

    def lapsed_trials(self) -> dict[int, int]:
        """Return the running trials whose client has let its lease run out: number → attempt."""
        statement = select(trials.c.number, trials.c.attempt).where(
            trials.c.job_id == self._job_id, trials.c.state == TrialState.RUNNING, trials.c.lease_expires_at <= db_now()
        )
        return {row.number: row.attempt for row in self._connection.execute(statement.order_by(trials.c.number))}
