"""Telling a study to the service, as a client tells of trials that it has trained itself."""

import math
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from stepsize.client import Client, Job
from stepsize.client.external import SuggestedTrial, process_name
from stepsize.spec.seeds import SeedRule
from stepsize.spec.space import Scalar
from stepsize.studies.past import End, PastStudy, PastTrial, StudyError

_MOST_TRIALS = 10_000
"""That many configurations can be enqueued with a job."""
_AT_ONCE = 16
_LEASE_S = 120.0
_WAIT_S = 20.0
_MOST_REPORTS = 1000
"""In one request."""
_TOLERANCE = 1e-9
"""How far a value may have moved to the nearest step, of its own size."""


def record_study(
    client: Client,
    study: PastStudy,
    *,
    source: str,
    seeds: SeedRule = SeedRule.UNKNOWN,
    told: Callable[[int], None] = lambda n_told: None,
) -> Job:
    """Submit a job, tell it all trials of a study, and return it once it has finished.

    A worker makes the trials, as of any job: there has to be one.

    Args:
        source: the tool the study is from; a label of the job.
        seeds: how its trials came by their training seeds.
        told: called with how many trials are told already.

    Raises:
        StudyError: it is too large, or no worker is there.
        ApiError: the service refused it.
    """
    job = client.submit({**_spec(study, source), "seeds": seeds.value})
    client_id = process_name()
    n_told = 0
    while n_told < len(study.trials):
        found = client.suggest(
            job.id,
            client_id=client_id,
            count=min(_AT_ONCE, len(study.trials) - n_told),
            lease_s=_LEASE_S,
            wait_s=_WAIT_S,
        )
        if not found.trials and found.why_empty != "waiting":
            client.control(job.id, "cancel")
            raise StudyError(f"the job gives no more trials ({found.why_empty}); {_mend(found.why_empty)}")
        for suggested in found.trials:
            _tell(client, job.id, suggested, study)
            n_told += 1
            told(n_told)
    return client.wait(job.id)


def _mend(why_empty: str | None) -> str:
    return "start a worker: `stepsize worker`" if why_empty == "no_worker" else "import the study again"


def _spec(study: PastStudy, source: str) -> dict[str, JsonValue]:
    n_trials = len(study.trials)
    if n_trials > _MOST_TRIALS:
        raise StudyError(f"the study has {n_trials} trials; up to {_MOST_TRIALS} can be brought in")
    return {
        "name": study.name[:200],
        "labels": {"source": source},
        "engine": "external",
        "trainer": {"name": source},
        "search_space": {name: parameter.model_dump(mode="json") for name, parameter in study.search_space.items()},
        "objectives": [objective.model_dump(mode="json") for objective in study.objectives],
        "outcome_constraints": [f"{metric} <= 0" for metric in study.constraints],
        "sampler": {"name": "random", "seed": 0},
        "confirm": False,
        "budget": {"max_trials": n_trials, "max_failed_trials": None},
        "enqueue": [{**trial.params} for trial in study.trials],
    }


def _tell(client: Client, job_id: str, suggested: SuggestedTrial, study: PastStudy) -> None:
    past = study.trials[suggested.number]  # what is enqueued is tried in its order
    if not _are_alike(past.params, suggested.params):
        raise StudyError(f"trial {past.number} came back with other parameters: {suggested.params}")
    number, token = suggested.number, suggested.lease.token
    reports = _reports(past, study)
    for start in range(0, len(reports), _MOST_REPORTS):
        client.report_trial(job_id, number, lease_token=token, reports=reports[start : start + _MOST_REPORTS])
    match past.end:
        case End.COMPLETED:
            client.complete_trial(job_id, number, lease_token=token, values=past.values)
        case End.PRUNED:
            client.complete_trial(job_id, number, lease_token=token, state="pruned")
        case End.DIVERGED:
            client.complete_trial(job_id, number, lease_token=token, state="infeasible", reason="diverged")
        case End.FAILED:
            error = {"type": "Error", "message": f"it failed in the study, as trial {past.number}"}
            client.complete_trial(job_id, number, lease_token=token, state="failed", error=error)


def _reports(past: PastTrial, study: PastStudy) -> list[dict[str, JsonValue]]:
    metric = study.objectives[0].metric
    return [{"step": step, "values": {metric: value}} for step, value in past.reports.items()]


def _are_alike(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> bool:
    return one.keys() == other.keys() and all(_is_alike(value, other[name]) for name, value in one.items())


def _is_alike(one: Scalar, other: Scalar) -> bool:
    if isinstance(one, bool | str) or isinstance(other, bool | str):
        return one == other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
