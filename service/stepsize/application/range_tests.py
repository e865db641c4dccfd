"""Learning-rate range tests: asked for by a client, or needed by a tuning job before it starts.

A range test is a job whose trials, one a (batch size, seed), are all queued at once; nothing is searched. The worker
that ends the last of them writes what they found.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from stepsize.application.catalogue import Catalogue, load_catalogue
from stepsize.application.parameters import Choice, ParamsSchema, check_fixed, own_fixed, with_defaults
from stepsize.application.pointers import pointer
from stepsize.clock import new_id
from stepsize.domain.job import Job, JobKind
from stepsize.domain.range_test import RangeTestCurve, RangeTestFindings, RangeTestResult
from stepsize.domain.seeds import derive_seed
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import TrialState
from stepsize.errors import FieldError, InvalidRequestError, JobNotFoundError, RangeTestNotFoundError
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.range_test import MAX_BATCH_SIZES, RangeTestSpec
from stepsize.spec.resolved import ResolvedBudget, ResolvedJobSpec, recall
from stepsize.spec.samplers import RandomSampler
from stepsize.spec.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Scalar,
    applies,
    in_dependency_order,
)
from stepsize.store.database import Connection
from stepsize.store.jobs import NewJob, get_job, insert_job
from stepsize.store.ledger import NewTrial, open_ledger

LEARNING_RATE = "learning_rate"
BATCH_SIZE = "batch_size"
FUSE_CHANGES_NOTHING = "resources.fuse changes nothing: a range test runs each sweep by itself"
_LONGEST_NAME = 200
_MOST_SPREAD = 5
"""Batch sizes at which a range of them is tested."""


@dataclass(frozen=True)
class RangeTestReading:
    """A range test as clients see it."""

    job: Job
    spec: RangeTestSpec
    findings: RangeTestFindings | None
    """None until the last sweep has ended."""


def submit(connection: Connection, spec: RangeTestSpec, *, lease_s: float) -> str:
    """Record a range test and return its id, which is its job's.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    return insert(connection, resolve(spec, load_catalogue(connection, lease_s=lease_s)))


def resolve(spec: RangeTestSpec, catalogue: Catalogue) -> RangeTestSpec:
    """Check a range test against its trainer's card and fill in every default; what comes out resolves to itself.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    card, unknown = catalogue.find_meant(spec.trainer.name, spec.trainer.version)
    schema = ParamsSchema(card)
    if errors := [*unknown, *_check(spec, card, schema)]:
        raise InvalidRequestError(errors)
    complete = with_defaults(Choice(schema, own_fixed(schema, spec.trainer.params), {}))
    # Its batch sizes and rates are its own; a rate that was given plays no part, but is kept.
    own = {BATCH_SIZE} if LEARNING_RATE in spec.trainer.params else {BATCH_SIZE, LEARNING_RATE}
    params = {name: value for name, value in complete.items() if name not in own}
    return spec.model_copy(
        update={
            "trainer": spec.trainer.model_copy(update={"version": card.version, "params": params}),
            "batch_sizes": _batch_sizes(spec, schema),
            "seed": secrets.randbelow(2**32) if spec.seed is None else spec.seed,
        }
    )


def certain_errors(spec: RangeTestSpec, catalogue: Catalogue) -> list[FieldError]:
    """Return what is wrong with a range test whatever else it was meant to hold, as `submission.certain_errors`."""
    try:
        card, unknown = catalogue.find_meant(spec.trainer.name, spec.trainer.version)
    except InvalidRequestError as error:
        return list(error.errors)
    choice = Choice(ParamsSchema(card), spec.trainer.params, {})
    return [*unknown, *check_fixed(choice, whole=False)]


def insert(connection: Connection, spec: RangeTestSpec) -> str:
    """Record a resolved range test with all its sweeps queued, and return its job's id."""
    sweeps = _sweeps(spec)
    job = ResolvedJobSpec(
        name=spec.name,
        labels=spec.labels,
        priority=spec.priority,
        trainer=spec.trainer,
        search_space={},
        objectives=[Objective(metric="loss", direction=Direction.MINIMIZE)],
        sampler=RandomSampler(seed=spec.seed),
        budget=ResolvedBudget(max_trials=len(sweeps)),
        resources=spec.resources,
        keep_artifacts="none",
    )
    new = NewJob(
        new_id("job"),
        job,
        warnings=() if spec.resources.fuse == 1 else (FUSE_CHANGES_NOTHING,),
        total_cells=None,
        kind=JobKind.RANGE_TEST,
        details=spec.model_dump(mode="json"),
    )
    insert_job(connection, new)
    with open_ledger(connection, new.id) as ledger:
        ledger.insert_trials(sweeps)
    return new.id


