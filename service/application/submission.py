"""Submission: from what a client asked to the spec a worker can run, every default written back.

A resolved spec resolves to itself, so that the `spec` of any job may be posted again.
"""

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from service.application.catalogue import Catalogue
from service.application.conditions import check_conditions, check_depth, with_conditions
from service.application.hints import hint
from service.application.parameters import Choice, ParamsSchema, check_fixed, check_params, check_searched
from service.application.pointers import pointer
from service.domain.trainer import TrainerCard
from service.errors import FieldError, InvalidRequestError
from service.spec.grid import MAX_CELLS, grid_cells
from service.spec.job import JobSpec
from service.spec.objective import Objective
from service.spec.pruners import NoPruner
from service.spec.samplers import GridSampler, Sampler
from service.spec.space import FloatParameter, IntParameter, Parameter, SearchSpace

DEFAULT_MAX_TRIALS = 40
_TEST_PREFIX = "test_"


@dataclass(frozen=True)
class Resolution:
    """A spec with every default written back, and what the client should know about it."""

    spec: JobSpec
    warnings: tuple[str, ...]
    total_cells: int | None
    """Cells of the grid; None: the sampler is not a grid."""


def resolve(spec: JobSpec, catalogue: Catalogue) -> Resolution:
    """Check a spec against its trainer's card and fill in every default.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    card = catalogue.find_trainer(spec.trainer.name, spec.trainer.version)
    choice = Choice(ParamsSchema(card), spec.trainer.params, _chosen_space(spec, card))
    _refuse([*check_fixed(choice), *check_searched(choice), *check_conditions(choice), *_check_rest(spec, card)])
    space = with_conditions(choice)
    _refuse([*check_depth(space), *_check_enqueued(spec, space)])
    total_cells = _count_cells(spec.sampler, space)
    resolved = spec.model_copy(
        update={
            "trainer": spec.trainer.model_copy(update={"version": card.version}),
            "search_space": space,
            "objectives": _objectives(spec, card),
            "sampler": spec.sampler.model_copy(update={"seed": _seed(spec.sampler)}),
            "budget": spec.budget.model_copy(update={"max_trials": _max_trials(spec, total_cells)}),
        }
    )
    return Resolution(resolved, tuple(_warnings(resolved, card, total_cells)), total_cells)


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidRequestError(errors)


def _chosen_space(spec: JobSpec, card: TrainerCard) -> SearchSpace:
    if spec.search_space is not None:
        return spec.search_space
    return {name: range_ for name, range_ in card.default_search_space.items() if name not in spec.trainer.params}


def _objectives(spec: JobSpec, card: TrainerCard) -> list[Objective]:
    return spec.objectives or card.default_objectives


def _seed(sampler: Sampler) -> int:
    return secrets.randbelow(2**32) if sampler.seed is None else sampler.seed


def _max_trials(spec: JobSpec, total_cells: int | None) -> int:
    return spec.budget.max_trials or total_cells or DEFAULT_MAX_TRIALS


def _check_rest(spec: JobSpec, card: TrainerCard) -> Iterator[FieldError]:
    yield from _check_range_tests(spec, card)
    yield from _check_objectives(spec, card)
    if len(_objectives(spec, card)) > 1 and not isinstance(spec.pruner, NoPruner):
        yield FieldError(pointer("pruner"), "a pruner needs a single objective; drop it or all objectives but one")
    if spec.resources.gpus > 1:
        yield FieldError(pointer("resources", "gpus"), "a trial over several GPUs is not offered; ask for 1 or less")


def _check_range_tests(spec: JobSpec, card: TrainerCard) -> Iterator[FieldError]:
    for name, parameter in (spec.search_space or {}).items():
        if not isinstance(parameter, FloatParameter) or not parameter.range_test:
            continue
        at = pointer("search_space", name, "range_test")
        if name != "learning_rate":
            yield FieldError(at, "only learning_rate has a range test")
        elif not card.capabilities.range_test:
            yield FieldError(at, f"{card.name} has no range test; give low and high")


def _check_objectives(spec: JobSpec, card: TrainerCard) -> Iterator[FieldError]:
    metrics = [metric.name for metric in card.metrics]
    seen: set[str] = set()
    for index, objective in enumerate(_objectives(spec, card)):
        at = pointer("objectives", index, "metric")
        name = objective.metric
        if name.startswith(_TEST_PREFIX):
            yield FieldError(at, "a test metric is never an objective: choose on validation data, report on test data")
        elif name not in metrics:
            yield FieldError(at, f"{card.name} doesn't report {name!r}; {hint(name, metrics)}")
        elif name in seen:
            yield FieldError(at, f"{name!r} is an objective already")
        seen.add(name)


def _check_enqueued(spec: JobSpec, space: SearchSpace) -> Iterator[FieldError]:
    for index, params in enumerate(spec.enqueue):
        yield from check_params(params, "enqueue", index, fixed=spec.trainer.params, space=space)


def _count_cells(sampler: Sampler, space: SearchSpace) -> int | None:
    if not isinstance(sampler, GridSampler):
        return None
    # First one by one: a range of 10**12 values must be refused, not listed.
    _refuse([error for name in space for error in _check_grid_values(name, space[name], sampler.points)])
    try:
        return len(grid_cells(space, points=sampler.points))
    except ValueError as error:
        raise InvalidRequestError([FieldError(pointer("search_space"), str(error))]) from error


def _check_grid_values(name: str, parameter: Parameter, points: int | None) -> Iterator[FieldError]:
    at = pointer("search_space", name)
    if isinstance(parameter, FloatParameter):
        if parameter.low is None or parameter.high is None:
            yield FieldError(at, "a grid needs low and high")
        elif parameter.step is None and points is None:
            yield FieldError(at, "a grid needs a step here, choices, or the sampler's points")
        elif parameter.step is not None:
            yield from _check_many(at, (parameter.high - parameter.low) / parameter.step)
    elif isinstance(parameter, IntParameter) and not parameter.powers_of_two:
        yield from _check_many(at, (parameter.high - parameter.low) / parameter.step)


def _check_many(at: str, n_values: float) -> Iterator[FieldError]:
    if not math.isfinite(n_values) or n_values >= MAX_CELLS:
        yield FieldError(at, f"a grid over more than {MAX_CELLS} values would never finish; use a larger step")


def _warnings(spec: JobSpec, card: TrainerCard, total_cells: int | None) -> Iterator[str]:
    if not spec.search_space:
        yield "nothing is searched: every trial has the same parameters"
    if total_cells is not None and spec.budget.max_trials is not None and spec.budget.max_trials < total_cells:
        yield f"the budget ends after {spec.budget.max_trials} of the grid's {total_cells} cells"
    yield from _direction_warnings(spec, card)
    yield from _sampler_warnings(spec)


def _direction_warnings(spec: JobSpec, card: TrainerCard) -> Iterator[str]:
    natural = {metric.name: metric.direction for metric in card.metrics}
    for objective in spec.objectives or []:
        expected = natural.get(objective.metric)
        if expected is not None and expected is not objective.direction:
            yield f"the job is to {objective.direction} {objective.metric}, which {card.name} means to {expected}"


def _sampler_warnings(spec: JobSpec) -> Iterator[str]:
    supports, space = spec.sampler.supports, spec.search_space or {}
    if not supports.conditional and any(parameter.when for parameter in space.values()):
        yield f"{spec.sampler.name} can't model conditional parameters; it draws them at random"
    if not supports.categorical and any(parameter.type == "categorical" for parameter in space.values()):
        yield f"{spec.sampler.name} can't model categorical parameters; it draws them at random"
