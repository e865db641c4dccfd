"""Refits: the configuration a job recommends, trained once more on all but the test data.

A refit is a job of its own: its trials, one a seed, are all queued at once; nothing is searched, and the test data,
which nobody chose by, says how good the model is.
"""

from collections.abc import Iterator

from stepsize.application.catalogue import load_catalogue
from stepsize.application.parameters import Choice, ParamsSchema, check_fixed, own_fixed
from stepsize.application.pointers import pointer
from stepsize.clock import new_id
from stepsize.domain.job import Job, JobKind
from stepsize.domain.seeds import derive_seed
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import TrialState
from stepsize.errors import FieldError, InvalidRequestError, StateConflictError
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.refit import RefitSpec
from stepsize.spec.resolved import ResolvedBudget, ResolvedJobSpec
from stepsize.spec.samplers import RandomSampler
from stepsize.spec.space import Scalar
from stepsize.store.database import Connection
from stepsize.store.jobs import NewJob, get_job, insert_job
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.trials import get_trial

_LONGEST_NAME = 200
_TRAIN_LOSS = "train_loss"


def submit(connection: Connection, job_id: str, refit: RefitSpec, *, lease_s: float) -> str:
    """Record the refit of a job and return the refit's own job id.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job has no best trial, and the request names no configuration.
        InvalidRequestError: the configuration is wrong, or the trainer can't be refitted.
    """
    job = get_job(connection, job_id)
    chosen = job.spec.trainer
    card = load_catalogue(connection, lease_s=lease_s).find_trainer(chosen.name, chosen.version)
    searched = _best_params(connection, job) if refit.params is None else refit.params
    schema = ParamsSchema(card)
    # A default that was written back because some choice needed it has no meaning beside another.
    kept = schema.applying({**chosen.params, **searched})
    params = {**kept, **own_fixed(schema, searched)}
    if refit.epochs is not None and card.max_step_param is not None:
        params[card.max_step_param] = refit.epochs
    if errors := list(_check(job, refit, card, params)):
        raise InvalidRequestError(errors)
    spec = ResolvedJobSpec(
        name=f"refit of {job.name or job.id}"[:_LONGEST_NAME],
        labels=job.labels,
        priority=job.priority,
        trainer=chosen.model_copy(update={"version": card.version, "params": params}),
        search_space={},
        objectives=[_objective(job, card)],
        sampler=RandomSampler(seed=job.spec.seed),
        budget=ResolvedBudget(max_trials=refit.seeds),
        resources=job.spec.resources,
        keep_artifacts="all",
    )
    return _insert(connection, spec, job, refit)


def _insert(connection: Connection, spec: ResolvedJobSpec, job: Job, refit: RefitSpec) -> str:
    new = NewJob(
        new_id("job"),
        spec,
        warnings=(),
        total_cells=None,
        project=job.project,
        kind=JobKind.REFIT,
        details={"job": job.id, "trial": job.best_trial if refit.params is None else None},
    )
    insert_job(connection, new)
    seed = job.spec.seed
    with open_ledger(connection, new.id) as ledger:
        ledger.insert_trials(
            [
                NewTrial(number=number, state=TrialState.QUEUED, params={}, seed=derive_seed(seed, "refit", number))
                for number in range(refit.seeds)
            ]
        )
    return new.id


def _best_params(connection: Connection, job: Job) -> dict[str, Scalar]:
    if job.best_trial is None:
        raise StateConflictError(
            "the job has no best trial to take the configuration from; name one in params", state=job.state
        )
    return get_trial(connection, job.id, job.best_trial).params


def _check(job: Job, refit: RefitSpec, card: TrainerCard, params: dict[str, Scalar]) -> Iterator[FieldError]:
    if job.kind is not JobKind.TUNE:
        yield FieldError(pointer(), f"a job of kind {job.kind} has searched nothing to refit")
    if not card.capabilities.refit:
        yield FieldError(pointer(), f"trainer {card.name} can't be refitted")
    if refit.epochs is not None and card.max_step_param is None:
        yield FieldError(pointer("epochs"), f"trainer {card.name} doesn't say which of its parameters counts its steps")
    for error in check_fixed(Choice(ParamsSchema(card), params, {})):
        yield FieldError(error.pointer.removeprefix("/trainer"), error.message)


def _objective(job: Job, card: TrainerCard) -> Objective:
    """Return what orders the trials of a refit: never a test metric, and validation data there is none."""
    if any(metric.name == _TRAIN_LOSS for metric in card.metrics):
        return Objective(metric=_TRAIN_LOSS, direction=Direction.MINIMIZE)
    return job.spec.objectives[0]