def plan_for(spec: ResolvedJobSpec, catalogue: Catalogue) -> RangeTestSpec | None:
    """Return the range test that a tuning job must wait for, resolved; None: it has all its bounds.

    It runs at the job's batch sizes (a range is tested at up to 5 powers of two), with every other searched parameter
    at its default or, where that is not searched, at the searched value nearest to it.

    Args:
        spec: resolved.

    Raises:
        InvalidRequestError: the job's bounds leave no range to sweep.
    """
    space = spec.search_space
    learning_rate = space.get(LEARNING_RATE)
    if not isinstance(learning_rate, FloatParameter) or not learning_rate.range_test:
        return None
    card = catalogue.find_trainer(spec.trainer.name, spec.trainer.version)
    schema = ParamsSchema(card)
    batch_size = space.get(BATCH_SIZE)
    low, high = _sweep_bounds(learning_rate, card, schema)
    plan = RangeTestSpec(
        name=f"range test for {spec.name or spec.trainer.name}"[:_LONGEST_NAME],
        labels=spec.labels,
        priority=spec.priority,
        trainer=spec.trainer.model_copy(update={"params": _held_params(spec, schema)}),
        batch_sizes=None if batch_size is None else spread_batch_sizes(batch_size),
        low=low,
        high=high,
        seed=derive_seed(spec.seed, "range test"),
        resources=spec.resources.model_copy(update={"fuse": 1}),
    )
    return resolve(plan, catalogue)


def plan_warnings(spec: ResolvedJobSpec, plan: RangeTestSpec) -> Iterator[str]:
    """Yield what whoever submitted a tuning job should know of its range test: other choices may need other rates."""
    for name, parameter in spec.search_space.items():
        if isinstance(parameter, CategoricalParameter) and name in plan.trainer.params and name != BATCH_SIZE:
            held = plan.trainer.params[name]
            yield f"the range test runs with {name} {held!r}; its bounds need not suit the other choices"


def read(connection: Connection, job_id: str) -> RangeTestReading:
    """Return a range test.

    Raises:
        RangeTestNotFoundError: no such job, or one of another kind.
    """
    try:
        job = get_job(connection, job_id)
    except JobNotFoundError as error:
        raise RangeTestNotFoundError(job_id) from error
    if job.kind is not JobKind.RANGE_TEST:
        raise RangeTestNotFoundError(job_id)
    spec = recall(RangeTestSpec, job.details)
    if job.findings is not None:
        return RangeTestReading(job, spec, RangeTestFindings.model_validate(job.findings))
    return RangeTestReading(job, spec, _nothing_found(spec) if job.state.is_finished else None)


def _nothing_found(spec: RangeTestSpec) -> RangeTestFindings:
    """Return the findings of a test that a user ended: nobody has read its sweeps."""
    why = "the test was ended before its sweeps were read; submit it again"
    curve = RangeTestCurve(learning_rate=[], losses=[], smoothed=[])
    sizes: list[int | None] = [*spec.batch_sizes] if spec.batch_sizes else [None]
    return RangeTestFindings(
        sweep_low=spec.low,
        sweep_high=spec.high,
        results=[
            RangeTestResult(batch_size=size, low=None, suggestion=None, high=None, curve=curve, inconclusive=why)
            for size in sizes
        ],
    )


def spread_batch_sizes(parameter: Parameter) -> list[int]:
    """Return the batch sizes at which to test: the (first 20) choices, or up to 5 powers of two across a range."""
    match parameter:
        case CategoricalParameter():
            return [int(choice) for choice in parameter.choices[:MAX_BATCH_SIZES]]
        case IntParameter():
            exponents = range((parameter.low - 1).bit_length(), parameter.high.bit_length())
            if not exponents:
                return sorted({parameter.low, parameter.high})
            n = min(_MOST_SPREAD, len(exponents))
            steps = [round(index * (len(exponents) - 1) / max(n - 1, 1)) for index in range(n)]
            return [1 << exponents[step] for step in steps]
        case FloatParameter():
            raise AssertionError("a batch size is never searched as a float: its schema says integer")


