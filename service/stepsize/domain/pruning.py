"""What is said of a job whose pruner has nothing to judge: its trials report too seldom, or not far enough."""

from collections.abc import Iterable

from stepsize.spec.pruners import PrunerBase

NEVER = "never stops a trial"
"""What a warning says of a pruner that can be seen at submission to have nothing to judge."""
N_TRIALS = 5
"""Completed trials after which their reports are looked at."""


def why_idle(pruner: PrunerBase, metric: str, steps: Iterable[int]) -> str | None:
    """Return a sentence for the job's warnings where the first trials left a pruner nothing to judge, or None.

    What compares takes a step for a trial's last one, where nothing is left to save, until another trial goes beyond.

    Args:
        steps: at which the trials so far have reported the metric that it judges by.
    """
    first = pruner.first_step if pruner.first_step > 1 else 0  # a trainer may count from 0
    highest: int | None = None
    judged: set[int] = set()
    for step in steps:
        highest = step if highest is None else max(highest, step)
        judged |= {step} if step >= first else set()
        if judged and (len(judged) > 1 or not pruner.compares):
            return None
    head = f"{pruner.name} may never stop a trial:"
    if highest is None:
        return f"{head} the first {N_TRIALS} to complete reported no {metric} before their end"
    if highest < first:
        verdict = f"its first verdict is at step {pruner.first_step}"
        return f"{head} {verdict}, and the first {N_TRIALS} to complete reported {metric} up to step {highest}"
    at = f"reported {metric} at step {highest} alone"
    return f"{head} the first {N_TRIALS} to complete {at}, and a pruner needs reports before a trial's end"
