"""Which trials of an external job clients may be given: put on offer, taken back, and failed when overdue."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum, auto

from stepsize.domain.job import Desired, JobState
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.store.columns import ErrorColumn, TrialColumns
from stepsize.store.ledger import Ledger, NewTrial
from stepsize_workers.held_job import HeldJob
from stepsize_workers.tuner import Draft, Tuner
from stepsize_workers.venues.open_trials import OpenTrials
from stepsize_workers.venues.overdue import WHY_OVERDUE

_BACK_SOON_S = 2.0
"""A client that has ended a trial is expected to ask again within this time."""
_THINK_S = 0.15
"""What has been thought of by then is put on offer: clients wait, and what others have found meanwhile is learned."""


class Offered(Enum):
    """What came of putting trials on offer."""

    NOTHING = auto()
    SOME = auto()
    BEFORE = auto()
    """A first try has recorded some although its answer was lost: the search is to be rebuilt from the record."""


class Suggestions:
    """Keeps what clients may be given in line with what the job still wants; the open trials are only read here."""

    def __init__(self, held: HeldJob, tuner: Tuner, open_trials: OpenTrials) -> None:
        self._held = held
        self._tuner = tuner
        self._open = open_trials
        self._ended_at: dict[str, float] = {}
        """Client → when it has ended a trial, on this process's clock."""

    def end_overdue(self) -> bool:
        """Fail trials that take too long, are silent for too long, or were lost by as many clients as may try.

        Returns:
            Whether there were any.
        """
        overdue = self._open.overdue(self._held.spec.budget)

        def fail(ledger: Ledger) -> None:
            lapsed = ledger.under_way.lapsed_trials()
            for trial, reason in overdue:
                if not ledger.under_way.is_held(trial.number, token=trial.lease_token):
                    continue
                if reason is TrialReason.LOST and trial.number not in lapsed:
                    continue
                error = ErrorColumn(type="TrialOverdue", message=f"{WHY_OVERDUE[reason]} in attempt {trial.attempt}")
                ledger.move_trial(trial.number, TrialState.RUNNING, TrialState.FAILED, reason=reason, error=error)

        if overdue:
            self._held.transact(fail)
        return bool(overdue)

    def withdraw(self) -> bool:
        """Once no new trial is to start, take back what is on offer, and what no client is going to finish.

        Returns:
            Whether there was anything to take back.
        """
        desired, is_closing = self._held.job.desired, self._tuner.is_closing()
        if desired is not Desired.STOP and not (desired is Desired.RUN and is_closing):
            return False
        queued = self._open.queued()
        startable = {trial.number for trial in self._tuner.startable(queued)}
        unwanted = [trial.number for trial in queued if is_closing and trial.number not in startable]
        lapsed = [trial.number for trial in self._open.lapsed()]
        if not unwanted and not lapsed:
            return False
        reason = TrialReason.USER if desired is Desired.STOP else None

        def take_back(ledger: Ledger) -> None:
            cancel_trials(ledger, TrialState.QUEUED, unwanted, reason)
            lapsed_now = ledger.under_way.lapsed_trials()
            cancel_trials(ledger, TrialState.RUNNING, [n for n in lapsed if n in lapsed_now], reason)

        self._held.transact(take_back)
        return True

    def offer(self) -> Offered:
        """Keep suggestions ready: one for each client that has a trial or has just ended one, within the budget."""
        if self._held.job.desired is not Desired.RUN or self._held.job.state is not JobState.RUNNING:
            return Offered.NOTHING
        startable = self._tuner.startable(self._open.queued())
        on_offer = sum(trial.lease_token > 0 for trial in startable)
        waiting = [trial for trial in startable if not trial.lease_token]
        drafts = self._tuner.next_drafts(waiting, self._n_wanted(on_offer), within_s=_THINK_S)
        if not drafts:
            return Offered.NOTHING
        recorded = self._held.transact(lambda ledger: self._record(ledger, drafts))
        if recorded is None:
            return Offered.BEFORE
        self._tuner.settle_drafts(drafts, recorded)
        return Offered.SOME

    def saw_end(self, trial: Trial) -> None:
        """Note that a client has ended a trial: it is likely to ask for another."""
        if trial.worker is not None:
            self._ended_at[trial.worker] = time.monotonic()

    def _n_wanted(self, on_offer: int) -> int:
        """Return how many more trials are to be put on offer."""
        live = self._open.live()
        since = time.monotonic() - _BACK_SOON_S
        self._ended_at = {client: at for client, at in self._ended_at.items() if at > since}
        n_asking = len(self._ended_at.keys() - {trial.worker for trial in live})
        wanted = max(max(1, len(live) + n_asking) - on_offer, self._held.job.n_asking)
        parallel = self._held.spec.budget.max_parallel_trials
        return wanted if parallel is None else min(wanted, parallel - len(live) - on_offer)

    def _record(self, ledger: Ledger, drafts: Sequence[Draft]) -> list[tuple[int, Draft]] | None:
        """Put trials on offer in the record and return those that are; None: a first try has."""
        n_known = self._held.job.n_trials
        if ledger.job.n_trials > n_known and ledger.under_way.offered_since(n_known):
            return None
        offered: list[tuple[int, Draft]] = []
        fresh: list[NewTrial] = []
        for draft in drafts:
            proposal, queued = draft.proposal, draft.queued
            if queued is None:
                number = ledger.job.n_trials + len(fresh)
                fresh.append(replace(self._tuner.new_trial(draft, number, TrialState.QUEUED), on_offer=True))
            else:
                number = queued.number
                columns = TrialColumns(
                    params=proposal.params, cell=proposal.cell, study_attrs=dict(proposal.study_attrs)
                )
                if not ledger.offer_trial(number, **columns):
                    continue  # cancelled since it was read
            offered.append((number, draft))
        ledger.insert_trials(fresh)
        if ledger.job.n_asking:
            ledger.note_asking(max(0, ledger.job.n_asking - len(offered)))
        return offered


def cancel_trials(ledger: Ledger, have: TrialState, numbers: Iterable[int], reason: TrialReason | None) -> None:
    """Cancel trials that are still in a state."""
    for number in numbers:
        ledger.move_trial(number, have, TrialState.CANCELLED, reason=reason)
