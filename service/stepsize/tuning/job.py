"""The job behind a tuned function: submitted the first time, gone on with ever after."""

import json
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from stepsize.client.answers import Job
from stepsize.client.http import Client
from stepsize.spec.wording import counted
from stepsize.tuning.errors import NameTakenError, TuneError
from stepsize.tuning.seat import alone
from stepsize.tuning.training import say

_LABEL = ("started_by", "stepsize.tune")
_ONE_SEARCH = (
    "search_space",
    "objectives",
    "parameter_constraints",
    "outcome_constraints",
    "sampler",
    "pruner",
    "seeds",
)
"""What makes two specs the same search. Budgets and labels may change as one goes on."""


def open_job(client: Client, name: str, fields: Mapping[str, JsonValue]) -> Job:
    """Return the job of this name, submitted now if there is none.

    One that has failed has its failed trials tried again; a larger `max_trials` lets one that has completed go on.

    Args:
        fields: of its spec.

    Raises:
        ApiError: the service refuses the spec; the message names each wrong field.
        NameTakenError: there is one that searches something else.
        TuneError: it was cancelled.
    """
    key, label = _LABEL
    labels = fields.get("labels")
    spec = {**fields, "name": name, "labels": {**(labels if isinstance(labels, dict) else {}), key: label}}
    with alone(name):  # two that begin at once are to find one job
        found = next(iter(client.jobs(name=name, label=f"{key}:{label}", limit=1)), None)
        if found is None:
            return client.submit(spec)
        return _go_on(client, client.job(found.id), spec)


def _go_on(client: Client, job: Job, spec: Mapping[str, JsonValue]) -> Job:
    wanted = client.dry_run(spec)["spec"]
    assert isinstance(wanted, dict), "a spec is an object"
    if differences := list(_differences(job.spec, wanted, has_seed=_has_seed(spec))):
        raise NameTakenError(job.name, job.id, differences)
    if job.state == "cancelled":
        raise TuneError(
            f"job {job.id} of the name {job.name!r} was cancelled; give another name=, or forget it: "
            f"stepsize delete {job.id}"
        )
    if job.is_lost:
        say(f"job {job.id} had failed; {counted(job.progress.counts['failed'], 'failed trial')} will be tried again")
        job = client.control(job.id, "retry-failed")
    before, most = _max_trials(job.spec), _max_trials(wanted)
    if most > before:
        job = client.change_job(job.id, budget={"max_trials": most})
    if not job.is_finished:
        say(f"going on with job {job.id}, {job.progress.n_finished} of {counted(max(before, most), 'trial')} done")
    return job


def _has_seed(spec: Mapping[str, JsonValue]) -> bool:
    sampler = spec.get("sampler")
    return isinstance(sampler, dict) and sampler.get("seed") is not None


def _max_trials(spec: Mapping[str, JsonValue]) -> int:
    budget = spec["budget"]
    assert isinstance(budget, dict), "resolved specs have it"
    most = budget["max_trials"]
    assert isinstance(most, int), "resolved specs have it"
    return most


def _differences(was: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue], *, has_seed: bool) -> Iterator[str]:
    for field in _ONE_SEARCH:
        mine, theirs = wanted.get(field), was.get(field)
        if field == "sampler" and not has_seed and isinstance(mine, dict) and isinstance(theirs, dict):
            mine, theirs = {**mine, "seed": None}, {**theirs, "seed": None}  # drawn where none is given
        yield from _unlike(field, theirs, mine)


def _unlike(path: str, was: JsonValue, wanted: JsonValue) -> Iterator[str]:
    if was == wanted:
        return
    if path == "search_space" and isinstance(was, dict) and isinstance(wanted, dict):
        for name in dict.fromkeys([*was, *wanted]):
            yield from _unlike(f"{path}.{name}", was.get(name), wanted.get(name))
        if was.keys() == wanted.keys() and all(was[name] == wanted[name] for name in was):
            yield "search_space: the same parameters in another order"
        return
    yield f"{path}: was {_brief(was)}, now {_brief(wanted)}"


def _brief(value: JsonValue) -> str:
    if value is None:
        return "not there"
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if each is not None and each is not False}
    return json.dumps(value, ensure_ascii=False)
