"""What becomes of running trials whose worker is gone: decided by whoever finds them, and once."""

from collections.abc import Iterable

from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.store.columns import ErrorColumn, LossColumns
from stepsize.store.ledger import Ledger

LEAST_LOSSES = 3
"""A trial may take its worker down so many times running, or `max_attempts` times where that is more."""


def settle_orphans(ledger: Ledger, orphans: Iterable[Trial]) -> None:
    """Queue trials again whose worker is gone, but those that a client wants ended or that keep taking workers down.

    An attempt lost with its worker is no fault of the trial's: machines are preempted, and workers updated. But a trial
    under which one worker after the other goes, without a checkpoint saved in between, ends them itself.
    """
    for trial in orphans:
        _settle(ledger, trial)


def _settle(ledger: Ledger, trial: Trial) -> None:
    losses = LossColumns(losses_of_worker=trial.losses_of_worker + 1, losses_in_a_row=trial.losses_in_a_row + 1)
    if trial.cancel_requested:
        reason = TrialReason.USER
        ledger.move_trial(trial.number, TrialState.RUNNING, TrialState.CANCELLED, reason=reason, **losses)
    elif losses["losses_in_a_row"] >= max(LEAST_LOSSES, ledger.job.spec.budget.max_attempts):
        message = (
            f"its worker was lost {losses['losses_in_a_row']} times running under it, with no checkpoint saved in "
            "between: it may take the machine's memory, or what else a worker needs"
        )
        error = ErrorColumn(type="WorkerLost", message=message)
        reason = TrialReason.LOST
        ledger.move_trial(trial.number, TrialState.RUNNING, TrialState.FAILED, reason=reason, error=error, **losses)
    else:
        ledger.requeue_trial(trial.number, checkpoint_step=trial.checkpoint_step, **losses)
