"""Models that a job starts from: what an earlier job's trial saved, found and written into the spec at submission."""

from stepsize.application.catalogue import load_catalogue
from stepsize.application.pointers import pointer
from stepsize.application.results import best
from stepsize.application.trials import read_trial
from stepsize.domain.trial import Trial
from stepsize.errors import FieldError, InvalidRequestError, NotFoundError, StateConflictError
from stepsize.spec.job import JobSpec
from stepsize.store.database import Connection

_MODEL_FILE = "model.safetensors"


def settle_starts(connection: Connection, spec: JobSpec, *, lease_s: float) -> JobSpec:
    """Return a spec whose saved models are named by job and trial, and are there.

    Raises:
        InvalidRequestError: names each that is not.
    """
    named = {} if spec.trains_elsewhere else _named(connection, spec, lease_s=lease_s)
    errors, found = [], {}
    for name, which in named.items():
        try:
            trial = _find(connection, which)
        except (NotFoundError, StateConflictError) as error:
            errors.append(FieldError(pointer("trainer", "params", name), str(error)))
            continue
        found[name] = f"{trial.job_id}/{trial.number}"
        if _MODEL_FILE not in trial.artifacts:
            message = f"trial {found[name]} has no {_MODEL_FILE}; a job keeps the models of its best three trials"
            errors.append(FieldError(pointer("trainer", "params", name), message))
    if errors:
        raise InvalidRequestError(errors)
    trainer = spec.trainer.model_copy(update={"params": {**spec.trainer.params, **found}})
    return spec.model_copy(update={"trainer": trainer}) if found else spec


def _named(connection: Connection, spec: JobSpec, *, lease_s: float) -> dict[str, str]:
    """Return the saved models that a spec names, by parameter; whatever else is wrong with it is said elsewhere."""
    card = load_catalogue(connection, lease_s=lease_s).find_meant(spec.trainer.name, spec.trainer.version)[0]
    return {
        name: value
        for name, schema in card.params_schema.get("properties", {}).items()
        if schema.get("x-saved-model") and isinstance(value := spec.trainer.params.get(name), str) and value
    }


def _find(connection: Connection, which: str) -> Trial:
    """Return the trial, or a job's best one.

    Raises:
        NotFoundError: no such job or trial.
        StateConflictError: the job has no single best trial, or none has completed.
    """
    job_id, _, number = which.partition("/")
    if number:
        return read_trial(connection, job_id, int(number))
    found = best(connection, job_id, n=1)
    if not found:
        raise StateConflictError(f"no trial of job {job_id!r} has completed", state="queued")
    return found[0].trial
