"""Ask and tell: what clients send and are sent."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints

from stepsize.api.schemas import Answer, Time, TrialOut
from stepsize.application.suggestions import Asking, Ending, Measurement, Suggestions, Verdict, WhyEmpty
from stepsize.clock import rfc3339
from stepsize.domain.job import JobState
from stepsize.domain.said import (
    LARGEST,
    LARGEST_STEP,
    LONGEST_MESSAGE,
    LONGEST_NAME,
    MOST_METRICS,
    as_number,
    is_finite,
)
from stepsize.domain.trial import Trial, TrialError, TrialReason, TrialState
from stepsize.spec.base import Spec
from stepsize.spec.provenance import Provenance

MAX_WAIT_S = 60.0


def _read_number(value: object) -> object:
    try:
        return as_number("this", value) if isinstance(value, str) else value
    except TypeError as error:
        raise ValueError(str(error)) from error


def _check_finite(value: float) -> float:
    if not is_finite(value):
        raise ValueError(
            "only finite numbers enter a search; end a trial that diverged with …/complete: "
            '{"state": "infeasible", "reason": "diverged"}'
        )
    return value


Finite = Annotated[float, Field(allow_inf_nan=True), BeforeValidator(_read_number), AfterValidator(_check_finite)]
MetricName = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]
Values = Annotated[dict[MetricName, Finite], Field(max_length=MOST_METRICS)]
WaitS = Annotated[float, Field(ge=0, le=MAX_WAIT_S)]
LeaseToken = Annotated[int, Field(ge=1)]


class SuggestionRequest(Spec):
    """Who asks, and for how much."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"client_id": "gpu-7", "count": 1, "lease_s": 60, "wait_s": 10}]}
    )

    client_id: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,64}$")]
    """A name of your own, one for each process that trains; asking again by it returns the trials it has."""
    count: int = Field(default=1, ge=1, le=100)
    """Trials to have at once, those it has already included."""
    lease_s: float = Field(default=60, ge=1, le=86_400)
    """Seconds between two signs of life after which a trial may be given to another client."""
    wait_s: WaitS = 0
    """Seconds to wait where nothing is ready."""
    provenance: Provenance | None = None
    """What it trains with: code, packages, machine. Kept once, and named by the trials given out."""
    restarted: bool = False
    """The client has been started anew and knows nothing of the trials it has: they are given out once more, as if its
    lease had run out (`attempt` + 1, a higher token, from the first step). After `max_attempts` they are `failed`,
    `lost`."""
    interrupted: bool = False
    """With `restarted`: it was ended on purpose, as by Ctrl-C. That uses up no attempt."""

    def asking(self) -> Asking:
        """Return what is asked for."""
        return Asking(self.client_id, self.count, self.lease_s, self.provenance, self.restarted, self.interrupted)


class Leased(Spec):
    """What only the client that has a trial may say."""

    lease_token: LeaseToken
    """`lease.token`, as the suggestion came with it."""


class ReportIn(Spec):
    """One measurement."""

    step: int = Field(ge=0, le=LARGEST_STEP)
    """In units of your own (an epoch, a number of samples), the same for all trials of a job."""
    values: Values
    elapsed_s: Annotated[float, Field(ge=0, lt=LARGEST)] | None = None
    """Seconds since the attempt began; null: as the service sees it."""


class ReportsRequest(Leased):
    """Measurements of a trial, none to only renew its lease."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"lease_token": 2, "reports": [{"step": 1, "values": {"val_loss": 0.4}, "elapsed_s": 1.2}]}]
        }
    )

    reports: list[ReportIn] = Field(max_length=1000)
    wait_s: WaitS = 0
    """Seconds to wait for the verdict on these very reports; 0: the verdict on what came before."""

    def measurements(self) -> list[Measurement]:
        """Return what was measured."""
        return [Measurement(report.step, report.values, report.elapsed_s) for report in self.reports]


class TrialErrorIn(Spec):
    """What went wrong, for people."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)] = "Error"
    message: Annotated[str, StringConstraints(max_length=LONGEST_MESSAGE)]


_IMPLIED: Mapping[str, str] = MappingProxyType({"failed": "error", "pruned": "pruner"})
"""How a trial ended → why, where nothing is said."""


class CompletionRequest(Leased):
    """How a trial ended: its values; or that it could not be trained, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"lease_token": 2, "values": {"val_loss": 0.3}},
                {"lease_token": 2, "state": "infeasible", "reason": "oom"},
            ]
        }
    )

    state: Literal["completed", "infeasible", "pruned", "failed"] = "completed"
    """`infeasible`: this configuration can't be trained, and the search learns to avoid its like; `pruned`: a rule of
    yours has ended it as hopeless; `failed`: something else went wrong, and the search learns nothing."""
    reason: Literal["diverged", "oom", "error", "timeout", "stalled"] | None = None
    """Infeasible: diverged or oom. Failed: error (the default), timeout or stalled."""
    values: Values = Field(default_factory=dict)
    """Final metrics; every objective's if it completed."""
    error: TrialErrorIn | None = None

    def ending(self) -> Ending:
        """Return how the trial ended."""
        reason = self.reason or _IMPLIED.get(self.state)
        error = None if self.error is None else TrialError(self.error.type, self.error.message)
        why = None if reason is None else TrialReason(reason)
        return Ending(TrialState(self.state), why, self.values, error)


class LeaseOut(Answer):
    """The right to speak for a trial."""

    token: int
    """Goes into every report and the completion; it rises each time the trial is given out."""
    expires_at: Time
    """From then on the trial may be given to another client; until it is, the token is still good."""


class SuggestionOut(TrialOut):
    """A trial to run, and the lease on it."""

    lease: LeaseOut

    @classmethod
    def of(cls, trial: Trial) -> Self:
        assert trial.lease_expires_at is not None, "a trial that a client has is leased"
        lease = LeaseOut(token=trial.lease_token, expires_at=rfc3339(trial.lease_expires_at))
        return cls(**dict(TrialOut.of(trial)), lease=lease)


class SuggestionsOut(Answer):
    """The trials a client has now."""

    trials: list[SuggestionOut]
    why_empty: WhyEmpty | None
    """Null if there are trials. `waiting`: ask again, the next one is not ready or `max_parallel_trials` run;
    `no_worker`: nobody alive can make one; `budget`: all are given out, though one that is lost will be again;
    `paused`; `finished`: there will be none."""
    job_state: JobState

    @classmethod
    def of(cls, suggestions: Suggestions) -> Self:
        return cls(
            trials=[SuggestionOut.of(trial) for trial in suggestions.trials],
            why_empty=suggestions.why_empty,
            job_state=suggestions.job_state,
        )


class VerdictOut(Answer):
    """Whether to go on."""

    should_stop: bool
    reason: TrialReason | None
    """Why to stop: `pruner`, `user`, `timeout`, `stalled`; null where the trial has been completed."""
    lease_expires_at: Time | None
    """Null once the trial has ended."""

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        expires_at = verdict.lease_expires_at
        return cls(
            should_stop=verdict.should_stop,
            reason=verdict.reason,
            lease_expires_at=None if expires_at is None else rfc3339(expires_at),
        )