def _check(spec: RangeTestSpec, card: TrainerCard, schema: ParamsSchema) -> Iterator[FieldError]:
    if not card.capabilities.range_test:
        yield FieldError(pointer("trainer", "name"), f"{card.name} has no range test")
    yield from check_fixed(Choice(schema, spec.trainer.params, {}))
    yield from _check_batch_sizes(spec, schema)
    if LEARNING_RATE in schema.names:
        for field, rate in (("low", spec.low), ("high", spec.high)):
            if message := schema.why_refused(LEARNING_RATE, rate):
                yield FieldError(pointer(field), message)
    if spec.resources.gpus > 1:
        yield FieldError(pointer("resources", "gpus"), "a trial over several GPUs is not offered; ask for 1 or less")


def _check_batch_sizes(spec: RangeTestSpec, schema: ParamsSchema) -> Iterator[FieldError]:
    at = pointer("batch_sizes")
    if spec.batch_sizes is None:
        if BATCH_SIZE in schema.names and _own_batch_size(spec, schema) is None:
            yield FieldError(at, f"{schema.trainer} has no default batch size; name one or more")
        return
    if BATCH_SIZE not in schema.names:
        yield FieldError(at, f"{schema.trainer} has no parameter {BATCH_SIZE!r}; leave batch_sizes out")
        return
    if BATCH_SIZE in spec.trainer.params:
        yield FieldError(pointer("trainer", "params", BATCH_SIZE), "give batch_sizes or this, not both")
    for index, size in enumerate(spec.batch_sizes):
        if message := schema.why_refused(BATCH_SIZE, size):
            yield FieldError(pointer("batch_sizes", index), message)
        elif size in spec.batch_sizes[:index]:
            yield FieldError(pointer("batch_sizes", index), f"{size} is in the list already")


def _own_batch_size(spec: RangeTestSpec, schema: ParamsSchema) -> Scalar | None:
    return spec.trainer.params.get(BATCH_SIZE, schema.default(BATCH_SIZE))


def _batch_sizes(spec: RangeTestSpec, schema: ParamsSchema) -> list[int] | None:
    """Return at which batch sizes to test; None: the trainer knows no such thing."""
    own = _own_batch_size(spec, schema)
    return spec.batch_sizes or (None if own is None else [int(own)])


def _sweeps(spec: RangeTestSpec) -> list[NewTrial]:
    """Return the trials: every batch size is swept with the same seeds, so that they compare."""
    assert spec.seed is not None, "a resolved range test has its seed written back"
    sizes: list[dict[str, Scalar]] = [{BATCH_SIZE: size} for size in spec.batch_sizes] if spec.batch_sizes else [{}]
    seeds = [derive_seed(spec.seed, "sweep", index) for index in range(spec.seeds)]
    pairs = [(params, seed) for params in sizes for seed in seeds]
    return [
        NewTrial(number=number, state=TrialState.QUEUED, params=params, seed=seed)
        for number, (params, seed) in enumerate(pairs)
    ]


def _sweep_bounds(parameter: FloatParameter, card: TrainerCard, schema: ParamsSchema) -> tuple[float, float]:
    """Return from where to where to sweep: as the client says, by default, or as far as the trainer allows."""
    usual = RangeTestSpec.model_fields
    own = card.default_search_space.get(LEARNING_RATE)
    low = usual["low"].default if parameter.low is None else parameter.low
    high = usual["high"].default if parameter.high is None else parameter.high
    if isinstance(own, FloatParameter):
        low = own.low if own.low is not None and schema.why_refused(LEARNING_RATE, low) else low
        high = own.high if own.high is not None and schema.why_refused(LEARNING_RATE, high) else high
    if low >= high:
        at = pointer("search_space", LEARNING_RATE)
        raise InvalidRequestError([FieldError(at, f"its range test would go from {low:g} to {high:g}; give both ends")])
    return low, high


def _held_params(spec: ResolvedJobSpec, schema: ParamsSchema) -> dict[str, Scalar]:
    """Return the parameters that are the same in all sweeps: the fixed, and one value of each searched one."""
    space, held = spec.search_space, dict(spec.trainer.params)
    for name in in_dependency_order(space):
        if name not in (LEARNING_RATE, BATCH_SIZE) and applies(space[name], held):
            held[name] = space[name].nearest(schema.default(name))
    return schema.applying(held)
