"""Which trials clients have had for too long: those they are slow with, silent on, or that were lost too often."""

import time

from stepsize.clock import now
from stepsize.domain.trial import Trial, TrialReason
from stepsize.spec.budget import Budget

WHY_OVERDUE = {
    TrialReason.LOST: "its client was silent for longer than its lease",
    TrialReason.TIMEOUT: "it ran for longer than trial_timeout_s",
    TrialReason.STALLED: "it reported nothing for longer than stall_timeout_s",
}
"""For people."""


class Timekeeper:
    """Keeps time for the trials of one job that run where its clients are."""

    def __init__(self) -> None:
        self._database_ahead_s = 0.0
        self._heard: dict[int, tuple[tuple[int, int | None], float]] = {}
        """Trial number → (token, step) and since when they are so, on the monotonic clock."""
        self._given: dict[int, tuple[int, float]] = {}
        """Trial number → token, and when the trial was given out under it, on the monotonic clock."""

    def set_by(self, database_time_s: float) -> None:
        """Take over the time of the database, whose clock judges leases."""
        self._database_ahead_s = database_time_s - now()

    def forget(self, number: int) -> None:
        """Keep no more time for a trial that has ended."""
        self._heard.pop(number, None)
        self._given.pop(number, None)

    def is_live(self, trial: Trial) -> bool:
        """Tell whether the client's lease has time left, by the database's clock."""
        return (trial.lease_expires_at or 0.0) > now() + self._database_ahead_s

    def why_overdue(self, trial: Trial, budget: Budget) -> TrialReason | None:
        """Return why a running trial is to be failed, or None."""
        if trial.attempt >= budget.max_attempts and not self.is_live(trial):
            return TrialReason.LOST
        if budget.trial_timeout_s is not None and self._running_s(trial) > budget.trial_timeout_s:
            return TrialReason.TIMEOUT
        if budget.stall_timeout_s is not None and self._silent_s(trial) > budget.stall_timeout_s:
            return TrialReason.STALLED
        return None

    def _running_s(self, trial: Trial) -> float:
        """Return for how long a client has had a trial; what was before this worker first saw it, by the wall clock."""
        if self._given.get(trial.number, (None, 0.0))[0] != trial.lease_token:
            before = max(0.0, now() - (trial.started_at or 0.0))
            self._given[trial.number] = (trial.lease_token, time.monotonic() - before)
        return time.monotonic() - self._given[trial.number][1]

    def _silent_s(self, trial: Trial) -> float:
        """Return for how long a trial has reported nothing, as far as this worker can tell."""
        last_word = (trial.lease_token, trial.step)
        if self._heard.get(trial.number, (None, 0.0))[0] != last_word:
            self._heard[trial.number] = (last_word, time.monotonic())
        return time.monotonic() - self._heard[trial.number][1]
