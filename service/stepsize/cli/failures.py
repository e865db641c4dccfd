"""What commands say where something failed: its message, its likely cause, and the command to go on with."""

from collections.abc import Iterable, Sequence
from itertools import islice

from stepsize.cli.printing import say, with_reason
from stepsize.client import Client, Job, Trial

_LOOKED_AT = 50
_TOLD = 3
_CAUSES = {
    "error": "its trainer raised an exception",
    "lost": "its process ended without a word: killed for want of memory, or crashed below Python",
    "timeout": "it took longer than budget.trial_timeout_s",
    "stalled": "it reported nothing for budget.stall_timeout_s",
    "oom": "it needed more memory than there was",
    "diverged": "its loss exploded",
}
"""Why a trial comes to nothing for each reason."""


def troubles(job: Job) -> list[str]:
    """Return what failed a job, or stands in its way, and what to do; nothing for one that goes its way."""
    return [line for line in (job.error, job.advice) if line]


def explain_end(client: Client, job: Job) -> None:
    """Say why a job failed, for which reasons trials of it did, and why none was feasible where none was."""
    for line in troubles(job):
        say(line)
    counts = job.progress.counts
    told = ["failed", *(["infeasible"] if not counts.get("completed") else [])]
    for state in told:
        if not counts.get(state):
            continue
        of_state = islice(client.trials(job.id, state=state, limit=_LOOKED_AT), _LOOKED_AT)
        for trial in _each_once(of_state):
            be = "failed" if state == "failed" else f"is {with_reason(trial.state, trial.reason)}"
            say(f"trial {trial.number} {be}: {said_of(trial)}; see `stepsize log {job.id} {trial.number}`")


def say_where_logs_are(trials: Sequence[Trial]) -> None:
    """Name the command that shows what a failed trial has printed, if there is one."""
    failed = next((trial for trial in trials if trial.state == "failed"), None)
    if failed is not None:
        say(f"`stepsize log {failed.job_id} {failed.number}` shows what trial {failed.number} printed")


def said_of(trial: Trial) -> str:
    """Return what went wrong in a trial: its error's message, or what its reason means."""
    if trial.error is not None:
        return trial.error.line
    return _CAUSES.get(trial.reason or "", trial.reason or "nothing is known of why")


def _each_once(trials: Iterable[Trial]) -> list[Trial]:
    """Return a trial for each way to come to nothing, the commonest troubles being one and the same."""
    by_words = {said_of(trial): trial for trial in trials}
    return list(by_words.values())[:_TOLD]
