"""The trials of an external job that have not ended, as its searcher last read them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.spec.budget import Budget
from stepsize_workers.held_job import HeldJob
from stepsize_workers.venues.overdue import Timekeeper


class OpenTrials:
    """Knows which trials wait, which clients have, and which of those are late."""

    def __init__(self, held: HeldJob) -> None:
        self._held = held
        self._trials: dict[int, Trial] = {}
        self.time = Timekeeper()

    def __contains__(self, number: int) -> bool:
        return number in self._trials

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials.values())

    def get(self, number: int) -> Trial | None:
        """Return an open trial as last read, or None."""
        return self._trials.get(number)

    def note(self, trial: Trial) -> None:
        """Take over how an open trial is now."""
        self._trials[trial.number] = trial

    def forget(self, number: int) -> None:
        """Let go of a trial that has ended."""
        self._trials.pop(number, None)
        self.time.forget(number)

    def queued(self) -> list[Trial]:
        """Return the trials that wait, by number."""
        waiting = (trial for trial in self if trial.state is TrialState.QUEUED)
        return sorted(waiting, key=lambda trial: trial.number)

    def running(self) -> list[Trial]:
        """Return the trials that clients have, silent ones included."""
        return [trial for trial in self if trial.state is TrialState.RUNNING]

    def live(self) -> list[Trial]:
        """Return the trials whose client's lease has time left."""
        return [trial for trial in self.running() if self.time.is_live(trial)]

    def lapsed(self) -> list[Trial]:
        """Return the trials whose client has been silent for longer than its lease."""
        return [trial for trial in self.running() if not self.time.is_live(trial)]

    def overdue(self, budget: Budget) -> list[tuple[Trial, TrialReason]]:
        """Return the trials that are to be failed, and why."""
        return [(trial, why) for trial in self.running() if (why := self.time.why_overdue(trial, budget))]

    # -- what the search has not been told ---------------------------------------------------------------------------

    def adopt(self, trials: Iterable[Trial]) -> list[Trial]:
        """Take over the record; return the trials that have ended with reports which were never judged.

        To the search these run on, until it has judged what is in the record already.
        """
        trials = list(trials)
        untold = [trial for trial in trials if self.is_untold(trial)]
        self._trials = {trial.number: trial for trial in trials if not trial.state.is_finished}
        self._trials |= {trial.number: replace(trial, state=TrialState.RUNNING) for trial in untold}
        return untold

    def is_untold(self, trial: Trial) -> bool:
        """Tell whether a trial has ended with reports that were never judged."""
        if not self._held.is_judged or not trial.state.is_finished or trial.step is None:
            return False
        if not self._held.is_searched(trial):
            return False
        return trial.judged_step is None or trial.step > trial.judged_step

    def is_unjudged(self, report: Report) -> bool:
        """Tell whether the search has not been told of a report."""
        trial = self._trials.get(report.number)
        return trial is not None and (trial.judged_step is None or report.step > trial.judged_step)

    def starts_anew(self, trial: Trial) -> bool:
        """Tell whether a trial that the search has reports of is in another attempt now."""
        before = self._trials.get(trial.number)
        if before is None or before.step is None or not self._held.is_judged:
            return False
        return trial.lease_token != before.lease_token
