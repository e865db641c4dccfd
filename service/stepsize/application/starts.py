"""Models that a job starts from: what an earlier job's trial saved, found and written into the spec at submission.

A parameter that takes one is marked `x-saved-model` in the trainer's card: `same` are the parameters that must be as
they were for the saved model, `needed_by` the values of others that make no sense without one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stepsize.application.catalogue import load_catalogue
from stepsize.application.parameters import Choice
from stepsize.application.pointers import pointer
from stepsize.application.results import best
from stepsize.application.submission import choose
from stepsize.application.trials import read_trial
from stepsize.domain.trial import Trial, TrialState
from stepsize.errors import FieldError, InvalidRequestError, NotFoundError, StateConflictError
from stepsize.spec.job import JobSpec
from stepsize.spec.space import Scalar
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job

_MODEL_FILE = "model.safetensors"
_MOST_DIGITS = 9


@dataclass(frozen=True)
class _Start:
    """A parameter that takes a saved model."""

    name: str
    same: Sequence[str]
    needed_by: Mapping[str, Sequence[Scalar]]


def settle_starts(connection: Connection, spec: JobSpec, *, lease_s: float) -> JobSpec:
    """Return a spec whose saved models are named by job and trial, are there, and are what the spec asks for.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    if spec.trains_elsewhere:
        return spec
    card = load_catalogue(connection, lease_s=lease_s).find_meant(spec.trainer.name, spec.trainer.version)[0]
    choice = choose(spec, card)
    errors: list[FieldError] = []
    found: dict[str, Scalar] = {}
    for name, schema in card.params_schema.get("properties", {}).items():
        if "x-saved-model" not in schema:
            continue
        start, which = _Start(name, **schema["x-saved-model"]), choice.fixed.get(name)
        if not which:
            errors += _check_needed(choice, start)
        elif isinstance(which, str):  # whatever else is wrong with it is said elsewhere
            try:
                trial = _find(connection, which)
            except (NotFoundError, StateConflictError) as error:
                errors.append(FieldError(pointer("trainer", "params", name), str(error)))
                continue
            found[name] = f"{trial.job_id}/{trial.number}"
            errors += _check_same(choice, start, _params_of(connection, trial))
    if errors:
        raise InvalidRequestError(errors)
    trainer = spec.trainer.model_copy(update={"params": {**spec.trainer.params, **found}})
    return spec.model_copy(update={"trainer": trainer}) if found else spec


def _find(connection: Connection, which: str) -> Trial:
    """Return the trial, or a job's best one, that has saved a model.

    Raises:
        NotFoundError: no such job or trial.
        StateConflictError: it has none; or the job has no single best trial, or none has completed.
    """
    job_id, _, number = which.partition("/")
    if number and not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS):
        raise NotFoundError(f"job {job_id!r} has no trial {number!r}; JOB/7 is its trial 7, JOB alone its best")
    if number:
        trial = read_trial(connection, job_id, int(number))
    elif ranked := best(connection, job_id, n=1):
        trial = ranked[0].trial
    else:
        raise StateConflictError(f"no trial of job {job_id!r} has completed", state="queued")
    if _MODEL_FILE not in trial.artifacts:
        raise StateConflictError(_why_none(trial), state=trial.state)
    return trial


def _why_none(trial: Trial) -> str:
    which = f"trial {trial.job_id}/{trial.number}"
    if not trial.state.is_finished:
        return f"{which} is {trial.state}; its model is saved once it has completed"
    if trial.state is not TrialState.COMPLETED:
        return f"{which} is {trial.state} and has saved no model; only completed trials do"
    return f"{which} has no {_MODEL_FILE}; a job keeps the models of its best three trials"


def _params_of(connection: Connection, trial: Trial) -> dict[str, Scalar]:
    return {**get_job(connection, trial.job_id).spec.trainer.params, **trial.params}


def _check_needed(choice: Choice, start: _Start) -> Iterator[FieldError]:
    """Yield which parameters may take values that make no sense without a saved model."""
    for name, values in start.needed_by.items():
        if name not in choice.schema.names:
            continue
        for value in choice.can_be(name, values):
            yield FieldError(
                _place(choice, name),
                f"{name} {value} keeps what a saved model has learned, and none is named: name one in "
                f"trainer.params.{start.name}, or drop {name} {value}",
            )


def _check_same(choice: Choice, start: _Start, had: Mapping[str, Scalar]) -> Iterator[FieldError]:
    """Yield which parameters are, or may be, other than those of the saved model."""
    for name in start.same:
        if name not in had or name not in choice.schema.names:
            continue
        is_one = name not in choice.space or choice.space[name].n_values == 1
        if not (is_one and choice.can_be(name, [had[name]])):
            yield FieldError(
                _place(choice, name),
                f"{choice.describe(name)}, and {start.name} starts from a model with {name} {had[name]!r}: fix "
                f"trainer.params.{name} to that",
            )


def _place(choice: Choice, name: str) -> str:
    """Return where the job says what a parameter is, or might."""
    return pointer("search_space", name) if name in choice.space else pointer("trainer", "params", name)
