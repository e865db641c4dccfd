"""Calls about trials: list, read, enqueue, control, and, for those that train elsewhere, ask and tell."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import JsonValue

from stepsize.client.answers import Report, Trial
from stepsize.client.calls.base import (
    Call,
    Listing,
    Query,
    file_path,
    get,
    get_bytes,
    get_text,
    part,
    post,
    say,
    several,
)
from stepsize.client.external import Suggestions, Verdict
from stepsize.spec.provenance import Provenance
from stepsize.spec.space import Scalar


def trials(
    job_id: str,
    *,
    state: str | None = None,
    filters: str | Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
) -> Listing[Trial]:
    """Yield a job's trials, page after page.

    Args:
        filters: a condition such as `params.learning_rate>=1e-3`, or several, AND-ed.
        sort: `number`, `duration_s`, `params.x` or `values.x`, with `-` in front for descending.
        limit: stop after this many; null: all.
    """
    query: Query = {"state": state, "filter": several(filters), "sort": sort}
    return Listing(f"/jobs/{part(job_id)}/trials", Trial, query, limit)


def all_trials(
    *, state: str | None = None, filters: str | Sequence[str] = (), sort: str | None = None, limit: int | None = None
) -> Listing[Trial]:
    """Yield the trials of all jobs, newest first unless sorted; as `trials` otherwise."""
    query: Query = {"state": state, "filter": several(filters), "sort": sort}
    return Listing("/trials", Trial, query, limit)


def trial(job_id: str, number: int) -> Call[Trial]:
    """Return one trial."""
    return get(Trial, _path(job_id, number))


def enqueue(job_id: str, params: Mapping[str, Scalar]) -> Call[Trial]:
    """Enqueue a configuration of your own and return its trial; parameters left out are sampled."""
    return post(Trial, f"/jobs/{part(job_id)}/trials", {"params": {**params}})


def cancel_trial(job_id: str, number: int) -> Call[Trial]:
    """End a trial and return it; a running one is ended by its worker a moment later."""
    return post(Trial, f"{_path(job_id, number)}/cancel")


def retry_trial(job_id: str, number: int) -> Call[Trial]:
    """Run an unsuccessful trial again, from its first step, and return it; a finished job is queued with it."""
    return post(Trial, f"{_path(job_id, number)}/retry")


def reports(job_id: str, number: int) -> Listing[Report]:
    """Yield a trial's reports in order of step."""
    return Listing(f"{_path(job_id, number)}/reports", Report)


def log(job_id: str, number: int, *, tail: int | None = None) -> Call[str]:
    """Return what a trial printed, its traceback included.

    Args:
        tail: only this many of the last lines; null: all that is kept.
    """
    return get_text(f"{_path(job_id, number)}/log", {"tail": tail})


def artifact(job_id: str, number: int, name: str) -> Call[bytes]:
    """Return a file that a trial has left, e.g. `model.safetensors`; `trial(...).artifacts` names them."""
    return get_bytes(f"{_path(job_id, number)}/artifacts/{file_path(name)}")


def suggest(
    job_id: str,
    *,
    client_id: str,
    count: int = 1,
    lease_s: float = 60.0,
    wait_s: float = 0.0,
    restarted: bool = False,
    interrupted: bool = False,
    provenance: Provenance | None = None,
) -> Call[Suggestions]:
    """Ask for trials of an external job to train here; `Client.suggestions` is the comfortable way.

    Args:
        client_id: a name for who asks; under the same name the same open trials come again.
        count: how many trials to have.
        lease_s: seconds of silence after which they may be given to another client.
        wait_s: seconds to wait where there are none yet.
        restarted: the trials it has begin anew: it was started again, and knows nothing of them.
        interrupted: with `restarted`: it was ended on purpose, as by Ctrl-C, which uses up no attempt.
        provenance: what they are trained with; the service keeps it once.
    """
    asked: dict[str, JsonValue] = {"client_id": client_id, "count": count, "lease_s": lease_s, "wait_s": wait_s}
    asked |= {"restarted": True} if restarted else {}
    asked |= {"interrupted": True} if interrupted else {}
    asked |= {} if provenance is None else {"provenance": provenance.model_dump(mode="json")}
    return say(Suggestions, f"/jobs/{part(job_id)}/suggestions", asked)


def report_trial(
    job_id: str,
    number: int,
    *,
    lease_token: int,
    reports: Sequence[Mapping[str, JsonValue]] = (),
    wait_s: float = 0.0,
) -> Call[Verdict]:
    """Report on a trial that trains here, renew its lease, and return whether to stop.

    Args:
        lease_token: as the suggestion came with it.
        reports: each `{"step": 1, "values": {"val_loss": 0.4}}`; none only renews.
        wait_s: seconds to wait for a verdict that covers these reports; else it may be one report late.
    """
    said: JsonValue = {"lease_token": lease_token, "reports": [dict(one) for one in reports], "wait_s": wait_s}
    return say(Verdict, f"{_path(job_id, number)}/reports", said)


def complete_trial(
    job_id: str,
    number: int,
    *,
    lease_token: int,
    values: Mapping[str, float] | None = None,
    state: Literal["infeasible", "pruned", "failed"] | None = None,
    reason: Literal["diverged", "oom"] | None = None,
    error: Mapping[str, str] | None = None,
) -> Call[Trial]:
    """Tell how a trial that trains here has ended, and return it.

    Args:
        lease_token: as the suggestion came with it.
        values: metric → number; every objective's.
        state: how it ended, where not well; then there are no values.
        reason: why it is infeasible.
        error: what failed: its type and message.
    """
    told: dict[str, JsonValue] = {"lease_token": lease_token}
    told |= {} if values is None else {"values": {**values}}
    told |= {} if state is None else {"state": state}
    told |= {} if reason is None else {"reason": reason}
    told |= {} if error is None else {"error": {**error}}
    return say(Trial, f"{_path(job_id, number)}/complete", told)


def _path(job_id: str, number: int) -> str:
    return f"/jobs/{part(job_id)}/trials/{number}"
