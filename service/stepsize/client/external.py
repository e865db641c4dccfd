"""Trials that run where the client is: asked for, reported on, and told."""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from pydantic import AwareDatetime, JsonValue

from stepsize.client.answers import Answer, Problem, Trial
from stepsize.client.errors import ApiError
from stepsize.spec.space import Scalar

Tell = Callable[[str, Mapping[str, JsonValue]], JsonValue]
"""Posts a body to a path of the job and returns the answer; what it says may be said twice."""

_LEASE_LOST = "urn:stepsize:lease-lost"
_STATE_CONFLICT = "urn:stepsize:state-conflict"


class Lease(Answer):
    token: int
    expires_at: AwareDatetime


class SuggestedTrial(Trial):
    """A trial as it comes with a suggestion."""

    lease: Lease


class Suggestions(Answer):
    """The trials a client has; if none, why, and the state of the job."""

    trials: list[SuggestedTrial]
    why_empty: str | None = None
    job_state: str


class Verdict(Answer):
    should_stop: bool
    reason: str | None = None


class ExternalTrial:
    """A trial to train here. Report as often as you like; then say how it ended."""

    def __init__(self, trial: SuggestedTrial, tell: Tell) -> None:
        self.number = trial.number
        self.params: dict[str, Scalar] = trial.params
        self.seed = trial.seed
        """For everything random in the training."""
        self.attempt = trial.attempt
        """Counts from 1; higher where another client had the trial and was lost."""
        self.stop_reason: str | None = None
        """Why to stop, once `report` has said so: pruner, user, timeout, stalled or lease-lost."""
        self._token = trial.lease.token
        self._tell = tell

    def report(
        self, step: int, values: Mapping[str, float], *, elapsed_s: float | None = None, wait_s: float = 0.0
    ) -> bool:
        """Report a measurement, renew the lease, and return whether to stop.

        Args:
            wait_s: seconds to wait for a verdict that covers this report; else it may be one report late.
        """
        report: JsonValue = {"step": step, "values": {**values}, "elapsed_s": elapsed_s}
        return self._say({"reports": [report], "wait_s": wait_s})

    def renew(self) -> bool:
        """Renew the lease where there is nothing to report, and return whether to stop."""
        return self._say({"reports": []})

    def complete(self, values: Mapping[str, float]) -> bool:
        """Say that the trial ended with these values; every objective's must be among them.

        Returns:
            Whether that counts. It does not if the trial was pruned or cancelled meanwhile, breaks an outcome
            constraint, or was given to another client after this one had been silent for longer than its lease.
        """
        return self._end({"values": {**values}}) == "completed"

    def infeasible(self, reason: Literal["diverged", "oom"]) -> None:
        """Say that this configuration can't be trained: the search learns to avoid its like."""
        self._end({"state": "infeasible", "reason": reason})

    def prune(self) -> None:
        """Say that a rule of yours has ended it as hopeless; the search learns how far it came."""
        self._end({"state": "pruned"})

    def fail(self, error: Exception | str) -> None:
        """Say that something went wrong which says nothing about the configuration."""
        kind = type(error).__name__ if isinstance(error, Exception) else "Error"
        self._end({"state": "failed", "error": {"type": kind, "message": str(error)[:2000]}})

    def _say(self, said: Mapping[str, JsonValue]) -> bool:
        try:
            verdict = Verdict.model_validate(self._tell(self._path("reports"), {"lease_token": self._token, **said}))
        except ApiError as error:
            if error.problem.type != _LEASE_LOST:
                raise
            verdict = Verdict(should_stop=True, reason="lease-lost")
        self.stop_reason = verdict.reason if verdict.should_stop else None
        return verdict.should_stop

    def _end(self, told: Mapping[str, JsonValue]) -> str | None:
        """Return the state the trial is in now; None: it is another client's, or was ended by someone else."""
        try:
            answer = self._tell(self._path("complete"), {"lease_token": self._token, **told})
        except ApiError as error:
            if not _is_settled_elsewhere(error.problem):
                raise
            return None
        return Trial.model_validate(answer).state

    def _path(self, verb: str) -> str:
        return f"/trials/{self.number}/{verb}"


def suggestions(tell: Tell, *, client_id: str, lease_s: float, wait_s: float) -> Iterator[ExternalTrial]:
    """Yield trials until there will be no more; see `Client.suggestions`."""
    asked: dict[str, JsonValue] = {"client_id": client_id, "lease_s": lease_s, "wait_s": wait_s}
    while True:
        found = Suggestions.model_validate(tell("/suggestions", asked))
        for trial in found.trials:
            yield ExternalTrial(trial, tell)
        if found.why_empty == "finished":
            return


def _is_settled_elsewhere(problem: Problem) -> bool:
    """Tell whether what was told came too late, not wrong."""
    if problem.type == _LEASE_LOST:
        return True
    return problem.type == _STATE_CONFLICT and (problem.model_extra or {}).get("state") in ("cancelled", "failed")
