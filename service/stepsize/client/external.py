"""Trials that run where the client is: asked for, reported on, and told."""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, JsonValue

from stepsize.client.answers import Answer, Problem, Trial
from stepsize.client.calls.base import Call
from stepsize.client.errors import ApiError
from stepsize.spec.space import Scalar

Tell = Callable[[str, Mapping[str, JsonValue]], JsonValue]
"""Posts a body to a path of the job and returns the answer; what it says may be said twice."""

TellLater = Callable[[str, Mapping[str, JsonValue]], Awaitable[JsonValue]]
"""The same, awaited."""
Infeasible = Literal["diverged", "oom"]

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


class _Held:
    """A trial that a client has, and what is said of it; the two below differ in how they say it."""

    def __init__(self, trial: SuggestedTrial) -> None:
        self.number = trial.number
        self.params: dict[str, Scalar] = trial.params
        self.seed = trial.seed
        """For everything random in the training."""
        self.attempt = trial.attempt
        """Counts from 1; higher where another client had the trial and was lost."""
        self.stop_reason: str | None = None
        """Why to stop, once `report` has said so: pruner, user, timeout, stalled or lease-lost."""
        self._token = trial.lease.token

    def _path(self, verb: str) -> str:
        return f"/trials/{self.number}/{verb}"

    def _with_token(self, said: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return {"lease_token": self._token, **said}

    def _heed(self, answer: JsonValue | ApiError) -> bool:
        """Return whether to stop."""
        if isinstance(answer, ApiError):
            if answer.problem.type != _LEASE_LOST:
                raise answer
            verdict = Verdict(should_stop=True, reason="lease-lost")
        else:
            verdict = Verdict.model_validate(answer)
        self.stop_reason = verdict.reason if verdict.should_stop else None
        return verdict.should_stop


class ExternalTrial(_Held):
    """A trial to train here. Report as often as you like; then say how it ended."""

    def __init__(self, trial: SuggestedTrial, tell: Tell) -> None:
        super().__init__(trial)
        self._tell = tell

    def report(
        self, step: int, values: Mapping[str, float], *, elapsed_s: float | None = None, wait_s: float = 0.0
    ) -> bool:
        """Report a measurement, renew the lease, and return whether to stop.

        Args:
            wait_s: seconds to wait for a verdict that covers this report; else it may be one report late.
        """
        return self._say(_reported(step, values, elapsed_s, wait_s))

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

    def infeasible(self, reason: Infeasible) -> None:
        """Say that this configuration can't be trained: the search learns to avoid its like."""
        self._end(_ended_infeasible(reason))

    def fail(self, error: Exception | str) -> None:
        """Say that something went wrong which says nothing about the configuration."""
        self._end(_failed(error))

    def _say(self, said: Mapping[str, JsonValue]) -> bool:
        try:
            return self._heed(self._tell(self._path("reports"), self._with_token(said)))
        except ApiError as error:
            return self._heed(error)

    def _end(self, told: Mapping[str, JsonValue]) -> str | None:
        try:
            return _state_in(self._tell(self._path("complete"), self._with_token(told)))
        except ApiError as error:
            return _state_in(error)


class AsyncExternalTrial(_Held):
    """As `ExternalTrial`, but what it does is awaited."""

    def __init__(self, trial: SuggestedTrial, tell: TellLater) -> None:
        super().__init__(trial)
        self._tell = tell

    async def report(
        self, step: int, values: Mapping[str, float], *, elapsed_s: float | None = None, wait_s: float = 0.0
    ) -> bool:
        """Report a measurement; see `ExternalTrial.report`."""
        return await self._say(_reported(step, values, elapsed_s, wait_s))

    async def renew(self) -> bool:
        """Renew the lease where there is nothing to report, and return whether to stop."""
        return await self._say({"reports": []})

    async def complete(self, values: Mapping[str, float]) -> bool:
        """Say that the trial ended with these values; see `ExternalTrial.complete`."""
        return await self._end({"values": {**values}}) == "completed"

    async def infeasible(self, reason: Infeasible) -> None:
        """Say that this configuration can't be trained: the search learns to avoid its like."""
        await self._end(_ended_infeasible(reason))

    async def fail(self, error: Exception | str) -> None:
        """Say that something went wrong which says nothing about the configuration."""
        await self._end(_failed(error))

    async def _say(self, said: Mapping[str, JsonValue]) -> bool:
        try:
            return self._heed(await self._tell(self._path("reports"), self._with_token(said)))
        except ApiError as error:
            return self._heed(error)

    async def _end(self, told: Mapping[str, JsonValue]) -> str | None:
        try:
            return _state_in(await self._tell(self._path("complete"), self._with_token(told)))
        except ApiError as error:
            return _state_in(error)


def _reported(step: int, values: Mapping[str, float], elapsed_s: float | None, wait_s: float) -> dict[str, JsonValue]:
    report: JsonValue = {"step": step, "values": {**values}, "elapsed_s": elapsed_s}
    return {"reports": [report], "wait_s": wait_s}


def _ended_infeasible(reason: Infeasible) -> dict[str, JsonValue]:
    return {"state": "infeasible", "reason": reason}


def _failed(error: Exception | str) -> dict[str, JsonValue]:
    kind = type(error).__name__ if isinstance(error, Exception) else "Error"
    return {"state": "failed", "error": {"type": kind, "message": str(error)[:2000]}}


def _state_in(answer: JsonValue | ApiError) -> str | None:
    """Return the state a trial is in now; None: it is another client's, or was ended by someone else."""
    if isinstance(answer, ApiError):
        if not _is_settled_elsewhere(answer.problem):
            raise answer
        return None
    return Trial.model_validate(answer).state


def suggestions(tell: Tell, *, client_id: str, lease_s: float, wait_s: float) -> Iterator[ExternalTrial]:
    """Yield trials until there will be no more; see `Client.suggestions`."""
    asked: dict[str, JsonValue] = {"client_id": client_id, "lease_s": lease_s, "wait_s": wait_s}
    while True:
        found = Suggestions.model_validate(tell("/suggestions", asked))
        for trial in found.trials:
            yield ExternalTrial(trial, tell)
        if found.why_empty == "finished":
            return


async def suggestions_later(
    tell: TellLater, *, client_id: str, lease_s: float, wait_s: float
) -> AsyncIterator[AsyncExternalTrial]:
    """Yield trials until there will be no more; see `AsyncClient.suggestions`."""
    asked: dict[str, JsonValue] = {"client_id": client_id, "lease_s": lease_s, "wait_s": wait_s}
    while True:
        found = Suggestions.model_validate(await tell("/suggestions", asked))
        for trial in found.trials:
            yield AsyncExternalTrial(trial, tell)
        if found.why_empty == "finished":
            return


def _is_settled_elsewhere(problem: Problem) -> bool:
    """Tell whether what was told came too late, not wrong."""
    if problem.type == _LEASE_LOST:
        return True
    return problem.type == _STATE_CONFLICT and (problem.model_extra or {}).get("state") in ("cancelled", "failed")


def tell_call(job_id: str, path: str, body: Mapping[str, JsonValue]) -> Call[JsonValue]:
    """Return what a trial says as a call."""
    return Call("POST", f"/jobs/{job_id}{path}", lambda response: response.json(), body=dict(body))


def process_name() -> str:
    """Return a name that no other process has, for logs to recognise this one by."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid4().hex[:8]}"
