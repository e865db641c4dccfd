"""Calls about jobs: submit, read, change, control."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from pydantic import JsonValue

from stepsize.client.answers import Answer, Job
from stepsize.client.calls.base import Call, Listing, change, delete, get, of, part, post, several
from stepsize.client.errors import WrongValueError
from stepsize.client.range_tests import RangeTest
from stepsize.spec.hints import hint
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.space import Scalar

Control = Literal["pause", "resume", "stop", "cancel", "retry-failed"]


def submit(spec: JobSpec | Mapping[str, JsonValue], *, idempotency_key: str | None = None) -> Call[Job]:
    """Submit a job and return it.

    Args:
        spec: what to tune; a mapping is sent as it is, so that the service names what is wrong with it.
        idempotency_key: submitting again with the same key returns the first job; null: a fresh one.
    """
    return post(Job, "/jobs", _spec_json(spec), key=idempotency_key)


def dry_run(spec: JobSpec | Mapping[str, JsonValue]) -> Call[dict[str, JsonValue]]:
    """Return what the service would make of a spec (defaults filled in, warnings); nothing is stored."""
    read = of(Answer)
    return Call(
        "POST", "/jobs", lambda response: read(response).model_dump(mode="json"), {"dry_run": "true"}, _spec_json(spec)
    )


def job(job_id: str) -> Call[Job]:
    """Return a job as it is now."""
    return get(Job, f"/jobs/{part(job_id)}")


def jobs(
    *,
    state: str | None = None,
    name: str | None = None,
    label: str | Sequence[str] = (),
    trainer: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> Listing[Job]:
    """Yield jobs, page after page, newest first.

    Args:
        label: `key:value`; of several, jobs that have them all.
        sort: created_at, started_at, finished_at, name, priority or state, with `-` in front for descending.
        limit: stop after this many; null: all.
    """
    query = {"state": state, "name": name, "label": several(label), "trainer": trainer, "sort": sort}
    return Listing("/jobs", Job, query, limit)


def change_job(
    job_id: str,
    *,
    labels: Mapping[str, str] | None = None,
    priority: int | None = None,
    budget: Mapping[str, float | None] | None = None,
) -> Call[Job]:
    """Change a job and return it; what is left out stays.

    Args:
        labels: replace all labels.
        priority: larger goes first.
        budget: limits to raise, such as `{"max_trials": 100}`; a job that ended at one goes on.
    """
    given: dict[str, JsonValue] = {}
    if labels is not None:
        given["labels"] = {**labels}
    if priority is not None:
        given["priority"] = priority
    if budget is not None:
        given["budget"] = {**budget}
    return change(Job, f"/jobs/{part(job_id)}", given)


def delete_job(job_id: str) -> Call[None]:
    """Delete a finished job, its trials and files."""
    return delete(f"/jobs/{part(job_id)}")


def control(job_id: str, action: Control) -> Call[Job]:
    """Pause, resume, stop or cancel a job, or run its failed trials again, and return it; a worker carries it out a
    moment later.

    Raises:
        WrongValueError: there is no such action.
    """
    if action not in get_args(Control):
        raise WrongValueError(f"there is no {action!r}; {hint(action, get_args(Control))}")
    return post(Job, f"/jobs/{part(job_id)}/{action}")


def refit(
    job_id: str, *, params: Mapping[str, Scalar] | None = None, epochs: int | None = None, seeds: int = 1
) -> Call[Job]:
    """Train a configuration on training and validation data, measure it once on test data, and return that job.

    Args:
        params: the configuration, besides what the job fixes; null: its best trial's.
        epochs: steps to train for; null: as many as the job's trials.
        seeds: trainings, each with an initialisation and an order of the data of its own.
    """
    configuration: JsonValue = None if params is None else {**params}
    return post(Job, f"/jobs/{part(job_id)}/refit", {"params": configuration, "epochs": epochs, "seeds": seeds})


def range_test(spec: RangeTestSpec | Mapping[str, JsonValue], *, idempotency_key: str | None = None) -> Call[RangeTest]:
    """Submit a learning-rate range test and return it; `wait(test.job_id)` waits for its sweeps.

    Args:
        spec, idempotency_key: as for `submit`.
    """
    return post(RangeTest, "/range-tests", _spec_json(spec, RangeTestSpec, "range-test"), key=idempotency_key)


def read_range_test(test_id: str) -> Call[RangeTest]:
    """Return a range test as it is now; its results are complete once it has finished."""
    return get(RangeTest, f"/range-tests/{part(test_id)}")


def _spec_json(
    spec: JobSpec | RangeTestSpec | Mapping[str, JsonValue],
    model: type[JobSpec] | type[RangeTestSpec] = JobSpec,
    command: str = "submit",
) -> JsonValue:
    if isinstance(spec, model):
        return spec.model_dump(mode="json")
    if not isinstance(spec, Mapping):
        what = "job" if model is JobSpec else "range test"
        said = f"a {what} is a mapping or a {model.__name__}, not {spec!r}"
        raise TypeError(f"{said}; `stepsize {command} FILE` reads a file")
    return dict(spec)
